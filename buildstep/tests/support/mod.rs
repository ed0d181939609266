//! What the tests of the builder share: a registry, sources from folders and from texts, a listener, the builder itself.

#![allow(dead_code, reason = "each test binary uses its part")]

mod registry;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use buildstep::{Buildstep, Config, Limits, Login, Registry};
use manager::Say;
use manager::builder::{Builder, Job, Slug};
use manager::source::{Entry, EntryKind, Source, TarStream};
use model::{Digest, Manifest, Trouble};
use tokio_util::sync::CancellationToken;

/// Files of a source by path; the flag tells executables.
#[derive(Clone, Default)]
pub struct Files(pub BTreeMap<String, (Vec<u8>, bool)>);

impl Files {
    /// Files from texts; those below `bin/` are executable.
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| ((*path).to_owned(), (text.as_bytes().to_vec(), path.starts_with("bin/")))).collect())
    }

    /// A Procfile app whose `bin/build` is `script`.
    pub fn script(script: &str) -> Self {
        Self::of(&[("Procfile", "web: true\n"), ("bin/build", &format!("#!/bin/bash\n{script}\n"))])
    }

    /// The files of an example.
    pub fn example(name: &str) -> Self {
        Self::folder(&format!("../examples/{name}"))
    }

    /// The files of a folder, relative to this crate.
    pub fn folder(path: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let mut files = Self::default();
        files.add(&root, "");
        assert!(!files.0.is_empty(), "{path} is missing");
        files
    }

    fn add(&mut self, folder: &Path, lead: &str) {
        use std::os::unix::fs::PermissionsExt;
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let path = format!("{lead}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                self.add(&entry.path(), &format!("{path}/"));
            } else {
                let executable = entry.metadata().expect("it is there").permissions().mode() & 0o100 != 0;
                self.0.insert(path, (std::fs::read(entry.path()).expect("it can be read"), executable));
            }
        }
    }

    fn manifest(&self) -> Manifest {
        let text = self.0.get("app.yaml").map(|(bytes, _)| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
        Manifest::parse(&text).expect("app.yaml is good")
    }
}

#[async_trait]
impl Source for Files {
    fn tree_id(&self, folder: &str) -> Option<String> {
        Some(Digest::of(format!("{folder}{:?}", self.0).as_bytes()).hex())
    }

    fn list(&self, folder: &str) -> Option<Vec<Entry>> {
        let lead = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut entries: BTreeMap<String, EntryKind> = BTreeMap::new();
        for rest in self.0.keys().filter_map(|path| path.strip_prefix(&lead)) {
            match rest.split_once('/') {
                Some((name, _)) => entries.insert(name.to_owned(), EntryKind::Folder),
                None => entries.insert(rest.to_owned(), EntryKind::File),
            };
        }
        (!entries.is_empty()).then(|| entries.into_iter().map(|(name, kind)| Entry { name, kind }).collect())
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.0.get(path).map(|(bytes, _)| bytes.clone())
    }

    async fn tar(&self) -> std::io::Result<TarStream> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, (bytes, executable)) in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_mode(if *executable { 0o755 } else { 0o644 });
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, bytes.as_slice())?;
        }
        Ok(Box::new(std::io::Cursor::new(builder.into_inner()?)))
    }
}

/// Keeps every line.
#[derive(Default)]
pub struct Heard(pub Mutex<Vec<String>>);

impl Say for Heard {
    fn line(&self, line: &str) {
        self.0.lock().expect("no test holds it").push(line.to_owned());
    }
}

impl Heard {
    /// All lines.
    pub fn text(&self) -> String {
        self.0.lock().expect("no test holds it").join("\n")
    }
}

/// A builder with its own registry.
pub struct Bench {
    /// The builder.
    pub builder: Arc<Buildstep>,
    /// `127.0.0.1:port`.
    pub registry: String,
    /// What was heard.
    pub heard: Arc<Heard>,
    app: String,
    _work: tempfile::TempDir,
}

impl Bench {
    /// A builder with small limits changed by `limits`, for an app of its own.
    pub async fn new(app: &str, limits: Limits) -> Self {
        let _ = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).try_init();
        let work = tempfile::tempdir().expect("a folder");
        let registry = registry::address();
        let config = Config {
            work: work.path().to_path_buf(),
            network: "slipway-build-test".into(),
            bridge: "slipway-test".into(),
            subnet: "10.213.8.0/22".into(),
            limits,
            ..Config::default()
        };
        let builder = Buildstep::new(
            config,
            Registry::new(registry.clone(), Some(Login { username: registry::USER.into(), password: registry::PASSWORD.into() })),
        )
        .await
        .expect("a builder");
        Self { builder: Arc::new(builder), registry, heard: Arc::default(), app: app.to_owned(), _work: work }
    }

    /// A job for these files.
    pub fn job(&self, files: &Files) -> Job {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mut random = [0; 10];
        random[..4].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        random[4..8].copy_from_slice(&std::process::id().to_be_bytes());
        Job {
            build: model::BuildId::mint(random),
            app: format!("testing/{}/dev", self.app).parse().expect("an app"),
            source: Arc::new(files.clone()),
            manifest: files.manifest(),
        }
    }

    /// Builds these files.
    pub async fn build(&self, files: &Files) -> Result<Slug, Trouble> {
        self.build_job(&self.job(files), CancellationToken::new()).await
    }

    /// Runs a job.
    pub async fn build_job(&self, job: &Job, cancel: CancellationToken) -> Result<Slug, Trouble> {
        let prepared = self.builder.prepare(job).await?;
        self.builder.build(job, &prepared, self.heard.clone(), cancel).await
    }

    /// Forgets the app's cache.
    pub async fn purge(&self) {
        self.builder
            .purge_cache(&format!("testing/{}/dev", self.app).parse::<model::AppEnv>().expect("an app").app_ref())
            .await
            .expect("purged");
    }

    /// Nothing of a build is left in the engine or in the work folder.
    pub fn assert_clean(&self, job: &Job) {
        let left = docker(&["ps", "--all", "--quiet", "--filter", &format!("label=slipway.build={}", job.build)]);
        assert_eq!(left, "", "a container of {} was left behind", job.build);
        let files: Vec<PathBuf> =
            std::fs::read_dir(self._work.path()).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
        assert!(files.is_empty(), "files were left behind: {files:?}");
    }

    /// Pulls an image and runs its main command; gives what `path` answers.
    pub async fn serve(&self, slug: &Slug) -> Running {
        let image = slug.image.pull_name(&self.registry);
        let login = tempfile::tempdir().expect("a folder");
        let token =
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{}:{}", registry::USER, registry::PASSWORD));
        std::fs::write(login.path().join("config.json"), format!(r#"{{"auths":{{"{}":{{"auth":"{token}"}}}}}}"#, self.registry))
            .expect("written");
        docker(&["--config", &login.path().display().to_string(), "pull", "--quiet", &image]);
        let command = &slug.processes[&model::ProcessName::web()];
        let container = docker(&[
            "run",
            "--detach",
            "--init",
            "--label",
            "slipway.kind=build-test",
            "--read-only",
            "--tmpfs",
            "/tmp",
            "--cap-drop",
            "ALL",
            "--security-opt",
            "no-new-privileges",
            "--env",
            "PORT=8123",
            "--publish",
            "127.0.0.1::8123",
            &image,
            "/bin/bash",
            "-c",
            command,
        ]);
        let address = docker(&["port", &container, "8123"]).lines().next().expect("a port").to_owned();
        Running { container, image, address }
    }
}

/// A running slug.
pub struct Running {
    container: String,
    image: String,
    address: String,
}

impl Running {
    /// The answer to a GET, once there is one: status line, headers, body.
    pub async fn get(&self, path: &str) -> String {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            let output = Command::new("curl")
                .args(["--silent", "--show-error", "--include", "--max-time", "5", &format!("http://{}{path}", self.address)])
                .output()
                .expect("curl");
            if output.status.success() {
                return String::from_utf8_lossy(&output.stdout).into_owned();
            }
            assert!(
                std::time::Instant::now() < deadline,
                "{path} did not answer: {}\n{}",
                String::from_utf8_lossy(&output.stderr),
                docker(&["logs", &self.container])
            );
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    /// What a command in it prints.
    pub fn exec(&self, command: &str) -> String {
        docker(&["exec", &self.container, "/bin/sh", "-c", command])
    }

    /// Seconds that it takes to end after TERM.
    pub fn stop(&self) -> f64 {
        let start = std::time::Instant::now();
        docker(&["stop", "--time", "10", &self.container]);
        start.elapsed().as_secs_f64()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "--force", "--volumes", &self.container]).output();
        let _ = Command::new("docker").args(["rmi", &self.image]).output();
    }
}

/// Runs docker; gives what it prints.
pub fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).output().expect("the docker client is installed");
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
