//! A host for tests: the real engine, an image of our own in a registry of our own, its own scope, network and directory.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use model::health::Probe;
use model::{
    AppEnv, Assignment, Capacity, HealthCheck, HostAssignments, HostName, ImageRef, InstanceId, InstanceState, InstanceStatus, Intent,
    ProcessName, ProcessSpec, ReleaseNumber, Resources, RunSpec,
};
use slugrunner::config::{Config, NetworkConfig};
use slugrunner::{DockerRuntime, LogStore, OneOffs, Runtime, Supervisor};
use store::live::{Coordination, Embedded, Expect, Life, Op};
use store::{Keyring, Live};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub mod registry;

static HOSTS: AtomicU8 = AtomicU8::new(0);

pub struct TestHost {
    pub tree: Arc<Embedded>,
    pub live: Live,
    pub config: Config,
    pub keyring: Arc<Keyring>,
    pub runtime: DockerRuntime,
    pub registry: registry::Registry,
    pub image: ImageRef,
    generation: u64,
    assigned: Vec<Assignment>,
    running: Option<(CancellationToken, JoinHandle<()>, LogStore, OneOffs)>,
    _dir: tempfile::TempDir,
}

pub fn app() -> AppEnv {
    "acme/shop/dev".parse().expect("an app")
}

/// A process that runs `command` and is healthy when its port accepts connections.
pub fn process(command: &str) -> ProcessSpec {
    ProcessSpec {
        command: command.into(),
        resources: Resources { memory_mb: 64, cpu_millis: 500, pids: 64 },
        health: Some(HealthCheck { start_s: 20, interval_s: 1, ..HealthCheck::of(Probe::Tcp) }),
        stop_grace_s: 5,
        drain_s: 5,
    }
}

/// Removes what a test left in the engine and in the packet filter, also when it failed.
impl Drop for TestHost {
    fn drop(&mut self) {
        if let Some((token, task, ..)) = self.running.take() {
            token.cancel();
            // What it still does would come after the cleaning.
            let deadline = std::time::Instant::now() + Duration::from_secs(10);
            while !task.is_finished() && std::time::Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let scope = &self.config.scope;
        let docker = |arguments: &[&str]| {
            let done = std::process::Command::new("docker").args(arguments).output();
            done.map(|done| String::from_utf8_lossy(&done.stdout).split_whitespace().map(str::to_owned).collect::<Vec<_>>())
                .unwrap_or_default()
        };
        for container in docker(&["ps", "-aq", "--filter", &format!("label=slipway.scope={scope}")]) {
            docker(&["rm", "-f", &container]);
        }
        docker(&["network", "rm", &format!("slw-{scope}"), &format!("slw-{scope}-b")]);
        for image in docker(&["images", "--digests", "--format", "{{.Repository}}@{{.Digest}}"]) {
            if image.starts_with(&format!("{}/", self.registry.address)) {
                docker(&["rmi", &image]);
            }
        }
        let firewall = slugrunner::firewall::Firewall::new(&self.config);
        let remove = || tokio::runtime::Runtime::new().expect("a runtime").block_on(firewall.remove());
        std::thread::scope(|threads| drop(threads.spawn(remove).join()));
    }
}

/// Serves `/app/index.html` on `$PORT`.
pub const SERVE: &str = "exec httpd -f -p $PORT -h /app";

impl TestHost {
    /// A host whose supervisor does not run yet.
    pub async fn new() -> Self {
        // Shown by the test runner when a test fails.
        let _ = tracing_subscriber::fmt().with_test_writer().with_max_level(tracing::Level::DEBUG).try_init();
        let number = HOSTS.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let (scope, dir) = (format!("t{pid}n{number}"), tempfile::tempdir().expect("a directory"));
        // Parallel test processes must not share a subnet: a /27 of 10.229/16 for each.
        let block = (pid + u32::from(number) * 1024) % 2048;
        let subnet = |half: u32| {
            let base = 0x0ae5_0000 + block * 32 + half * 16;
            format!("{}/28", std::net::Ipv4Addr::from_bits(base)).parse().expect("a subnet")
        };
        let registry = registry::Registry::start().await;
        let image = registry.add("acme/shop", "10001");
        let host: HostName = "testhost".parse().expect("a host");
        let zone = "zone-a".parse().expect("a zone");
        let mut config = Config::new(host, zone, Capacity { slots: 10, memory_mb: 1024, cpu_millis: 2000 }, dir.path().join("data"));
        config.network = NetworkConfig::new(format!("slw-{scope}"), subnet(0));
        config.build_network = Some(NetworkConfig::new(format!("slw-{scope}-b"), subnet(1)));
        config.registry = registry.address.to_string();
        config.scope = scope;
        let keyring = Arc::new(Keyring::open(&dir.path().join("key")).expect("a key"));
        let runtime = DockerRuntime::at("/var/run/docker.sock");
        let tree = Arc::new(Embedded::in_memory());
        let live = Live::new(tree.clone());
        Self { tree, live, config, keyring, runtime, registry, image, generation: 0, assigned: Vec::new(), running: None, _dir: dir }
    }

    /// A host whose supervisor runs.
    pub async fn up() -> Self {
        let mut host = Self::new().await;
        host.start().await;
        host
    }

    pub async fn start(&mut self) {
        let runtime: Arc<dyn Runtime> = Arc::new(self.runtime.clone());
        let supervisor = Supervisor::new(self.config.clone(), self.live.clone(), self.keyring.clone(), runtime).expect("its directories");
        let (logs, oneoffs, token) = (supervisor.logs(), supervisor.oneoffs(), CancellationToken::new());
        let task = tokio::spawn(supervisor.run(token.clone()));
        self.running = Some((token, task, logs, oneoffs));
    }

    /// Ends the supervisor, as a restart of the platform does.
    pub async fn stop(&mut self) {
        let (token, task, ..) = self.running.take().expect("a running supervisor");
        token.cancel();
        task.await.expect("the supervisor panicked");
    }

    pub fn logs(&self) -> LogStore {
        self.running.as_ref().expect("a running supervisor").2.clone()
    }

    pub fn oneoffs(&self) -> OneOffs {
        self.running.as_ref().expect("a running supervisor").3.clone()
    }

    /// Publishes a release with these processes.
    pub async fn release(&self, number: u32, processes: &[(&str, ProcessSpec)]) {
        self.release_with(number, processes, self.image.clone(), &[]).await;
    }

    pub async fn release_with(&self, number: u32, processes: &[(&str, ProcessSpec)], image: ImageRef, config: &[(&str, &str)]) {
        let config: BTreeMap<String, String> = config.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let spec = RunSpec {
            app: app(),
            release: ReleaseNumber(number),
            image,
            commit: "0123456789abcdef".into(),
            processes: processes.iter().map(|(name, process)| (name.parse().expect("a process name"), process.clone())).collect(),
            config: self.keyring.seal_map(&app().to_string(), &config),
        };
        self.live.put_spec(&spec).await.expect("a spec");
    }

    /// Orders one more instance.
    pub async fn order(&mut self, release: u32, process: &str, ordinal: u32) -> InstanceId {
        let instance = InstanceId::mint(store::random::bytes());
        self.assigned.push(Assignment {
            instance: instance.clone(),
            app: app(),
            process: process.parse::<ProcessName>().expect("a process name"),
            ordinal,
            release: ReleaseNumber(release),
            epoch: 0,
            intent: Intent::Run,
        });
        self.commit().await;
        instance
    }

    pub async fn drain(&mut self, instance: &InstanceId) {
        self.assigned.iter_mut().filter(|a| a.instance == *instance).for_each(|a| a.intent = Intent::Drain);
        self.commit().await;
    }

    pub async fn withdraw(&mut self, instance: &InstanceId) {
        self.assigned.retain(|a| a.instance != *instance);
        self.commit().await;
    }

    async fn commit(&mut self) {
        self.generation += 1;
        let orders = HostAssignments { host: self.config.host.clone(), generation: self.generation, assignments: self.assigned.clone() };
        let path = format!("assignments/{}", orders.host);
        let data = serde_json::to_vec(&orders).expect("a document");
        self.tree.commit(vec![Op::Put { path, data, expect: Expect::Any, life: Life::Persistent }]).await.expect("a commit");
    }

    pub async fn status(&self, instance: &InstanceId) -> Option<InstanceStatus> {
        self.live.instances().await.expect("instances").into_iter().find(|status| status.id == *instance)
    }

    /// Waits until an instance is as wanted.
    pub async fn wait(&self, instance: &InstanceId, what: &str, wanted: impl Fn(&InstanceStatus) -> bool) -> InstanceStatus {
        self.wait_for(what, async || {
            let status = self.status(instance).await;
            match status {
                Some(status) if wanted(&status) => Ok(status),
                other => Err(format!("{other:#?}")),
            }
        })
        .await
    }

    pub async fn wait_state(&self, instance: &InstanceId, state: InstanceState) -> InstanceStatus {
        self.wait(instance, state.as_str(), |status| status.state == state).await
    }

    /// Waits for anything; at the deadline it says what was seen last.
    pub async fn wait_for<T>(&self, what: &str, probe: impl AsyncFn() -> Result<T, String>) -> T {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            match probe().await {
                Ok(value) => return value,
                Err(seen) if tokio::time::Instant::now() > deadline => panic!("not within 60 s: {what}; seen last: {seen}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Containers of this host, by the engine.
    pub async fn containers(&self) -> Vec<slugrunner::runtime::Container> {
        self.runtime.list("slipway.scope", &self.config.scope).await.expect("a list")
    }

    /// Runs a shell command inside an instance; returns its exit code and output.
    pub async fn inside(&self, instance: &InstanceId, command: &str) -> (i64, String) {
        let containers = self.containers().await;
        let found = containers.iter().find(|one| one.labels.get("slipway.instance").is_some_and(|id| id == instance.as_str()));
        let id = &found.expect("the container of the instance").id;
        self.runtime.exec(id, ["sh", "-c", command].map(str::to_owned).to_vec()).await.expect("a command inside")
    }
}

pub async fn get(address: SocketAddr) -> Result<String, std::io::Error> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}
