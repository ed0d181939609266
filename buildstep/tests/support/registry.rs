//! The platform's own registry, for one test at a time: what the stack stored once is there for the next test.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use buildstep::Login;
use registry::{Authentication, Authenticator, Credentials, Grant, Registry};
use tokio_util::sync::CancellationToken;

/// The name that the tests show.
const USER: &str = "builder";
/// The password that goes with it.
const PASSWORD: &str = "a test's password";

/// Lets the tests in and nobody else.
struct Door;

#[async_trait]
impl Authenticator for Door {
    async fn authenticate(&self, credentials: Option<Credentials>) -> Authentication {
        match credentials {
            Some(shown) if shown.user == USER && shown.secret == PASSWORD => Authentication::Granted(Grant::full()),
            _ => Authentication::Refused,
        }
    }
}

/// A registry that serves until it is dropped.
pub struct Serving {
    /// `127.0.0.1:port`.
    pub address: String,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// Starts it, on a thread of its own: it must answer also while a test blocks.
    pub fn start() -> Self {
        let (tell, told) = std::sync::mpsc::channel();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("registry");
                std::fs::create_dir_all(&folder).expect("a folder");
                let registry = Registry::on_disk(&folder).expect("nobody else serves from the tests' folder");
                let server = registry.bind("127.0.0.1:0".parse().expect("an address"), Arc::new(Door)).await.expect("a port");
                tell.send(server.address().to_string()).expect("the test waits");
                server.serve(stopped).await;
            });
        });
        Self { address: told.recv().expect("the registry starts"), stop, thread: Some(thread) }
    }

    /// What it lets in.
    pub fn login() -> Login {
        Login { username: USER.into(), password: PASSWORD.into() }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
