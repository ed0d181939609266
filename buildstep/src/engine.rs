//! `Engine`: Docker, as far as builds need it. The only file of this crate that knows bollard.
//!
//! Owns the translation of our few wishes into the engine's API. Must never decide anything, and never use the engine's own
//! image builder: tenants' code runs in plain containers with explicit limits.

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::Pin;

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::models::{
    ContainerConfig, ContainerCreateBody, HostConfig, HostConfigLogConfig, Ipam, IpamConfig, Mount, MountType, NetworkCreateRequest,
    ResourcesUlimits, VolumeCreateRequest,
};
use bollard::query_parameters as query;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};

/// A failure of the engine, with what was being done.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing}")]
pub struct EngineError {
    /// What was being done, as a fragment: "create the container".
    pub doing: &'static str,
    /// What the engine said.
    #[source]
    pub source: Box<bollard::errors::Error>,
}

impl EngineError {
    /// Whether the engine can not be reached at all.
    pub fn is_unreachable(&self) -> bool {
        use bollard::errors::Error;
        !matches!(
            *self.source,
            Error::DockerResponseServerError { .. }
                | Error::DockerStreamError { .. }
                | Error::DockerContainerWaitError { .. }
                | Error::JsonDataError { .. }
        )
    }

    /// Whether the disk of the engine is full.
    pub fn is_full(&self) -> bool {
        self.source.to_string().contains("no space left on device")
    }

    fn status(&self) -> Option<u16> {
        match *self.source {
            bollard::errors::Error::DockerResponseServerError { status_code, .. } => Some(status_code),
            _ => None,
        }
    }
}

trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, EngineError>;
}

impl<T> Doing<T> for Result<T, bollard::errors::Error> {
    fn doing(self, doing: &'static str) -> Result<T, EngineError> {
        self.map_err(|source| EngineError { doing, source: Box::new(source) })
    }
}

/// Bytes from the engine.
pub type Bytestream = Pin<Box<dyn Stream<Item = Result<Bytes, std::io::Error>> + Send>>;

/// Output of a container; the flag tells standard error.
pub type Output = Pin<Box<dyn Stream<Item = Result<(bool, Bytes), std::io::Error>> + Send>>;

/// A container to create.
#[derive(Debug, Clone, Default)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// The image to run.
    pub image: String,
    /// The command.
    pub command: Vec<String>,
    /// Environment, `NAME=value`.
    pub env: Vec<String>,
    /// User and group, `uid:gid`; empty for that of the image.
    pub user: String,
    /// Working directory.
    pub workdir: String,
    /// Labels.
    pub labels: HashMap<String, String>,
    /// The network, or `container:<id>` for that of another container; none for the engine's default one.
    pub network: Option<String>,
    /// Named volumes by mount point.
    pub volumes: Vec<(String, String)>,
    /// What it may use; none for the platform's own work.
    pub walls: Option<Walls>,
}

/// Limits of a container that runs foreign code.
#[derive(Debug, Clone, Copy)]
pub struct Walls {
    /// Memory in bytes; there is no swap on top.
    pub memory: u64,
    /// Thousandths of a core.
    pub cpu_millis: u32,
    /// Processes and threads.
    pub pids: u32,
    /// Largest single file in bytes.
    pub file_size: u64,
}

/// What an image says about itself.
#[derive(Debug, Clone)]
pub struct ImageFacts {
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// Its size in bytes, all layers.
    pub size: u64,
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Exit code.
    pub code: i64,
    /// Whether anything in it was killed for memory.
    pub out_of_memory: bool,
}

/// Where a container's files lie on this machine, if the engine says so.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The writable layer.
    pub layer: Option<PathBuf>,
    /// The volumes.
    pub volumes: Vec<PathBuf>,
}

/// A connection to Docker.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
}

impl Engine {
    /// Connects through a unix socket.
    pub async fn connect(socket: &str) -> Result<Self, EngineError> {
        // Uploads are answered at their end only, so the time to the answer is that of the whole upload.
        let docker = Docker::connect_with_unix(socket, 1800, bollard::API_DEFAULT_VERSION).doing("connect to Docker")?;
        let docker = docker.negotiate_version().await.doing("connect to Docker")?;
        Ok(Self { docker })
    }

    /// What an image says about itself; none when it is not here.
    pub async fn image(&self, name: &str) -> Result<Option<ImageFacts>, EngineError> {
        match self.docker.inspect_image(name).await.doing("inspect an image") {
            Ok(image) => Ok(Some(ImageFacts {
                labels: image.config.and_then(|config| config.labels).unwrap_or_default().into_iter().collect(),
                size: image.size.unwrap_or_default().max(0) as u64,
            })),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Pulls an image, `name` with its tag or digest.
    pub async fn pull(&self, name: &str, login: Option<(String, String)>) -> Result<(), EngineError> {
        let options = query::CreateImageOptions { from_image: Some(name.into()), ..Default::default() };
        self.docker
            .create_image(Some(options), None, login.map(credentials))
            .try_for_each(|_| async { Ok(()) })
            .await
            .doing("pull an image")
    }

    /// Makes an image of one layer out of a tar, applying Dockerfile-like `changes`.
    pub async fn import(&self, tar: Bytestream, repository: &str, tag: &str, changes: Vec<String>) -> Result<(), EngineError> {
        let options = query::CreateImageOptions {
            from_src: Some("-".into()),
            repo: Some(repository.into()),
            tag: Some(tag.into()),
            changes,
            ..Default::default()
        };
        let body = bollard::body_try_stream(tar);
        self.docker.create_image(Some(options), Some(body), None).try_for_each(|_| async { Ok(()) }).await.doing("import the base image")
    }

    /// Pushes a tagged image, reporting each layer's state.
    pub async fn push(&self, repository: &str, tag: &str, login: Option<(String, String)>) -> Result<(), EngineError> {
        let options = query::PushImageOptions { tag: Some(tag.into()), platform: None };
        self.docker
            .push_image(repository, Some(options), login.map(credentials))
            .try_for_each(|_| async { Ok(()) })
            .await
            .doing("push a stack layer")
    }

    /// Gives an image another name.
    pub async fn tag(&self, image: &str, repository: &str, tag: &str) -> Result<(), EngineError> {
        let options = query::TagImageOptions { repo: Some(repository.into()), tag: Some(tag.into()) };
        self.docker.tag_image(image, Some(options)).await.doing("tag an image")
    }

    /// Removes a name of an image.
    pub async fn untag(&self, name: &str) -> Result<(), EngineError> {
        match self.docker.remove_image(name, None::<query::RemoveImageOptions>, None).await.doing("remove an image") {
            Err(error) if error.status() != Some(404) => Err(error),
            _ => Ok(()),
        }
    }

    /// Creates a container.
    pub async fn create(&self, spec: ContainerSpec) -> Result<String, EngineError> {
        let mounts = spec.volumes.iter().map(|(target, volume)| Mount {
            target: Some(target.clone()),
            source: Some(volume.clone()),
            typ: Some(MountType::VOLUME),
            ..Default::default()
        });
        // A container in the network of another one has that one's host name too.
        let hostname = spec.network.as_deref().is_none_or(|network| !network.starts_with("container:")).then(|| "build".to_owned());
        let mut host = HostConfig {
            network_mode: spec.network,
            mounts: Some(mounts.collect()),
            // The output is read as it comes; a copy on disk would be a way to fill it.
            log_config: Some(HostConfigLogConfig { typ: Some("none".into()), config: None }),
            init: Some(true),
            ..Default::default()
        };
        if let Some(walls) = spec.walls {
            let fixed = |name: &str, value: i64| ResourcesUlimits { name: Some(name.into()), soft: Some(value), hard: Some(value) };
            host.memory = Some(walls.memory as i64);
            host.memory_swap = Some(walls.memory as i64);
            host.nano_cpus = Some(i64::from(walls.cpu_millis) * 1_000_000);
            host.pids_limit = Some(i64::from(walls.pids));
            host.cap_drop = Some(vec!["ALL".into()]);
            host.security_opt = Some(vec!["no-new-privileges".into()]);
            host.ulimits = Some(vec![fixed("core", 0), fixed("fsize", walls.file_size as i64)]);
        }
        let body = ContainerCreateBody {
            image: Some(spec.image),
            cmd: Some(spec.command),
            entrypoint: Some(Vec::new()),
            env: Some(spec.env),
            user: Some(spec.user).filter(|user| !user.is_empty()),
            working_dir: Some(spec.workdir).filter(|workdir| !workdir.is_empty()),
            labels: Some(spec.labels),
            hostname,
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            host_config: Some(host),
            ..Default::default()
        };
        let options = query::CreateContainerOptions { name: Some(spec.name), ..Default::default() };
        Ok(self.docker.create_container(Some(options), body).await.doing("create a container")?.id)
    }

    /// Unpacks a tar in a container that need not run.
    pub async fn upload(&self, container: &str, folder: &str, tar: Bytestream) -> Result<(), EngineError> {
        let options = query::UploadToContainerOptions { path: folder.into(), ..Default::default() };
        self.docker
            .upload_to_container(container, Some(options), bollard::body_try_stream(tar))
            .await
            .doing("copy the source into the build")
    }

    /// A tar of a path of a container that need not run.
    pub fn download(&self, container: &str, path: &str) -> Bytestream {
        let options = query::DownloadFromContainerOptions { path: path.into() };
        Box::pin(self.docker.download_from_container(container, Some(options)).map_err(std::io::Error::other))
    }

    /// Opens the output of a container; to be called before it starts.
    pub async fn attach(&self, container: &str) -> Result<Output, EngineError> {
        use bollard::container::LogOutput;
        let options = query::AttachContainerOptions { stream: true, stdout: true, stderr: true, ..Default::default() };
        let attached = self.docker.attach_container(container, Some(options)).await.doing("read the output of a build")?;
        let output =
            attached.output.map_ok(|frame| (matches!(frame, LogOutput::StdErr { .. }), frame.into_bytes())).map_err(std::io::Error::other);
        Ok(Box::pin(output))
    }

    /// Starts a container.
    pub async fn start(&self, container: &str) -> Result<(), EngineError> {
        self.docker.start_container(container, None).await.doing("start a container")
    }

    /// Whether a container runs.
    pub async fn runs(&self, container: &str) -> Result<bool, EngineError> {
        match self.docker.inspect_container(container, None).await.doing("inspect a container") {
            Ok(facts) => Ok(facts.state.and_then(|state| state.running).unwrap_or(false)),
            Err(error) if error.status() == Some(404) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits until a container has ended.
    pub async fn ended(&self, container: &str) -> Result<Ended, EngineError> {
        let mut waiting = std::pin::pin!(self.docker.wait_container(container, None));
        if let Some(Err(error)) = waiting.next().await
            && !matches!(error, bollard::errors::Error::DockerContainerWaitError { .. })
        {
            return Err(error).doing("wait for a container");
        }
        let state = self.docker.inspect_container(container, None).await.doing("inspect a container")?.state.unwrap_or_default();
        Ok(Ended { code: state.exit_code.unwrap_or(-1), out_of_memory: state.oom_killed.unwrap_or(false) })
    }

    /// Kills every process of a container; one that has ended is as good.
    pub async fn kill(&self, container: &str) -> Result<(), EngineError> {
        match self.docker.kill_container(container, None).await.doing("kill a container") {
            Err(error) if !matches!(error.status(), Some(404 | 409)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes a container with everything that it wrote.
    pub async fn remove(&self, container: &str) -> Result<(), EngineError> {
        let options = query::RemoveContainerOptions { force: true, v: true, ..Default::default() };
        match self.docker.remove_container(container, Some(options)).await.doing("remove a container") {
            Err(error) if !matches!(error.status(), Some(404 | 409)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Makes a layer of what a container of the platform wrote. Never used for slugs.
    pub async fn commit(&self, container: &str, repository: &str, tag: &str, config: LayerConfig) -> Result<(), EngineError> {
        let options = query::CommitContainerOptions {
            container: Some(container.into()),
            repo: Some(repository.into()),
            tag: Some(tag.into()),
            pause: false,
            ..Default::default()
        };
        let config = ContainerConfig {
            user: Some(config.user),
            env: Some(config.env),
            working_dir: Some(config.workdir),
            labels: Some(config.labels),
            cmd: Some(vec!["/bin/bash".into()]),
            ..Default::default()
        };
        self.docker.commit_container(options, config).await.doing("store a stack layer").map(|_| ())
    }

    /// Containers that carry a label, as id and labels.
    pub async fn labelled(&self, labels: &[String]) -> Result<Vec<(String, HashMap<String, String>)>, EngineError> {
        let filters = HashMap::from([("label".to_owned(), labels.to_vec())]);
        let options = query::ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let list = self.docker.list_containers(Some(options)).await.doing("list containers")?;
        Ok(list
            .into_iter()
            .map(|container| (container.id.unwrap_or_default(), container.labels.unwrap_or_default().into_iter().collect()))
            .collect())
    }

    /// Processes and threads of a container at this moment.
    pub async fn processes(&self, container: &str) -> Result<u64, EngineError> {
        let options = query::StatsOptions { stream: false, one_shot: true };
        let mut stats = std::pin::pin!(self.docker.stats(container, Some(options)));
        let sample = stats.next().await.transpose().doing("measure a build")?;
        Ok(sample.and_then(|sample| sample.pids_stats).and_then(|pids| pids.current).unwrap_or_default())
    }

    /// Bytes that a container wrote to its own layer, as the engine counts them.
    pub async fn written(&self, container: &str) -> Result<u64, EngineError> {
        let options = query::InspectContainerOptions { size: true };
        let facts = self.docker.inspect_container(container, Some(options)).await.doing("measure a build")?;
        Ok(facts.size_rw.unwrap_or_default().max(0) as u64)
    }

    /// Where a container's files lie.
    pub async fn places(&self, container: &str) -> Result<Places, EngineError> {
        let facts = self.docker.inspect_container(container, None).await.doing("inspect a container")?;
        let layer = facts.graph_driver.and_then(|driver| driver.data.get("UpperDir").cloned()).map(PathBuf::from);
        let volumes = facts.mounts.unwrap_or_default().into_iter().filter_map(|mount| mount.source).map(PathBuf::from).collect();
        Ok(Places { layer, volumes })
    }

    /// Makes a network unless it is there: own bridge, no traffic between its containers.
    pub async fn network(&self, name: &str, bridge: &str, subnet: &str) -> Result<(), EngineError> {
        if self.docker.inspect_network(name, None).await.is_ok() {
            return Ok(());
        }
        let options = [("com.docker.network.bridge.name", bridge), ("com.docker.network.bridge.enable_icc", "false")];
        let request = NetworkCreateRequest {
            name: name.into(),
            driver: Some("bridge".into()),
            ipam: Some(Ipam { config: Some(vec![IpamConfig { subnet: Some(subnet.into()), ..Default::default() }]), ..Default::default() }),
            options: Some(options.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()),
            labels: Some(HashMap::from([("slipway.kind".to_owned(), "build".to_owned())])),
            ..Default::default()
        };
        match self.docker.create_network(request).await.doing("make the network of builds") {
            Err(error) if error.status() != Some(409) => Err(error),
            _ => Ok(()),
        }
    }

    /// Makes a volume unless it is there.
    pub async fn volume(&self, name: &str, labels: HashMap<String, String>) -> Result<(), EngineError> {
        let request = VolumeCreateRequest { name: Some(name.into()), labels: Some(labels), ..Default::default() };
        self.docker.create_volume(request).await.doing("make the cache of an app").map(|_| ())
    }

    /// Volumes that carry a label.
    pub async fn volumes(&self, labels: &[String]) -> Result<Vec<String>, EngineError> {
        let options = query::ListVolumesOptions { filters: Some(HashMap::from([("label".to_owned(), labels.to_vec())])) };
        let list = self.docker.list_volumes(Some(options)).await.doing("list caches")?;
        Ok(list.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect())
    }

    /// Where a volume lies on this machine, if it is there.
    pub async fn volume_place(&self, name: &str) -> Result<Option<PathBuf>, EngineError> {
        match self.docker.inspect_volume(name).await.doing("look at a cache") {
            Ok(volume) => Ok(Some(volume.mountpoint.into())),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a volume; one that is in use stays and says so.
    pub async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        match self.docker.remove_volume(name, None::<query::RemoveVolumeOptions>).await.doing("remove a cache") {
            Err(error) if error.status() != Some(404) => Err(error),
            _ => Ok(()),
        }
    }
}

/// What a stack layer says to those who run it.
#[derive(Debug, Clone, Default)]
pub struct LayerConfig {
    /// User and group.
    pub user: String,
    /// Environment.
    pub env: Vec<String>,
    /// Working directory.
    pub workdir: String,
    /// Labels.
    pub labels: HashMap<String, String>,
}

fn credentials((username, password): (String, String)) -> DockerCredentials {
    DockerCredentials { username: Some(username), password: Some(password), ..Default::default() }
}
