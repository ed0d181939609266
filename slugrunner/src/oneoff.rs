//! One-off runs: a command of a release in a fresh container of the same isolation, attached, gone at its end.
//!
//! The container lives as long as the `OneOffRun`: dropping it, because the client vanished, removes the container.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use model::{AppEnv, Code, ProcessName, ReleaseNumber, Resources, UserError};
use store::Live;
use tokio::io::AsyncWrite;

use crate::container::{self, ContainerParams};
use crate::context::HostContext;
use crate::labels;
use crate::launcher::LaunchFailure;
use crate::runtime::{ContainerId, Inspection, OutputChunk, Runtime, RuntimeError, Streamed};

/// Looks at a process that is gone before its engine is taken to have lost its end.
const NOTED_WITHIN: u32 = 500;

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOffRequest {
    /// Of which app.
    pub app: AppEnv,
    /// Of which release.
    pub release: ReleaseNumber,
    /// OneOffRun by a shell in `/app`.
    pub command: String,
    /// Columns and rows of the terminal, when there is one.
    pub terminal: Option<(u16, u16)>,
}

/// Runs commands on this host; clones share the list of what runs.
#[derive(Clone)]
pub struct OneOffs {
    context: HostContext,
    live: Live,
    /// What runs, and why it was ended before its time.
    attached: Arc<Mutex<BTreeMap<ContainerId, Option<String>>>>,
}

impl OneOffs {
    pub(crate) fn new(context: HostContext, live: Live) -> Self {
        Self { context, live, attached: Arc::default() }
    }

    pub(crate) fn attached(&self) -> BTreeSet<ContainerId> {
        self.list().keys().cloned().collect()
    }

    fn list(&self) -> std::sync::MutexGuard<'_, BTreeMap<ContainerId, Option<String>>> {
        self.attached.lock().expect("no holder of the list's lock panics")
    }

    /// Notes why a command is ended, for its client to read; false when it does not run, or was told before.
    pub(crate) fn end_early(&self, container: &ContainerId, reason: String) -> bool {
        self.list().get_mut(container).is_some_and(|why| why.replace(reason).is_none())
    }

    /// Starts a command. The stack, the config and the limits are those of the release's instances.
    pub async fn run(&self, request: OneOffRequest) -> Result<OneOffRun, UserError> {
        let what = || format!("`{}` could not be run in {}", request.command.chars().take(80).collect::<String>(), request.app);
        let refused = |failed: LaunchFailure| UserError::new(failed.cause.code, what()).why(failed.cause.reason);
        let engine = |error: RuntimeError| {
            tracing::warn!(%error, app = %request.app, "a one-off could not be started");
            UserError::new(Code::EngineDown, what())
                .why("The container engine of the host could not start it.")
                .next("try again in a moment")
        };
        let spec = self.live.spec(&request.app, request.release).await.map_err(|error| {
            tracing::warn!(%error, app = %request.app, release = %request.release, "a release's spec could not be read");
            UserError::new(Code::Internal, what()).why("The platform's coordination did not answer.").next("try again in a moment")
        })?;
        let missing = || UserError::new(Code::NoRelease, what()).why(format!("There is no release {} to run it in.", request.release));
        let spec = spec.ok_or_else(missing)?;
        let image = self.context.image(&spec).await.map_err(refused)?;
        // After the engine has answered: one that is away is the better reason.
        if !self.context.is_isolated.load(Ordering::Acquire) {
            let why = "The egress rules of its host do not stand, so nothing is started there.";
            return Err(UserError::new(Code::EngineDown, what()).why(why).next("try again in a moment"));
        }
        let values = self.context.open(&spec).map_err(refused)?;
        let resources = spec.processes.values().map(|process| process.resources).max().unwrap_or(Resources::INSTANCE);
        let id = model::InstanceId::mint(store::random::bytes()).to_string().replacen("i-", "run-", 1);
        let process: ProcessName = "run".parse().expect("a fixed name is well-formed");
        let config = &self.context.config;
        let shape = |address| {
            let mut made = container::compose(ContainerParams {
                spec: &spec,
                config: &values,
                image: image.name.clone(),
                user: &image.user,
                name: format!("slipway-{id}"),
                id: id.clone(),
                process: process.clone(),
                command: &request.command,
                resources,
                labels: labels::of_oneoff(&config.scope, &request.app, request.release, address),
                host: &config.host,
                zone: &config.zone,
                network: &config.network.name,
                address,
            });
            made.stdin = true;
            made.tty = request.terminal.is_some();
            if made.tty && !values.contains_key("TERM") {
                made.env.0.push("TERM=xterm-256color".into());
            }
            made
        };
        let started = self.context.create(shape).await.map_err(engine)?;
        self.list().insert(started.container.clone(), None);
        // From here on the guard removes the container, whatever happens.
        let guard = Guard { oneoffs: self.clone(), container: started.container.clone(), address: started.address };
        let attached = self.context.runtime.attach(&started.container).await.map_err(engine)?;
        self.context.runtime.start(&started.container).await.map_err(engine)?;
        if let Some((columns, rows)) = request.terminal {
            guard.resizer().resize(columns, rows).await;
        }
        Ok(OneOffRun {
            id,
            input: Some(attached.input),
            output: attached.output,
            has_terminal: request.terminal.is_some(),
            is_over: false,
            guard,
        })
    }
}

/// A command that runs. Read `output` to its end, then ask `exit_code`.
pub struct OneOffRun {
    /// Its id, as its own environment has it.
    pub id: String,
    /// What it reads; taking and dropping it is the end of its input.
    pub input: Option<Pin<Box<dyn AsyncWrite + Send>>>,
    output: Streamed<OutputChunk>,
    has_terminal: bool,
    is_over: bool,
    guard: Guard,
}

/// Sets the size of a run's terminal from another task.
#[derive(Clone)]
pub struct Resizer {
    runtime: Arc<dyn Runtime>,
    container: ContainerId,
}

impl Resizer {
    /// Sets the size; one that comes after the end is nothing.
    pub async fn resize(&self, columns: u16, rows: u16) {
        if let Err(error) = self.runtime.resize(&self.container, columns, rows).await {
            tracing::debug!(%error, "the size of a one-off's terminal could not be set");
        }
    }
}

impl OneOffRun {
    /// The next piece of its output; none at its end.
    pub async fn output(&mut self) -> Option<OutputChunk> {
        if self.is_over {
            return None;
        }
        match self.output.next().await {
            Some(piece) => piece.inspect_err(|error| tracing::warn!(%error, "the output of a one-off broke off")).ok(),
            None => {
                self.is_over = true;
                let reason = self.guard.oneoffs.list().get(&self.guard.container).cloned().flatten()?;
                let end = if self.has_terminal { "\r\n" } else { "\n" };
                let line = model::push_output::warn(format!("the command was ended: {reason} [{}]", Code::InstanceDisk));
                Some(OutputChunk::Stderr(format!("{end}{line}{end}").into()))
            }
        }
    }

    /// For following the client's terminal.
    pub fn resizer(&self) -> Resizer {
        self.guard.resizer()
    }

    /// Its exit code, once its output has ended; then the container is removed.
    pub async fn exit_code(mut self) -> i64 {
        self.input = None;
        while self.output().await.is_some() {}
        let runtime = &self.guard.oneoffs.context.runtime;
        // The stream may end a moment before the engine has noted the end; some engines never event it.
        let mut gone = 0;
        loop {
            match runtime.inspect(&self.guard.container).await {
                Ok(Inspection { pid: Some(pid), .. }) if std::fs::exists(format!("/proc/{pid}")).unwrap_or(true) => {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                Ok(Inspection { pid: Some(_), .. }) if gone < NOTED_WITHIN => {
                    gone += 1;
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                Ok(Inspection { pid: Some(_), .. }) => {
                    tracing::warn!(container = %self.guard.container, "the engine lost the end of a one-off");
                    return -1;
                }
                Ok(found) => return found.exit_code,
                Err(error) => {
                    tracing::warn!(%error, "the exit code of a one-off could not be read");
                    return -1;
                }
            }
        }
    }
}

/// Removes the container when it goes.
struct Guard {
    oneoffs: OneOffs,
    container: ContainerId,
    address: std::net::Ipv4Addr,
}

impl Guard {
    fn resizer(&self) -> Resizer {
        Resizer { runtime: self.oneoffs.context.runtime.clone(), container: self.container.clone() }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let (oneoffs, container, address) = (self.oneoffs.clone(), self.container.clone(), self.address);
        // Without a runtime the process is ending; the reaper of its next life removes the container.
        if let Ok(handle) = tokio::runtime::Handle::try_current() {
            handle.spawn(async move {
                match oneoffs.context.runtime.remove(&container).await {
                    Ok(()) => oneoffs.context.addresses.release(address),
                    Err(error) => tracing::warn!(%error, %container, "a one-off could not be removed; the reaper will"),
                }
                oneoffs.list().remove(&container);
            });
        }
    }
}
