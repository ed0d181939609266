//! The pages in a real browser: pictures of every page in both themes and on a phone, and what the script of a page does.
//!
//! Run by hand or by a machine that has Chromium: `SHOTS=/some/folder cargo nextest run -p web-ui --run-ignored all look`.

mod platform;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use model::{AppEnv, Code, Exit, InstanceState, Trouble};
use platform::{Platform, operator, shop};
use tokio::sync::Notify;

const CHROMIUM: &str = "/usr/bin/chromium";

/// Serves the pages as a browser of this session would see them.
async fn serve(platform: &Platform, session: String) -> SocketAddr {
    let add = move |mut request: Request, next: Next| {
        let session = session.clone();
        async move {
            // A browser's window has a least width; a phone is a frame in it, which our own policy would refuse.
            if let Some(path) = request.uri().query().and_then(|query| query.strip_prefix("phone=")) {
                let frame =
                    format!("<body style='margin:0;background:#888'><iframe src='{path}' width=390 height=1390 style='border:0'></iframe>");
                return axum::response::Html(frame).into_response();
            }
            let framed = request.headers().get("sec-fetch-dest").is_some_and(|dest| dest == "iframe");
            let cookie = format!("slipway={session}").parse().expect("a header");
            if !request.uri().path().starts_with("/sign-in") {
                request.headers_mut().insert("cookie", cookie);
            }
            let mut answer: Response = next.run(request).await;
            if framed {
                answer.headers_mut().remove("x-frame-options");
                answer.headers_mut().remove("content-security-policy");
            }
            answer
        }
    };
    let router = platform.router().layer(axum::middleware::from_fn(add));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

struct Browser<'a> {
    profile: &'a Path,
    address: SocketAddr,
}

impl Browser<'_> {
    async fn run(&self, more: &[String], path: &str) -> String {
        let mut command = tokio::process::Command::new(CHROMIUM);
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"])
            .args(["--enable-logging=stderr", "--timeout=4000"])
            .arg(format!("--user-data-dir={}", self.profile.display()))
            .args(more)
            .arg(format!("http://{}{path}", self.address))
            .kill_on_drop(true);
        let output =
            tokio::time::timeout(Duration::from_secs(90), command.output()).await.expect("Chromium did not end").expect("Chromium runs");
        let said = String::from_utf8_lossy(&output.stderr);
        // What a page does wrong stands here: a broken script, a refusal of the policy.
        let wrong: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE") && !line.contains("status of 40")).collect();
        assert!(wrong.is_empty(), "{path} is not clean in the browser: {wrong:#?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    async fn shoot(&self, shots: &Path, name: &str, path: &str, size: (u32, u32), dark: bool) {
        let theme = if dark { "dark" } else { "light" };
        let file = shots.join(format!("{name}-{}-{theme}.png", size.0));
        let mut arguments = vec![format!("--screenshot={}", file.display()), format!("--window-size={},{}", size.0, size.1)];
        // The setting of a desktop, as a flag.
        arguments.push(format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 }));
        self.run(&arguments, path).await;
        assert!(file.exists(), "no picture of {path}");
    }
}

async fn seed(platform: &Platform) -> (String, String, Arc<Notify>) {
    let web = "web".parse().expect("a name");
    for name in ["acme/blog", "acme/search", "acme/mailer", "acme/landing-page"] {
        let app: AppEnv = format!("{name}/dev").parse().expect("a path");
        platform.manager.create_app(&operator(), &app.app_ref(), Some(&web)).await.expect("an app");
    }
    *platform.building.processes.lock().expect("unpoisoned") =
        vec![("web".into(), "gunicorn app:app -b :$PORT".into()), ("worker".into(), "python worker.py".into())];
    *platform.building.lines.lock().expect("unpoisoned") = [
        "-----> Python 3.13.2 (from .python-version)",
        "-----> Installing requirements with pip",
        "       Collecting flask==3.1.0",
        "         Downloading flask-3.1.0-py3-none-any.whl (102 kB)",
        "       \u{1b}[33mWARNING: Running pip as the 'root' user can result in broken permissions\u{1b}[0m",
        "       Collecting werkzeug>=3.1 (from flask==3.1.0)",
        "       \u{1b}[32mSuccessfully installed\u{1b}[0m flask-3.1.0 gunicorn-23.0.0 jinja2-3.1.5 werkzeug-3.1.3",
        "       took 4.2 s",
        "-----> Slug: 18.4 MB (+ 212.0 kB against v2)",
        "-----> Pushing the image",
        "       1 new layer of 18.4 MB, 3 known",
    ]
    .map(str::to_owned)
    .to_vec();
    let commit = |n: u32| format!("{:040x}", u128::from(n) * 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834 % (1 << 120));
    let prod: AppEnv = "acme/shop/prod".parse().expect("a path");
    for (n, subject) in [(1, "Show the price with its currency"), (2, "Cache the front page for a minute"), (3, "Let guests check out")] {
        platform.push(if n == 2 { "dee" } else { "ada" }, &shop(), &commit(n), subject).await.expect("a release");
    }
    platform.push("ada", &prod, &commit(2), "Cache the front page for a minute").await.expect("a release");
    for (n, name) in [(5, "acme/blog/dev"), (6, "acme/blog/prod"), (7, "acme/search/dev"), (8, "acme/mailer/dev")] {
        platform.push("opa", &name.parse().expect("a path"), &commit(n), "Say hello to the new team").await.expect("a release");
    }
    let ada = platform.identity("ada").await;
    let set = [("DATABASE_URL", "postgres://x"), ("SENTRY_DSN", "x"), ("GREETING", "hello")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let number = platform.manager.set_config(&ada, &shop(), set.into(), Vec::new()).await.expect("config").expect("a release");
    platform.manager.roll_out(&shop(), number, Arc::new(manager::say::Nobody)).await.expect("a rollout");
    platform.manager.add_domain(&ada, &shop(), &"shop.example.com".parse().expect("a name")).await.expect("a domain");
    let counts = [("web", 3_u32), ("worker", 1)].map(|(name, count)| (name.parse().expect("a name"), count));
    platform.manager.scale(&ada, &shop(), &counts.into()).await.expect("a scale");
    platform.manager.restart(&platform.identity("vic").await, &shop()).await.expect_err("a denial");
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g ada@laptop";
    platform.manager.add_key(&ada, &"ada".parse().expect("a name"), key).await.expect("a key");
    // One worker that crashes, one search that starts.
    while platform.live.instances().await.expect("instances").iter().filter(|one| one.app == shop()).count() < 4 {
        tokio::task::yield_now().await;
    }
    let instances = platform.live.instances().await.expect("instances");
    let mut states = std::collections::BTreeMap::new();
    for mut one in instances {
        let key = format!("{}/{}", one.app, one.label());
        if key == "acme/shop/dev/worker.1" {
            one.state = InstanceState::Flapping;
            one.restarts = 6;
            one.reason = Some("exited with status 1 six times within 5 min; it is started again in 40 s".into());
            one.code = Some(Code::Flapping);
            let lines = [
                "Traceback (most recent call last):",
                "  File \"/app/worker.py\", line 12, in <module>",
                "ModuleNotFoundError: No module named 'redis'",
            ];
            one.last_exit = Some(Exit { code: 1, oom: false, at: chrono::Utc::now(), last_lines: lines.map(str::to_owned).to_vec() });
            states.insert(key, one);
        } else if key.starts_with("acme/search/dev/web") {
            one.state = InstanceState::Starting;
            states.insert(key, one);
        }
    }
    platform.states.lock().expect("unpoisoned").extend(states);
    platform.changed.notify_one();
    *platform.building.fail.lock().expect("unpoisoned") = Some(
        Trouble::new(Code::BuildFailed, "the build of acme/shop/dev failed in `pip install`")
            .why("pip could not find a version of `flaskk` that fits.")
            .evidence("ERROR: Could not find a version that satisfies the requirement flaskk==3.1.0")
            .evidence("ERROR: No matching distribution found for flaskk==3.1.0")
            .next("check the name in requirements.txt, line 3")
            .next("git commit -am 'Mend requirements' && git push paas-dev main"),
    );
    platform.push("dee", &shop(), &commit(12), "Try another framework").await.expect_err("a failure");
    let failed = platform.manager.builds(&ada, &shop(), 1).await.expect("builds").remove(0).id.to_string();
    *platform.lines.stored.lock().expect("unpoisoned") = (0..60)
        .map(|n| match n % 5 {
            0 => format!("2026-05-04T12:00:{:02}.120Z web.1 v4 10.0.0.7 \"GET /cart HTTP/1.1\" \u{1b}[32m200\u{1b}[0m 12 ms", n),
            1 => format!("2026-05-04T12:00:{:02}.340Z web.2 v4 10.0.0.9 \"POST /checkout HTTP/1.1\" \u{1b}[33m302\u{1b}[0m 48 ms", n),
            2 => format!("2026-05-04T12:00:{:02}.500Z web.3 v4 10.0.0.4 \"GET /nope HTTP/1.1\" \u{1b}[31m404\u{1b}[0m 3 ms", n),
            3 => format!("2026-05-04T12:00:{:02}.700Z web.1 v4 \u{1b}[2mdebug\u{1b}[0m cache hit for front page", n),
            _ => format!("2026-05-04T12:00:{:02}.900Z worker.1 v4 ModuleNotFoundError: No module named 'redis'", n),
        })
        .collect();
    let hold = Arc::new(Notify::new());
    *platform.building.hold.lock().expect("unpoisoned") = Some(hold.clone());
    (failed, commit(13), hold)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium and a folder for its pictures: SHOTS=/some/folder"]
async fn every_page_in_a_real_browser() {
    let shots = std::path::PathBuf::from(std::env::var_os("SHOTS").expect("SHOTS names a folder for the pictures"));
    std::fs::create_dir_all(&shots).expect("a folder");
    let platform = Arc::new(Platform::start().await);
    let session = platform.session("ada").await;
    let address = serve(&platform, session).await;
    let profile = tempfile::tempdir().expect("a folder");
    let browser = Browser { profile: profile.path(), address };
    browser.shoot(&shots, "first", "/apps/acme/shop/dev", (1280, 800), false).await;
    let (failed, commit, hold) = seed(&platform).await;
    let pushing = {
        let platform = platform.clone();
        tokio::spawn(
            async move { platform.push("dee", &"acme/blog/dev".parse().expect("a path"), &commit, "Write about the launch").await },
        )
    };
    let who = platform.identity("ada").await;
    let running = loop {
        let newest = platform.manager.builds(&who, &"acme/blog/dev".parse().expect("a path"), 1).await.expect("builds").remove(0);
        if newest.state == model::BuildState::Running {
            break newest.id;
        }
        tokio::task::yield_now().await;
    };
    let live = browser.run(&["--dump-dom".into()], &format!("/builds/{running}")).await;
    assert!(live.contains("Successfully installed"), "the log did not come into the page: {live}");
    let logs = browser.run(&["--dump-dom".into()], "/apps/acme/shop/dev/logs").await;
    assert!(logs.contains("cache hit for front page") && logs.contains("log-status on"), "the live log did not come: {logs}");

    let pages = [
        ("home", "/".to_owned(), (1280, 760)),
        ("app", "/apps/acme/shop/dev".into(), (1280, 1150)),
        ("empty", "/apps/acme/landing-page/dev".into(), (1280, 900)),
        ("build-failed", format!("/builds/{failed}"), (1280, 900)),
        ("build-live", format!("/builds/{running}"), (1280, 760)),
        ("logs", "/apps/acme/shop/dev/logs".into(), (1280, 760)),
        ("diff", "/apps/acme/shop/dev/diff?from=v4&to=v2&back=true".into(), (1280, 560)),
        ("account", "/account".into(), (1280, 900)),
        ("sign-in", "/sign-in".into(), (1280, 700)),
        ("errors", "/errors".into(), (1280, 800)),
        ("error", "/errors/SW-R101".into(), (1280, 600)),
        ("missing", "/apps/acme/nope/dev".into(), (1280, 600)),
    ];
    for (name, path, size) in &pages {
        for dark in [false, true] {
            browser.shoot(&shots, name, path, *size, dark).await;
        }
    }
    for (name, path, _) in &pages {
        if ["home", "app", "build-failed", "logs", "sign-in", "diff", "account"].contains(name) {
            browser.shoot(&shots, &format!("{name}-phone"), &format!("/?phone={path}"), (500, 1400), *name == "home").await;
        }
    }
    hold.notify_one();
    pushing.await.expect("no panic").expect("a release");
    Arc::into_inner(platform).expect("the last holder").stop().await;
}
