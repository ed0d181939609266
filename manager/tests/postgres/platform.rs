//! A manager over a private PostgreSQL; builder, cleanup and instances do what a test tells them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use manager::builder::{Builder, Job, Prepared, Slug};
use manager::output::Discard;
use manager::push::Push;
use manager::source::{Entry, Source, TarStream};
use manager::{AppCleanup, CleanupIncomplete, Identity, Manager, Output, Placement, Settings};
use model::{
    AppEnv, AppRef, BuildId, BuildState, Code, Digest, Event, Exit, ImageRef, InstanceId, InstanceState, InstanceStatus, Release,
    ReleaseNumber, ReleaseState, TreeStats, UserError,
};
use store::live::{Embedded, Session};
use store::postgres::Postgres;
use store::{Keyring, Live, Records};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long anything may take before a test fails.
pub const DEADLINE: Duration = Duration::from_secs(60);

struct OneFile;

#[async_trait]
impl Source for OneFile {
    fn tree_id(&self, _: &str) -> Option<String> {
        Some("tree".into())
    }
    fn list(&self, _: &str) -> Option<Vec<Entry>> {
        Some(Vec::new())
    }
    fn read(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
    fn tree_stats(&self, _: &str) -> Option<TreeStats> {
        Some(TreeStats { files: 1, bytes: 12, ..TreeStats::default() })
    }
    async fn tar(&self) -> std::io::Result<TarStream> {
        Ok(Box::new(tokio::io::empty()))
    }
}

/// Builds at once, or waits for a test to let it go on.
#[derive(Default)]
pub struct TestBuilder {
    pub hold: Mutex<Option<Arc<Notify>>>,
}

#[async_trait]
impl Builder for TestBuilder {
    fn most_source(&self) -> u64 {
        1 << 30
    }

    async fn prepare(&self, job: &Job) -> Result<Prepared, UserError> {
        Ok(Prepared { template: "python".parse()?, notes: Vec::new(), source_key: job.build.to_string() })
    }

    async fn build(&self, job: &Job, _: &Prepared, _: Arc<dyn Output>, cancel: CancellationToken) -> Result<Slug, UserError> {
        let hold = self.hold.lock().expect("unpoisoned").clone();
        if let Some(hold) = hold {
            tokio::select! {
                () = hold.notified() => {}
                () = cancel.cancelled() => return Err(UserError::new(Code::Cancelled, "the build was cancelled")),
            }
        }
        let image = ImageRef { repository: job.app.app_ref().to_string(), digest: Digest::of(job.build.as_str().as_bytes()) };
        let processes = [(model::ProcessName::web(), "python app.py".to_owned())].into();
        Ok(Slug { image, processes, size: 1_000 })
    }

    async fn has_image(&self, _: &ImageRef) -> bool {
        true
    }

    async fn reap(&self) {}
}

/// Records what is cleaned up, and fails while a test says so.
#[derive(Default)]
pub struct TestCleanup {
    pub fails: AtomicBool,
    pub done: Mutex<Vec<(AppRef, Vec<AppEnv>)>>,
}

#[async_trait]
impl AppCleanup for TestCleanup {
    async fn remove_all(&self, app: &AppRef, envs: &[AppEnv]) -> Result<(), CleanupIncomplete> {
        if self.fails.load(Ordering::Acquire) {
            return Err(CleanupIncomplete);
        }
        self.done.lock().expect("unpoisoned").push((app.clone(), envs.to_vec()));
        Ok(())
    }
}

struct NothingBlocked;

impl Placement for NothingBlocked {
    fn blocked(&self, _: &AppEnv) -> Vec<String> {
        Vec::new()
    }
}

pub struct Platform {
    pub manager: Arc<Manager>,
    pub builder: Arc<TestBuilder>,
    pub records: Records,
    pub live: Live,
    session: Session,
    postgres: Postgres,
    dir: tempfile::TempDir,
}

pub fn shop() -> AppEnv {
    "acme/shop/dev".parse().expect("a path")
}

pub fn operator() -> Identity {
    Identity::operator("test")
}

impl Platform {
    /// A tenant acme with the owner ada and the app acme/shop.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), mode).expect("open the directory to the database's user");
        let postgres = Postgres::start(&dir.path().join("pg"), &dir.path().join("run")).await.expect("a server");
        let records = Records::open(postgres.options(), 10).await.expect("a schema");
        let live = Live::new(Arc::new(Embedded::in_memory()));
        let session = live.session().await.expect("a session");
        let builder = Arc::new(TestBuilder::default());
        let manager = manager(&records, &live, &builder, dir.path());
        let platform = Self { manager, builder, records, live, session, postgres, dir };
        let ada = "ada".parse().expect("a name");
        platform.manager.create_user(&operator(), &ada, false).await.expect("a user");
        let (acme, web) = ("acme".parse().expect("a name"), "web".parse().expect("a name"));
        platform.manager.create_tenant(&operator(), &acme, &web, &ada).await.expect("a tenant");
        platform.manager.create_app(&operator(), &shop().app_ref(), None).await.expect("an app");
        platform
    }

    /// Another manager over the same stores, as after a restart of the server.
    pub fn restart(&mut self) {
        self.manager = manager(&self.records, &self.live, &self.builder, self.dir.path());
    }

    pub async fn ada(&self) -> Identity {
        self.manager.identity(&"ada".parse().expect("a name"), "test").await.expect("a user")
    }

    /// Pushes a commit, up to where the ref would move.
    pub async fn prepare(&self, commit: &str) -> Result<ReleaseNumber, UserError> {
        let push = Push {
            who: self.ada().await,
            app: shop(),
            branch: "main".into(),
            commit: commit.into(),
            subject: "a change".into(),
            source: Arc::new(OneFile),
            is_current: Arc::new(|| true),
        };
        self.manager.push(push, Arc::new(Discard)).await
    }

    /// Moves the ref to a prepared commit; the rollout goes on in a task.
    pub async fn activate(&self, commit: &'static str) -> tokio::task::JoinHandle<Result<(), UserError>> {
        let (manager, ada) = (self.manager.clone(), self.ada().await);
        tokio::spawn(async move { manager.activate(&ada, &shop(), commit, Arc::new(Discard)).await })
    }

    /// Reports the one instance of a release.
    pub async fn report(&self, release: u32, state: InstanceState, restarts: u32) {
        let exit = Exit { code: 1, oom: false, at: chrono::Utc::now(), last_lines: vec!["boom".into()] };
        let status = InstanceStatus {
            id: InstanceId::mint([release as u8; 10]),
            app: shop(),
            process: model::ProcessName::web(),
            ordinal: 1,
            release: ReleaseNumber(release),
            epoch: 0,
            host: "one".parse().expect("a name"),
            zone: "a".parse().expect("a name"),
            state,
            address: None,
            since: chrono::Utc::now(),
            restarts,
            last_exit: (state == InstanceState::Crashed).then_some(exit),
            reason: None,
            code: None,
        };
        self.live.report(&self.session, &status).await.expect("a report");
    }

    /// The one instance of a release is gone.
    pub async fn forget(&self, release: u32) {
        self.live.forget_instance(&"one".parse().expect("a name"), &InstanceId::mint([release as u8; 10])).await.expect("a removal");
    }

    pub async fn release(&self, number: u32) -> Release {
        self.records.release(&shop(), ReleaseNumber(number)).await.expect("records").expect("a release").release
    }

    /// Waits until a release is in a state.
    pub async fn until_state(&self, number: u32, state: ReleaseState) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let stored = self.records.release(&shop(), ReleaseNumber(number)).await.expect("records");
            let now = stored.map(|stored| stored.release.state);
            if now == Some(state) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "v{number} did not become {}: it is {now:?}", state.as_str());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the newest build is in a state; its id.
    pub async fn until_build(&self, state: BuildState) -> BuildId {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let builds = self.records.builds(&shop(), 1).await.expect("records");
            if let Some(build) = builds.first().filter(|build| build.state == state) {
                return build.id.clone();
            }
            assert!(tokio::time::Instant::now() < deadline, "no build became {}", state.as_str());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The events of the app with a verb, newest first.
    pub async fn events(&self, verb: &str) -> Vec<Event> {
        let app = shop().app_ref();
        let events = self.manager.events(&operator(), &app.tenant, Some(&app), 100).await.expect("events");
        events.into_iter().filter(|event| event.verb == verb).collect()
    }

    pub async fn stop(self) {
        self.records.close().await;
        self.postgres.stop().await;
        drop(self.dir);
    }
}

fn manager(records: &Records, live: &Live, builder: &Arc<TestBuilder>, dir: &std::path::Path) -> Arc<Manager> {
    let keyring = Arc::new(Keyring::open(&dir.join("master.key")).expect("a key"));
    let settings = Settings {
        domain: "localhost".parse().expect("a name"),
        router_port: 8080,
        dashboard: "http://localhost:7000".into(),
        ssh: "ssh://paas@localhost:2222".into(),
        builds_dir: dir.join("builds"),
        builders: 2,
    };
    Arc::new(Manager::new(records.clone(), live.clone(), keyring, settings, builder.clone(), Arc::new(NothingBlocked)))
}
