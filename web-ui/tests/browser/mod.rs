//! Chromium, driven over its debugging pipe: one window, whose console must stay clean.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout_at};

const CHROMIUM: &str = "/usr/bin/chromium";
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Browser {
    child: Child,
    send: pipe::Sender,
    receive: BufReader<pipe::Receiver>,
    session: String,
    last: u64,
    /// What the console, the policy or a dialog said.
    pub said: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Browser {
    pub async fn start() -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let (there, back) = (profile.path().join("there"), profile.path().join("back"));
        let made = Command::new("mkfifo").args([&there, &back]).status().await.expect("mkfifo runs");
        assert!(made.success(), "no pipes");
        // Opened for both ways, so that neither side waits for the other to open.
        let send = pipe::OpenOptions::new().read_write(true).open_sender(&there).expect("a pipe");
        let receive = pipe::OpenOptions::new().read_write(true).open_receiver(&back).expect("a pipe");
        let child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<\"$THERE\" 4>\"$BACK\"", CHROMIUM])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"])
            .arg("--remote-debugging-pipe")
            .arg(format!("--user-data-dir={}", profile.path().join("profile").display()))
            .env("THERE", &there)
            .env("BACK", &back)
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("Chromium starts");
        let receive = BufReader::with_capacity(1 << 20, receive);
        let mut browser = Self { child, send, receive, session: String::new(), last: 0, said: Vec::new(), _profile: profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" })).await["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true })).await;
        browser.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        browser
    }

    pub async fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut text = message.to_string().into_bytes();
        text.push(0);
        self.send.write_all(&text).await.expect("Chromium reads");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut answer = Vec::new();
            let read = timeout_at(deadline, self.receive.read_until(0, &mut answer)).await;
            read.unwrap_or_else(|_| panic!("Chromium did not answer {method}")).expect("Chromium writes");
            answer.pop();
            let answer: Value = serde_json::from_slice(&answer).expect("JSON");
            if answer["id"] == self.last {
                // The page that was asked is gone: whoever waits for a state asks the next one.
                if method == "Runtime.evaluate" && answer["error"]["message"].as_str().is_some_and(|why| why.contains("navigated")) {
                    return Value::Null;
                }
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.hear(&answer);
        }
    }

    fn hear(&mut self, event: &Value) {
        let said = match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" | "Page.javascriptDialogOpening" => event["params"].to_string(),
            "Runtime.consoleAPICalled" => event["params"]["args"].to_string(),
            // The answer of a page that is not there is no fault of the page.
            "Log.entryAdded" if event["params"]["entry"]["source"] != "network" => event["params"]["entry"]["text"].to_string(),
            _ => return,
        };
        self.said.push(said);
    }

    pub async fn value(&mut self, expression: &str) -> Value {
        self.call("Runtime.evaluate", json!({ "expression": expression, "awaitPromise": true })).await["result"]["value"].clone()
    }

    /// Waits until an expression is true in the page.
    pub async fn until(&mut self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.value(&format!("!!({expression})")).await != true {
            let text = self.value("document.body && document.body.innerText").await;
            assert!(Instant::now() < deadline, "`{expression}` did not become true; the page shows: {text}");
        }
    }

    pub async fn open(&mut self, url: &str) {
        self.value("window.left = true").await;
        self.call("Page.navigate", json!({ "url": url })).await;
        self.until("!window.left && document.readyState === 'complete'").await;
    }

    /// Does something that leads to another page, and waits for that.
    pub async fn leave_by(&mut self, expression: &str) {
        self.value(&format!("window.left = true; {expression}; 1")).await;
        self.until("!window.left && document.readyState === 'complete'").await;
    }

    pub async fn look(&mut self, width: u32, dark: bool) {
        let size = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        let theme = json!({ "name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" } });
        self.call("Emulation.setEmulatedMedia", json!({ "features": [theme] })).await;
    }

    /// A picture of the whole page.
    pub async fn shoot(&mut self, file: &Path, width: u32) {
        let height = self.value("Math.max(800, document.documentElement.scrollHeight)").await;
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        let shot = self.call("Page.captureScreenshot", json!({ "captureBeyondViewport": true, "clip": clip })).await;
        let data = base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().expect("a picture")).expect("base64");
        std::fs::write(file, data).expect("a file");
    }

    pub async fn stop(mut self) {
        self.session.clear();
        self.call("Browser.close", json!({})).await;
        let _ = tokio::time::timeout(PATIENCE, self.child.wait()).await;
    }
}
