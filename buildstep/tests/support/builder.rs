//! `TestBuilder`: a builder with its own registry, alone on the engine, that proves at its end that nothing is left.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use buildstep::{Buildstep, Config, Limits, Registry};
use manager::Output;
use manager::builder::{Builder, Job, Slug};
use model::{AppEnv, UserError};
use tokio_util::sync::CancellationToken;

use super::engine_lock::{EngineLock, SCOPE};
use super::files::Files;
use super::registry::Serving;
use super::running::{self, RunningSlug};

/// Keeps every line.
#[derive(Default)]
pub struct RecordedOutput(Mutex<Vec<String>>);

impl Output for RecordedOutput {
    fn line(&self, line: &str) {
        self.0.lock().expect("no test holds it").push(line.to_owned());
    }
}

impl RecordedOutput {
    /// All lines.
    pub fn text(&self) -> String {
        self.0.lock().expect("no test holds it").join("\n")
    }

    /// The rest of the line that begins with `lead`, if there is one.
    pub fn told(&self, lead: &str) -> Option<String> {
        self.text().lines().find_map(|line| line.trim_start().strip_prefix(lead).map(str::to_owned))
    }

    /// Waits for that line. To be raced with its build, which may end without it.
    pub async fn wait(&self, lead: &str) -> String {
        loop {
            if let Some(rest) = self.told(lead) {
                return rest;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A builder with its own registry. Fields are dropped in their order: the lock comes last.
pub struct TestBuilder {
    /// The builder.
    pub buildstep: Arc<Buildstep>,
    /// What was output.
    pub output: Arc<RecordedOutput>,
    config: Config,
    app: AppEnv,
    registry: Serving,
    work: tempfile::TempDir,
    lock: EngineLock,
}

/// An app's uid: as on a platform, no two apps of a test have the same.
fn uid_of(app: &AppEnv) -> u32 {
    let hash = model::Digest::of(app.app_ref().to_string().as_bytes()).hex();
    200_000 + u32::from_str_radix(&hash[..5], 16).expect("hexadecimal digits")
}

fn life(config: &Config, registry: &Serving) -> Buildstep {
    Buildstep::new(config.clone(), Registry::new(registry.address.clone(), Some(Serving::login()))).expect("a builder")
}

impl TestBuilder {
    /// A builder with these limits, for an app of its own.
    pub async fn new(app: &str, limits: Limits) -> Self {
        let _ = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).try_init();
        let lock = EngineLock::wait().await;
        let work = tempfile::tempdir().expect("a folder");
        let registry = Serving::start();
        let config = Config {
            work: work.path().to_path_buf(),
            network: SCOPE.into(),
            bridge: "slipway-test".into(),
            subnet: "10.213.8.0/22".into(),
            limits,
            ..Config::default()
        };
        let builder = Arc::new(life(&config, &registry));
        let app = format!("testing/{app}/dev").parse().expect("an app");
        Self { buildstep: builder, output: Arc::default(), config, app, registry, work, lock }
    }

    /// Ends the life of the builder without a word to it, and begins another one.
    pub async fn next_life(&mut self) {
        // The engine tells the age of a container in whole seconds.
        let second = || std::time::UNIX_EPOCH.elapsed().expect("a clock").as_secs();
        let last = second();
        while second() == last {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.buildstep = Arc::new(life(&self.config, &self.registry));
    }

    /// The builder of another platform that stores in the same registry.
    pub fn another(&self, config: Config) -> Buildstep {
        life(&config, &self.registry)
    }

    /// The uid of the app that it builds.
    pub fn uid(&self) -> u32 {
        uid_of(&self.app)
    }

    /// A job for these files.
    pub fn job(&self, files: &Files) -> Job {
        self.job_of(self.app.clone(), files)
    }

    /// A job of another app.
    pub fn job_of(&self, app: AppEnv, files: &Files) -> Job {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mut random = [0; 10];
        random[..4].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        random[4..8].copy_from_slice(&std::process::id().to_be_bytes());
        Job { build: model::BuildId::mint(random), uid: uid_of(&app), app, source: Arc::new(files.clone()), manifest: files.manifest() }
    }

    /// Builds these files.
    pub async fn build(&self, files: &Files) -> Result<Slug, UserError> {
        self.build_job(&self.job(files), CancellationToken::new()).await
    }

    /// Runs a job.
    pub async fn build_job(&self, job: &Job, cancel: CancellationToken) -> Result<Slug, UserError> {
        self.build_with(job, cancel, self.output.clone()).await
    }

    /// Runs a job, output by somebody of its own.
    pub async fn build_with(&self, job: &Job, cancel: CancellationToken, output: Arc<RecordedOutput>) -> Result<Slug, UserError> {
        let prepared = self.buildstep.prepare(job).await?;
        self.buildstep.build(job, &prepared, output, cancel).await
    }

    /// Forgets the app's cache.
    pub async fn purge(&self) {
        self.buildstep.purge_cache(&self.app.app_ref()).await.expect("purged");
    }

    /// Containers and volumes of this builder in the engine.
    pub fn found(&self) -> Vec<String> {
        self.lock.found()
    }

    /// Waits until no container of a build is there any more, for builds whose asker went away.
    pub async fn quiet(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let containers: Vec<String> = self.found().into_iter().filter(|found| found.starts_with("container ")).collect();
            if containers.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "they stay: {containers:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The end: with the caches purged and the builder closed, nothing is left in the engine or in the work folder.
    pub async fn close(self) {
        self.closed().await;
    }

    /// The end, and what was built runs on from here.
    pub async fn serve(self, slug: &Slug) -> RunningSlug {
        let image = running::pulled(&self.registry.address, &Serving::login(), slug);
        RunningSlug::start(self.closed().await, image, &slug.processes[&model::ProcessName::web()])
    }

    async fn closed(self) -> EngineLock {
        let files: Vec<PathBuf> =
            std::fs::read_dir(self.work.path()).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
        assert!(files.is_empty(), "files were left behind: {files:?}");
        self.purge().await;
        self.buildstep.close().await;
        let left = self.found();
        assert!(left.is_empty(), "left behind: {left:?}");
        self.lock
    }
}
