//! The Docker Engine behind `Runtime`. The only file of this crate that knows bollard.
//!
//! Works with API 1.41 (Engine 20.10) and later: the version is agreed with the first answer. The engine may be away at the start,
//! go away and come back at any time; the client finds it by itself.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::{
    ContainerCreateBody, ContainerSummaryStateEnum, EndpointIpamConfig, EndpointSettings, HostConfig, HostConfigLogConfig, Ipam,
    IpamConfig, NetworkCreateRequest, NetworkingConfig, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters as query;
use futures_util::{StreamExt, TryFutureExt, TryStreamExt};
use model::Time;

use crate::config::{Credentials, NetworkConfig};
use crate::runtime::{
    Attached, Container, ContainerId, ContainerSpec, Image, Inspection, LogEntry, LogQuery, OutputChunk, RunState, Runtime, RuntimeError,
    Signal, Streamed,
};

/// How much of a probe command's output is read.
const EXEC_OUTPUT: usize = 4 * 1024;

/// Timeout of calls that only read the engine's state: inspect, list.
const ASK: Duration = Duration::from_secs(10);
/// Timeout of calls that change something: create, start, signal, remove. A busy disk makes a removal slow.
const ACT: Duration = Duration::from_secs(30);
/// Timeout of a whole pull, and between two of its progress reports.
const PULL: Duration = Duration::from_secs(1800);
const PULL_STALL: Duration = Duration::from_secs(120);

/// The engine did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} s", .0.as_secs())]
struct Silent(Duration);

/// Runs a call with a timeout: an engine that hangs must never hold the loop.
async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, Error>>) -> Result<T, RuntimeError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(fail),
        Err(_) => Err(RuntimeError::Unreachable(Box::new(Silent(limit)))),
    }
}

/// The client of the engine. The engine may be away when this is made, and at any time after.
#[derive(Debug, Clone)]
pub struct DockerRuntime {
    socket: String,
    /// Made with the first answer, which negotiates the version of the API.
    client: Arc<OnceLock<Docker>>,
}

impl DockerRuntime {
    /// The engine behind a unix socket. Asks nothing yet.
    pub fn at(socket: &str) -> Self {
        Self { socket: socket.to_owned(), client: Arc::default() }
    }

    async fn docker(&self) -> Result<&Docker, RuntimeError> {
        if let Some(docker) = self.client.get() {
            return Ok(docker);
        }
        // Each call has a limit of its own; the client's is that of the longest.
        let docker = Docker::connect_with_unix(&self.socket, PULL.as_secs(), bollard::API_DEFAULT_VERSION).map_err(fail)?;
        let docker = within(ASK, docker.negotiate_version()).await?;
        Ok(self.client.get_or_init(|| docker))
    }
}

fn fail(error: Error) -> RuntimeError {
    match error {
        Error::DockerResponseServerError { status_code: 404, .. } => RuntimeError::NoSuchContainer,
        Error::DockerResponseServerError { status_code: 409, message } => RuntimeError::Conflict { message },
        Error::DockerResponseServerError { status_code, message } if message.contains("Address already in use") => {
            tracing::debug!(status_code, "the engine says that an address is taken");
            RuntimeError::Conflict { message }
        }
        Error::DockerResponseServerError { status_code, message } => RuntimeError::Refused { status: status_code, message },
        other => RuntimeError::Unreachable(Box::new(other)),
    }
}

fn pull_failed(image: &str, error: Error) -> RuntimeError {
    let message = match error {
        Error::DockerResponseServerError { message, .. } => message,
        Error::DockerStreamError { error } => error,
        other => return RuntimeError::Unreachable(Box::new(other)),
    };
    // The engine has no code for it: "manifest for X not found: manifest unknown", "repository does not exist".
    let missing = ["manifest unknown", "not found", "name unknown", "does not exist"].iter().any(|sign| message.contains(sign));
    if missing { RuntimeError::NoSuchImage { image: image.into() } } else { RuntimeError::PullFailed { image: image.into(), message } }
}

fn filter(key: &str, values: &[&str]) -> (String, Vec<String>) {
    (key.to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
}

fn body(spec: &ContainerSpec) -> ContainerCreateBody {
    let memory = i64::from(spec.resources.memory_mb) * 1024 * 1024;
    let (program, arguments) = spec.argv.split_first().map_or((None, None), |(p, a)| (Some(vec![p.clone()]), Some(a.to_vec())));
    let ulimit = |name: &str, value| ResourcesUlimits { name: Some(name.into()), soft: Some(value), hard: Some(value) };
    let endpoint = EndpointSettings {
        ipam_config: Some(EndpointIpamConfig { ipv4_address: Some(spec.address.to_string()), ..Default::default() }),
        ..Default::default()
    };
    ContainerCreateBody {
        hostname: Some(spec.hostname.clone()),
        image: Some(spec.image.clone()),
        entrypoint: program,
        cmd: arguments,
        env: Some(spec.env.0.clone()),
        working_dir: Some("/app".into()),
        labels: Some(spec.labels.clone()),
        attach_stdin: Some(spec.stdin),
        open_stdin: Some(spec.stdin),
        stdin_once: Some(spec.stdin),
        tty: Some(spec.tty),
        host_config: Some(HostConfig {
            // Without it a first process that ignores TERM by default (python) always costs the full grace.
            init: Some(true),
            cap_drop: Some(vec!["ALL".into()]),
            security_opt: Some(vec!["no-new-privileges".into(), format!("seccomp={}", model::seccomp::PROFILE)]),
            privileged: Some(false),
            memory: Some(memory),
            memory_swap: Some(memory),
            cpu_period: Some(100_000),
            cpu_quota: Some(i64::from(spec.resources.cpu_millis) * 100),
            pids_limit: Some(i64::from(spec.resources.pids)),
            // Files: the engine's own limit stands, as raising it above the engine's is refused on some hosts.
            ulimits: Some(vec![ulimit("core", 0)]),
            oom_score_adj: Some(500),
            // We copy the stream as it comes; the engine's own copy only has to bridge a restart of ours.
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".into()),
                config: Some(HashMap::from([("max-size".into(), "10m".into()), ("max-file".into(), "2".into())])),
            }),
            network_mode: Some(spec.network.clone()),
            restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
            ..Default::default()
        }),
        networking_config: Some(NetworkingConfig { endpoints_config: Some(HashMap::from([(spec.network.clone(), endpoint)])) }),
        ..Default::default()
    }
}

fn state_of(state: Option<ContainerSummaryStateEnum>) -> RunState {
    use ContainerSummaryStateEnum as S;
    match state {
        Some(S::RUNNING | S::PAUSED | S::RESTARTING | S::STOPPING) => RunState::Running,
        Some(S::CREATED) => RunState::Created,
        _ => RunState::Exited,
    }
}

/// Splits `2026-11-21T07:12:32.150993086Z text`.
fn entry(output: LogOutput) -> Option<LogEntry> {
    let bytes = output.into_bytes();
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let at: Time = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    Some(LogEntry { at: at.timestamp_nanos_opt()?, bytes: bytes.slice(space + 1..) })
}

#[async_trait]
impl Runtime for DockerRuntime {
    async fn ensure_network(&self, network: &NetworkConfig) -> Result<(), RuntimeError> {
        match within(ASK, self.docker().await?.inspect_network(&network.name, None::<query::InspectNetworkOptions>)).await {
            Ok(found) => {
                let configs = found.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
                let wanted = network.subnet.to_string();
                if configs.iter().any(|config| config.subnet.as_deref() == Some(&wanted)) {
                    return Ok(());
                }
                let message = format!("the network `{}` exists with another subnet than {wanted}", network.name);
                return Err(RuntimeError::Conflict { message });
            }
            Err(RuntimeError::NoSuchContainer) => {}
            Err(error) => return Err(error),
        }
        let request = NetworkCreateRequest {
            name: network.name.clone(),
            driver: Some("bridge".into()),
            enable_ipv6: Some(false),
            // Always explicit: the engine's own address pools run out after 29 networks.
            ipam: Some(Ipam {
                config: Some(vec![IpamConfig {
                    subnet: Some(network.subnet.to_string()),
                    gateway: Some(network.gateway().to_string()),
                    ..Default::default()
                }]),
                ..Default::default()
            }),
            options: Some(HashMap::from([("com.docker.network.bridge.enable_icc".into(), "false".into())])),
            labels: Some(HashMap::from([("slipway.network".into(), network.name.clone())])),
            ..Default::default()
        };
        match within(ACT, self.docker().await?.create_network(request)).await {
            // Another process made it at the same time.
            Ok(_) | Err(RuntimeError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn image_user(&self, image: &str) -> Result<Option<String>, RuntimeError> {
        match within(ASK, self.docker().await?.inspect_image(image)).await {
            Ok(found) => Ok(Some(found.config.and_then(|config| config.user).unwrap_or_default())),
            Err(RuntimeError::NoSuchContainer) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn pull(&self, image: &str, credentials: Option<&Credentials>) -> Result<(), RuntimeError> {
        let options = query::CreateImageOptionsBuilder::default().from_image(image).build();
        let credentials = credentials.map(|credentials| DockerCredentials {
            username: Some(credentials.name.clone()),
            password: Some(credentials.password.clone()),
            ..Default::default()
        });
        let silent = |limit| RuntimeError::Unreachable(Box::new(Silent(limit)));
        let mut progress = self.docker().await?.create_image(Some(options), None, credentials).boxed();
        let deadline = tokio::time::Instant::now() + PULL;
        while let Some(step) = tokio::time::timeout(PULL_STALL, progress.next()).await.map_err(|_| silent(PULL_STALL))? {
            if tokio::time::Instant::now() >= deadline {
                return Err(silent(PULL));
            }
            let step = step.map_err(|error| pull_failed(image, error))?;
            if let Some(detail) = step.error_detail {
                let error = detail.message.unwrap_or_default();
                return Err(pull_failed(image, Error::DockerStreamError { error }));
            }
        }
        Ok(())
    }

    async fn images(&self) -> Result<Vec<Image>, RuntimeError> {
        let options = query::ListImagesOptionsBuilder::default().digests(true).build();
        let images = within(ASK, self.docker().await?.list_images(Some(options))).await?;
        Ok(images
            .into_iter()
            .map(|image| Image {
                id: image.id,
                by_digest: image.repo_digests,
                by_tag: image.repo_tags.into_iter().filter(|tag| !tag.contains("<none>")).collect(),
                created: Time::from_timestamp(image.created, 0).unwrap_or_default(),
            })
            .collect())
    }

    async fn remove_image(&self, name: &str) -> Result<(), RuntimeError> {
        within(ACT, self.docker().await?.remove_image(name, None::<query::RemoveImageOptions>, None)).await.map(drop)
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<ContainerId, RuntimeError> {
        let options = query::CreateContainerOptionsBuilder::default().name(&spec.name).build();
        match within(ACT, self.docker().await?.create_container(Some(options), body(spec))).await {
            Ok(made) => Ok(ContainerId(made.id)),
            Err(RuntimeError::NoSuchContainer) => Err(RuntimeError::NoSuchImage { image: spec.image.clone() }),
            Err(error) => Err(error),
        }
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        within(ACT, self.docker().await?.start_container(&id.0, None::<query::StartContainerOptions>)).await
    }

    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        let name = match signal {
            Signal::Term => "SIGTERM",
            Signal::Kill => "SIGKILL",
        };
        let options = query::KillContainerOptionsBuilder::default().signal(name).build();
        match within(ACT, self.docker().await?.kill_container(&id.0, Some(options))).await {
            // 409: it does not run.
            Ok(()) | Err(RuntimeError::NoSuchContainer | RuntimeError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let options = query::RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match within(ACT, self.docker().await?.remove_container(&id.0, Some(options))).await {
            // 409: it is being removed already.
            Ok(()) | Err(RuntimeError::NoSuchContainer | RuntimeError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn list(&self, key: &str, value: &str) -> Result<Vec<Container>, RuntimeError> {
        let filters = HashMap::from([filter("label", &[&format!("{key}={value}")])]);
        let options = query::ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let found = within(ASK, self.docker().await?.list_containers(Some(options))).await?;
        Ok(found
            .into_iter()
            .filter_map(|container| {
                Some(Container {
                    id: ContainerId(container.id?),
                    labels: container.labels.unwrap_or_default(),
                    state: state_of(container.state),
                    created: Time::from_timestamp(container.created.unwrap_or_default(), 0).unwrap_or_default(),
                    image: container.image_id.unwrap_or_default(),
                })
            })
            .collect())
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Inspection, RuntimeError> {
        let found = within(ASK, self.docker().await?.inspect_container(&id.0, None::<query::InspectContainerOptions>)).await?;
        let state = found.state.unwrap_or_default();
        let running = state.running.unwrap_or_default();
        let never_started = state.started_at.as_deref().is_none_or(|at| at.starts_with("0001-"));
        let layer = found.graph_driver.filter(|driver| driver.name == "overlay2").and_then(|driver| driver.data.get("UpperDir").cloned());
        Ok(Inspection {
            layer: layer.map(Into::into),
            state: match (running, never_started) {
                (true, _) => RunState::Running,
                (false, true) => RunState::Created,
                (false, false) => RunState::Exited,
            },
            pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0),
            exit_code: state.exit_code.unwrap_or_default(),
            oom: state.oom_killed.unwrap_or_default(),
            finished: state.finished_at.as_deref().filter(|at| !at.starts_with("0001-")).and_then(|at| at.parse().ok()),
        })
    }

    fn logs(&self, id: &ContainerId, wanted: LogQuery) -> Streamed<LogEntry> {
        let options = query::LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .follow(wanted.follow)
            .since(i32::try_from(wanted.since).unwrap_or(i32::MAX))
            .tail(&wanted.tail.map_or_else(|| "all".to_owned(), |n| n.to_string()))
            .build();
        let (runtime, id) = (self.clone(), id.clone());
        let asked = async move { Ok::<_, RuntimeError>(runtime.docker().await?.logs(&id.0, Some(options)).map_err(fail)) };
        Box::pin(asked.try_flatten_stream().try_filter_map(|output| async { Ok(entry(output)) }))
    }

    async fn exec(&self, id: &ContainerId, argv: Vec<String>) -> Result<(i64, String), RuntimeError> {
        let options = CreateExecOptions { cmd: Some(argv), attach_stdout: Some(true), attach_stderr: Some(true), ..Default::default() };
        let exec = within(ACT, self.docker().await?.create_exec(&id.0, options)).await?.id;
        let mut text = Vec::new();
        if let StartExecResults::Attached { mut output, .. } = within(ACT, self.docker().await?.start_exec(&exec, None)).await? {
            // Read to the end, so that the program never blocks on a full pipe; only the beginning is kept.
            while let Some(Ok(piece)) = output.next().await {
                let room = EXEC_OUTPUT.saturating_sub(text.len());
                let bytes = piece.into_bytes();
                text.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
        }
        let code = within(ASK, self.docker().await?.inspect_exec(&exec)).await?.exit_code.unwrap_or(-1);
        Ok((code, String::from_utf8_lossy(&text).into_owned()))
    }

    async fn attach(&self, id: &ContainerId) -> Result<Attached, RuntimeError> {
        let options = query::AttachContainerOptionsBuilder::default().stdin(true).stdout(true).stderr(true).stream(true).build();
        let attached = within(ACT, self.docker().await?.attach_container(&id.0, Some(options))).await?;
        let output = attached.output.map_err(fail).map_ok(|piece| match piece {
            LogOutput::StdErr { message } => OutputChunk::Stderr(message),
            LogOutput::StdOut { message } | LogOutput::StdIn { message } | LogOutput::Console { message } => OutputChunk::Stdout(message),
        });
        Ok(Attached { output: Box::pin(output), input: attached.input })
    }

    async fn resize(&self, id: &ContainerId, columns: u16, rows: u16) -> Result<(), RuntimeError> {
        let options = query::ResizeContainerTTYOptionsBuilder::default().w(columns.into()).h(rows.into()).build();
        within(ACT, self.docker().await?.resize_container_tty(&id.0, options)).await
    }

    fn events(&self, key: &str, value: &str) -> Streamed<ContainerId> {
        // No exec events: a health check by command would wake the supervisor with each probe.
        let filters = HashMap::from([
            filter("type", &["container"]),
            filter("label", &[&format!("{key}={value}")]),
            filter("event", &["create", "start", "die", "destroy", "oom"]),
        ]);
        let options = query::EventsOptionsBuilder::default().filters(&filters).build();
        let id = |event: bollard::models::EventMessage| ContainerId(event.actor.and_then(|actor| actor.id).unwrap_or_default());
        let runtime = self.clone();
        let asked = async move { Ok::<_, RuntimeError>(runtime.docker().await?.events(Some(options)).map_err(fail)) };
        Box::pin(asked.try_flatten_stream().map_ok(id))
    }
}
