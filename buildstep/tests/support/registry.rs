//! The platform's own registry, one for all tests of this crate: what the stack stored once is there for the next test.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use registry::{Admission, Credentials, Doorkeeper, Grant, Registry};
use tokio_util::sync::CancellationToken;

/// The name that the tests show.
pub const USER: &str = "builder";
/// The password that goes with it.
pub const PASSWORD: &str = "a test's password";

/// Lets the tests in and nobody else.
struct Door;

#[async_trait]
impl Doorkeeper for Door {
    async fn admit(&self, credentials: Option<Credentials>) -> Admission {
        match credentials {
            Some(shown) if shown.user == USER && shown.secret == PASSWORD => Admission::Granted(Grant::full()),
            _ => Admission::Refused,
        }
    }
}

/// Host and port of the registry; started at the first call, on a thread of its own, since tests come and go.
pub fn address() -> String {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    ADDRESS
        .get_or_init(|| {
            let (tell, told) = std::sync::mpsc::channel();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(async {
                    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("registry");
                    std::fs::create_dir_all(&folder).expect("a folder");
                    // Another test process may hold it: one serves at a time.
                    let deadline = Instant::now() + Duration::from_secs(240);
                    let registry = loop {
                        match Registry::on_disk(&folder) {
                            Ok(registry) => break registry,
                            Err(error) => assert!(Instant::now() < deadline, "the registry's folder was not free: {error}"),
                        }
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    };
                    let server =
                        registry.bind("127.0.0.1:0".parse().expect("an address"), std::sync::Arc::new(Door)).await.expect("a port");
                    tell.send(server.address().to_string()).expect("the test waits");
                    server.serve(CancellationToken::new()).await;
                });
            });
            told.recv().expect("the registry starts")
        })
        .clone()
}
