//! `Engine`: Docker, as far as builds need it. The only file of this crate that knows bollard.
//!
//! Owns the translation of the builder's calls into the engine's API. Must never decide anything, and never use the engine's own
//! image builder: tenants' code runs in plain containers with explicit limits.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::models::{
    ContainerConfig, ContainerCreateBody, HostConfig, HostConfigLogConfig, Ipam, IpamConfig, Mount, MountType, NetworkCreateRequest,
    ResourcesUlimits, VolumeCreateRequest,
};
use bollard::query_parameters as query;
use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt};

mod transfer_progress;
mod types;

pub use transfer_progress::OnTransfer;
pub use types::{
    Bytestream, ContainerDirs, ContainerExit, ContainerOutput, ContainerSpec, ImageInfo, Input, LayerConfig, ListedContainer, ListedImage,
    ResourceLimits,
};

use transfer_progress::TransferProgress;

use crate::timeouts::{CHANGE, QUERY, STALL, TRANSFER, stall_guard};

/// How long a network that somebody else is making may take to appear.
const MADE_BY_ANOTHER: Duration = Duration::from_secs(3);

/// A failure of the engine, with what was being done.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing}")]
pub struct EngineError {
    /// What was being done, as a fragment: "create the container".
    pub doing: &'static str,
    /// What the engine said.
    #[source]
    pub source: Box<Error>,
}

impl EngineError {
    /// Whether the engine can not be reached at all.
    pub fn is_unreachable(&self) -> bool {
        !matches!(
            *self.source,
            Error::DockerResponseServerError { .. }
                | Error::DockerStreamError { .. }
                | Error::DockerContainerWaitError { .. }
                | Error::JsonDataError { .. }
        )
    }

    /// Whether the engine does not have what was named.
    pub fn is_missing(&self) -> bool {
        self.status() == Some(404)
    }

    /// Whether the disk of the engine is full.
    pub fn is_full(&self) -> bool {
        self.source.to_string().contains("no space left on device")
    }

    /// What was seen, in words for everybody: no path, no address.
    pub fn evidence(&self) -> String {
        let causes = std::iter::successors(std::error::Error::source(&*self.source), |cause| cause.source());
        let refused = causes.filter_map(|cause| cause.downcast_ref::<std::io::Error>()).last();
        match (&*self.source, refused) {
            (Error::SocketNotFoundError(_), _) => format!("could not {}: {}", self.doing, std::io::ErrorKind::NotFound),
            (Error::RequestTimeoutError, _) => format!("could not {}: no answer in time", self.doing),
            (_, Some(io)) => format!("could not {}: {}", self.doing, io.kind()),
            _ => format!("could not {}: the connection broke", self.doing),
        }
    }

    fn status(&self) -> Option<u16> {
        match *self.source {
            Error::DockerResponseServerError { status_code, .. } => Some(status_code),
            _ => None,
        }
    }
}

/// A call to the engine, with the longest that it may take.
trait Within<T> {
    async fn within(self, limit: Duration, doing: &'static str) -> Result<T, EngineError>;
}

impl<T, F: Future<Output = Result<T, Error>>> Within<T> for F {
    async fn within(self, limit: Duration, doing: &'static str) -> Result<T, EngineError> {
        let answer = tokio::time::timeout(limit, self).await.unwrap_or(Err(Error::RequestTimeoutError));
        answer.map_err(|source| EngineError { doing, source: Box::new(source) })
    }
}

/// Reads what the engine reports of its progress to the end; each line is due within `STALL`.
async fn progress<T>(
    stream: impl Stream<Item = Result<T, Error>>,
    doing: &'static str,
    mut heard: impl FnMut(T),
) -> Result<(), EngineError> {
    let mut stream = std::pin::pin!(stream);
    while let Some(report) = stream.next().map(Option::transpose).within(STALL, doing).await? {
        heard(report);
    }
    Ok(())
}

/// The client of Docker. The engine may be away when this is made, and at any time after.
#[derive(Debug, Clone)]
pub struct Engine {
    socket: String,
    /// Made with the first answer, which negotiates the version of the API.
    client: Arc<OnceLock<Docker>>,
}

impl Engine {
    /// The engine behind a unix socket. Asks nothing yet.
    pub fn at(socket: &str) -> Self {
        Self { socket: socket.to_owned(), client: Arc::default() }
    }

    async fn docker(&self) -> Result<&Docker, EngineError> {
        if let Some(docker) = self.client.get() {
            return Ok(docker);
        }
        // Each call has a limit of its own; the client's is that of the longest.
        let made = Docker::connect_with_unix(&self.socket, TRANSFER.as_secs(), bollard::API_DEFAULT_VERSION);
        let docker = made.map_err(|source| EngineError { doing: "connect to Docker", source: Box::new(source) })?;
        let docker = docker.negotiate_version().within(QUERY, "connect to Docker").await?;
        Ok(self.client.get_or_init(|| docker))
    }

    /// What an image says about itself; none when it is not here.
    pub async fn image(&self, name: &str) -> Result<Option<ImageInfo>, EngineError> {
        match self.docker().await?.inspect_image(name).within(QUERY, "inspect an image").await {
            Ok(image) => Ok(Some(ImageInfo {
                labels: image.config.and_then(|config| config.labels).unwrap_or_default().into_iter().collect(),
                size: image.size.unwrap_or_default().max(0) as u64,
            })),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Pulls an image, `name` with its tag or digest, reporting how much is here.
    pub async fn pull(&self, name: &str, login: Option<(String, String)>, told: OnTransfer<'_>) -> Result<(), EngineError> {
        let options = query::CreateImageOptions { from_image: Some(name.into()), ..Default::default() };
        let mut transfer = TransferProgress::default();
        progress(self.docker().await?.create_image(Some(options), None, login.map(credentials)), "pull an image", |report| {
            let sizes = report.progress_detail.and_then(|detail| Some((detail.current?, detail.total.unwrap_or_default())));
            let (id, status) = (report.id.unwrap_or_default(), report.status.unwrap_or_default());
            transfer.pulled(&id, &status, sizes).into_iter().for_each(told);
        })
        .await
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
        self.docker()
            .await?
            .create_image(Some(options), Some(body), None)
            .try_for_each(|_| async { Ok(()) })
            .within(TRANSFER, "import the base image")
            .await
    }

    /// Pushes a tagged image, reporting how much is there.
    pub async fn push(
        &self,
        repository: &str,
        tag: &str,
        login: Option<(String, String)>,
        told: OnTransfer<'_>,
    ) -> Result<(), EngineError> {
        let options = query::PushImageOptions { tag: Some(tag.into()), platform: None };
        let mut transfer = TransferProgress::default();
        progress(self.docker().await?.push_image(repository, Some(options), login.map(credentials)), "push a stack layer", |report| {
            let sizes = report.progress_detail.and_then(|detail| Some((detail.current?, detail.total.unwrap_or_default())));
            transfer.pushed(&report.status.unwrap_or_default(), sizes).into_iter().for_each(told);
        })
        .await
    }

    /// Gives an image another name.
    pub async fn tag(&self, image: &str, repository: &str, tag: &str) -> Result<(), EngineError> {
        let options = query::TagImageOptions { repo: Some(repository.into()), tag: Some(tag.into()) };
        self.docker().await?.tag_image(image, Some(options)).within(QUERY, "tag an image").await
    }

    /// Removes a name of an image.
    pub async fn untag(&self, name: &str) -> Result<(), EngineError> {
        match self.docker().await?.remove_image(name, None::<query::RemoveImageOptions>, None).within(CHANGE, "remove an image").await {
            Err(error) if error.status() != Some(404) => Err(error),
            _ => Ok(()),
        }
    }

    /// Images that carry all of these labels, `key` or `key=value`.
    pub async fn images(&self, labels: &[String]) -> Result<Vec<ListedImage>, EngineError> {
        let filters = HashMap::from([("label".to_owned(), labels.to_vec())]);
        let options = query::ListImagesOptions { filters: Some(filters), ..Default::default() };
        let list = self.docker().await?.list_images(Some(options)).within(QUERY, "list images").await?;
        let named = |tags: Vec<String>| tags.into_iter().filter(|tag| !tag.contains("<none>")).collect();
        let listed = list.into_iter().map(|image| ListedImage {
            id: image.id,
            names: named(image.repo_tags),
            labels: image.labels.into_iter().collect(),
            created: image.created,
        });
        Ok(listed.collect())
    }

    /// Removes an image, or a name of it, unless a container or another image uses it; says whether it went.
    pub async fn remove_unused(&self, name: &str) -> Result<bool, EngineError> {
        match self.docker().await?.remove_image(name, None::<query::RemoveImageOptions>, None).within(CHANGE, "remove an image").await {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.status(), Some(404 | 409)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Creates a container and returns its id.
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
        if let Some(resources) = spec.resources {
            let fixed = |name: &str, value: i64| ResourcesUlimits { name: Some(name.into()), soft: Some(value), hard: Some(value) };
            host.memory = Some(resources.memory as i64);
            host.memory_swap = Some(resources.memory as i64);
            host.nano_cpus = Some(i64::from(resources.cpu_millis) * 1_000_000);
            host.pids_limit = Some(i64::from(resources.pids));
            host.cap_drop = Some(vec!["ALL".into()]);
            host.security_opt = Some(vec!["no-new-privileges".into(), format!("seccomp={}", model::seccomp::PROFILE)]);
            host.ulimits = Some(vec![fixed("core", 0), fixed("fsize", resources.file_size as i64)]);
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
            attach_stdin: Some(spec.reads),
            open_stdin: Some(spec.reads),
            stdin_once: Some(spec.reads),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            host_config: Some(host),
            ..Default::default()
        };
        let options = query::CreateContainerOptions { name: Some(spec.name), ..Default::default() };
        Ok(self.docker().await?.create_container(Some(options), body).within(CHANGE, "create a container").await?.id)
    }

    /// Unpacks a tar in a container that need not run.
    pub async fn upload(&self, container: &str, folder: &str, tar: Bytestream) -> Result<(), EngineError> {
        let options = query::UploadToContainerOptions { path: folder.into(), ..Default::default() };
        let doing = "copy files into a layer";
        let (tar, stalled) = stall_guard(tar);
        let uploading = self.docker().await?.upload_to_container(container, Some(options), bollard::body_try_stream(tar));
        tokio::select! {
            uploaded = uploading.within(TRANSFER, doing) => uploaded,
            () = stalled => Err(EngineError { doing, source: Box::new(Error::RequestTimeoutError) }),
        }
    }

    /// Opens the input and the output of a container; to be called before it starts. A container that does not read has no input.
    pub async fn attach(&self, container: &str) -> Result<(Input, ContainerOutput), EngineError> {
        use bollard::container::LogOutput;
        let options = query::AttachContainerOptions { stream: true, stdin: true, stdout: true, stderr: true, ..Default::default() };
        let attached = self.docker().await?.attach_container(container, Some(options)).within(CHANGE, "read the output of a build").await?;
        let output = attached
            .output
            .map_ok(|frame| (matches!(frame, LogOutput::StdErr { .. }), frame.into_bytes()))
            .map_err(|source| std::io::Error::other(EngineError { doing: "read the output of a build", source: Box::new(source) }));
        Ok((attached.input, Box::pin(output)))
    }

    /// Starts a container.
    pub async fn start(&self, container: &str) -> Result<(), EngineError> {
        self.docker().await?.start_container(container, None).within(CHANGE, "start a container").await
    }

    /// Whether a container runs; one that is not there does not.
    pub async fn runs(&self, container: &str) -> Result<bool, EngineError> {
        match self.docker().await?.inspect_container(container, None).within(QUERY, "inspect a container").await {
            Ok(facts) => Ok(facts.state.and_then(|state| state.running).unwrap_or(false)),
            Err(error) if error.status() == Some(404) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits until a container has ended. The engine is asked now and then as well: some lose the end that is waited for.
    pub async fn ended(&self, container: &str) -> Result<ContainerExit, EngineError> {
        let mut waiting = std::pin::pin!(self.docker().await?.wait_container(container, None));
        loop {
            match tokio::time::timeout(QUERY, waiting.next()).await {
                Ok(Some(Err(source))) if !matches!(source, Error::DockerContainerWaitError { .. }) => {
                    return Err(EngineError { doing: "wait for a container", source: Box::new(source) });
                }
                Ok(_) => break,
                Err(_) if !self.runs(container).await? => break,
                Err(_) => {}
            }
        }
        let state =
            self.docker().await?.inspect_container(container, None).within(QUERY, "inspect a container").await?.state.unwrap_or_default();
        Ok(ContainerExit { code: state.exit_code.unwrap_or(-1), out_of_memory: state.oom_killed.unwrap_or(false) })
    }

    /// Kills every process of a container; one that has ended is as good.
    pub async fn kill(&self, container: &str) -> Result<(), EngineError> {
        match self.docker().await?.kill_container(container, None).within(CHANGE, "kill a container").await {
            Err(error) if !matches!(error.status(), Some(404 | 409)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes a container with everything that it wrote.
    pub async fn remove(&self, container: &str) -> Result<(), EngineError> {
        let options = query::RemoveContainerOptions { force: true, v: true, ..Default::default() };
        match self.docker().await?.remove_container(container, Some(options)).within(CHANGE, "remove a container").await {
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
        self.docker().await?.commit_container(options, config).within(TRANSFER, "store a stack layer").await.map(|_| ())
    }

    /// Containers, ended ones too, that carry all of these labels, `key=value`.
    pub async fn labelled(&self, labels: &[String]) -> Result<Vec<ListedContainer>, EngineError> {
        let filters = HashMap::from([("label".to_owned(), labels.to_vec())]);
        let options = query::ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let list = self.docker().await?.list_containers(Some(options)).within(QUERY, "list containers").await?;
        Ok(list
            .into_iter()
            .map(|container| ListedContainer {
                id: container.id.unwrap_or_default(),
                name: container.names.unwrap_or_default().first().map(|name| name.trim_start_matches('/').to_owned()).unwrap_or_default(),
                labels: container.labels.unwrap_or_default().into_iter().collect(),
                created: container.created.unwrap_or_default(),
            })
            .collect())
    }

    /// Processes and threads of a container at this moment.
    pub async fn processes(&self, container: &str) -> Result<u64, EngineError> {
        let options = query::StatsOptions { stream: false, one_shot: true };
        let mut stats = std::pin::pin!(self.docker().await?.stats(container, Some(options)));
        let sample = stats.next().map(Option::transpose).within(QUERY, "measure a build").await?;
        Ok(sample.and_then(|sample| sample.pids_stats).and_then(|pids| pids.current).unwrap_or_default())
    }

    /// Bytes that a container wrote to its own layer, as the engine counts them.
    pub async fn written(&self, container: &str) -> Result<u64, EngineError> {
        let options = query::InspectContainerOptions { size: true };
        let facts = self.docker().await?.inspect_container(container, Some(options)).within(QUERY, "measure a build").await?;
        Ok(facts.size_rw.unwrap_or_default().max(0) as u64)
    }

    /// Where a container's files lie.
    pub async fn places(&self, container: &str) -> Result<ContainerDirs, EngineError> {
        let facts = self.docker().await?.inspect_container(container, None).within(QUERY, "inspect a container").await?;
        let layer = facts.graph_driver.and_then(|driver| driver.data.get("UpperDir").cloned()).map(PathBuf::from);
        let volumes = facts.mounts.unwrap_or_default().into_iter().filter_map(|mount| mount.source).map(PathBuf::from).collect();
        Ok(ContainerDirs { layer, volumes })
    }

    /// Makes a network unless it is there: own bridge, no traffic between its containers.
    pub async fn network(&self, name: &str, bridge: &str, subnet: &str) -> Result<(), EngineError> {
        match self.docker().await?.inspect_network(name, None).within(QUERY, "look for the network of builds").await {
            Ok(_) => return Ok(()),
            Err(error) if error.status() == Some(404) => {}
            Err(error) => return Err(error),
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
        let Err(error) = self.docker().await?.create_network(request).within(CHANGE, "make the network of builds").await else {
            return Ok(());
        };
        // Another build or the supervisor may be making it: the engine calls that a conflict of names or of addresses, and does not
        // show it before it is done.
        let deadline = Instant::now() + MADE_BY_ANOTHER;
        while error.status().is_some() && Instant::now() < deadline {
            match self.docker().await?.inspect_network(name, None).within(QUERY, "look for the network of builds").await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_missing() => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(error) => return Err(error),
            }
        }
        Err(error)
    }

    /// Makes a volume unless it is there.
    pub async fn volume(&self, name: &str, labels: HashMap<String, String>) -> Result<(), EngineError> {
        let request = VolumeCreateRequest { name: Some(name.into()), labels: Some(labels), ..Default::default() };
        self.docker().await?.create_volume(request).within(CHANGE, "make the cache of an app").await.map(|_| ())
    }

    /// Volumes that carry a label.
    pub async fn volumes(&self, labels: &[String]) -> Result<Vec<String>, EngineError> {
        let options = query::ListVolumesOptions { filters: Some(HashMap::from([("label".to_owned(), labels.to_vec())])) };
        let list = self.docker().await?.list_volumes(Some(options)).within(QUERY, "list caches").await?;
        Ok(list.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect())
    }

    /// Where a volume lies on this machine, if it is there.
    pub async fn volume_place(&self, name: &str) -> Result<Option<PathBuf>, EngineError> {
        match self.docker().await?.inspect_volume(name).within(QUERY, "look at a cache").await {
            Ok(volume) => Ok(Some(volume.mountpoint.into())),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a volume; one that is in use stays and says so.
    pub async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        match self.docker().await?.remove_volume(name, None::<query::RemoveVolumeOptions>).within(CHANGE, "remove a cache").await {
            Err(error) if error.status() != Some(404) => Err(error),
            _ => Ok(()),
        }
    }
}

fn credentials((username, password): (String, String)) -> DockerCredentials {
    DockerCredentials { username: Some(username), password: Some(password), ..Default::default() }
}
