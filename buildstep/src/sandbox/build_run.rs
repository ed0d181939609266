//! `BuildRun`: one run of a build script in a limited container: its output, its limits, its end.
//!
//! Owns the container from creation to removal. Must leave nothing behind on any way out, and must say which limit was hit.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use manager::Output;
use manager::source::TarStream;
use model::{AppRef, BuildId, Code, UserError};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::io::SyncIoBridge;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::{ContainerDirs, ContainerOutput, ContainerSpec, Engine, EngineError, Input, ResourceLimits};
use crate::sandbox::caches::Cache;
use crate::sandbox::container_names::{ClaimedName, ContainerNames};
use crate::sandbox::disk_usage::{self, Usage};
use crate::sandbox::input_tar;
use crate::sandbox::limits::{LimitHit, Limits};
use crate::sandbox::netns_pool::NetnsLease;
use crate::sandbox::script_outcome::{Evidence, ScriptOutcome};
use crate::sandbox::transcript::Transcript;
use crate::slug::layer::{Content, SlugError};
use crate::slug::source_filter::{SourceFilter, TooLarge};
use crate::stack::host_env::CA_PATH;
use crate::stack::recipe::GID;
use crate::template::script;
use crate::user_errors;

/// Age of a build at which its usage is measured for the first time.
const FIRST_CHECK: Duration = Duration::from_millis(250);
/// How long a killed container may take to end its output.
const DRAIN: Duration = Duration::from_secs(5);
/// An engine that has not answered for so long while a build ran is given up, and the build with it.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(30);

/// Everything that one run needs.
pub struct BuildRun<'a> {
    /// The client of the engine.
    pub engine: &'a Engine,
    /// The id of the build; names its container.
    pub id: &'a BuildId,
    /// The app that is built.
    pub app: &'a AppRef,
    /// The uid to run under.
    pub uid: u32,
    /// The image to run in.
    pub image: String,
    /// The network to run in.
    pub sandbox: NetnsLease,
    /// Labels that every container of this builder carries.
    pub labels: HashMap<String, String>,
    /// Where the container's name is claimed.
    pub container_names: &'a ContainerNames,
    /// Removals that go on after the build; waited for at the end of the builder.
    pub removals: &'a TaskTracker,
    /// The app's cache, mounted at `/cache`.
    pub cache: Cache,
    /// The rendered script.
    pub script: String,
    /// Environment, `NAME=value`.
    pub env: Vec<String>,
    /// The host's certificate bundle, PEM.
    pub ca: Option<Vec<u8>>,
    /// Limits of memory, time, disk, output.
    pub limits: &'a Limits,
    /// Receives its output, line by line.
    pub log: &'a dyn Output,
    /// Cancels the build.
    pub cancel: &'a CancellationToken,
}

/// Removes a container, also when the run is dropped in the middle.
struct Guard {
    engine: Engine,
    container: Option<(String, ClaimedName)>,
}

impl Guard {
    async fn remove(mut self) -> Result<(), EngineError> {
        match self.container.take() {
            Some((container, _claim)) => self.engine.remove(&container).await,
            None => Ok(()),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some((container, claim)) = self.container.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let engine = self.engine.clone();
            runtime.spawn(async move {
                if let Err(error) = engine.remove(&container).await {
                    tracing::warn!(container, error = %error, "a build container stays until leftovers are looked for");
                }
                drop(claim);
            });
        }
    }
}

impl BuildRun<'_> {
    /// Runs to the end; gives the content of `/app`, spooled into a file at `spool`.
    pub async fn run(self, filter: SourceFilter, source: TarStream, spool: &Path) -> Result<Content, UserError> {
        let spec = self.spec();
        // By its name: a container that is made after we gave up waiting for it has no other handle.
        let name = spec.name.clone();
        let guard = Guard { engine: self.engine.clone(), container: Some((name.clone(), self.container_names.claim(&name))) };
        let result = match self.engine.create(spec).await {
            Ok(container) => self.inside(&container, filter, source, spool).await,
            Err(error) => Err(self.engine_failed(error)),
        };
        if result.as_ref().is_err_and(|user_error| user_error.code == Code::EngineDown) {
            // The pusher does not wait for an engine that is gone; what it still holds is removed in the background.
            self.cache.give_back(self.limits, result.as_ref().err());
            return result;
        }
        let (build, sandbox, cache) = (self.id.clone(), self.sandbox, self.cache);
        let (limits, user_error) = (*self.limits, result.as_ref().err().cloned());
        let removing = self.removals.spawn(async move {
            match guard.remove().await {
                Ok(()) => sandbox.give_back(),
                Err(error) => tracing::warn!(%build, %error, "a build container stays until leftovers are looked for"),
            }
            // A volume that a container has can not be emptied.
            cache.give_back(&limits, user_error.as_ref());
        });
        if result.is_err() {
            // A failed build is reported after its container is gone; a good one does not wait for the removal.
            let _ = removing.await;
        }
        result
    }

    fn spec(&self) -> ContainerSpec {
        ContainerSpec {
            name: format!("slipway-{}", self.id),
            image: self.image.clone(),
            command: script::command(&self.script),
            env: self.env.clone(),
            user: format!("{}:{GID}", self.uid),
            workdir: "/app".into(),
            labels: self.labels.clone(),
            network: Some(self.sandbox.mode()),
            volumes: vec![("/cache".into(), self.cache.volume.clone())],
            reads: true,
            resources: Some(ResourceLimits {
                memory: self.limits.memory,
                cpu_millis: self.limits.cpu_millis,
                pids: self.limits.pids,
                file_size: self.limits.disk,
            }),
        }
    }

    /// Source in, words and slug out, until the container ends by itself, at a limit, or because it was cancelled.
    async fn inside(&self, container: &str, filter: SourceFilter, source: TarStream, spool: &Path) -> Result<Content, UserError> {
        let deadline = Instant::now() + self.limits.time;
        let engine_failed = |error| self.engine_failed(error);
        let (input, output) = self.engine.attach(container).await.map_err(engine_failed)?;
        self.engine.start(container).await.map_err(engine_failed)?;
        let seen = Evidence::default();
        let (slug, spooling) = self.spool(spool)?;
        let mut sending = std::pin::pin!(self.send(input, filter, source));
        let mut reading = std::pin::pin!(self.read(output, slug, &seen));
        let mut watching = std::pin::pin!(self.watch(container, &seen));
        let mut late = std::pin::pin!(tokio::time::sleep_until(deadline.into()));
        let mut is_sent = false;
        let stopped = loop {
            tokio::select! {
                sent = &mut sending, if !is_sent => match sent {
                    Ok(()) => is_sent = true,
                    Err(user_error) => break Some(Stop::Source(user_error)),
                },
                read = &mut reading => match read {
                    Ok(()) => break None,
                    Err(error) => return Err(user_errors::io(self.id.as_str(), error)),
                },
                stopped = &mut watching => break Some(stopped),
                () = &mut late => break Some(Stop::LimitHit(LimitHit::Time)),
                () = self.cancel.cancelled() => break Some(Stop::Cancelled),
            }
        };
        if let Some(stopped) = stopped {
            if !matches!(stopped, Stop::Gone(_)) {
                self.engine.kill(container).await.map_err(engine_failed)?;
                // The lines before the end are the evidence.
                let _ = timeout(DRAIN, &mut reading).await;
            }
            return Err(match stopped {
                Stop::Cancelled => user_errors::cancelled(self.app),
                Stop::Source(user_error) => user_error,
                Stop::Gone(error) => self.engine_failed(error),
                Stop::LimitHit(hit) => user_errors::limit(self.app, hit, self.limits, seen.last()),
            });
        }
        let content = spooling.await.unwrap_or_else(|error| Err(std::io::Error::other(error).into()));
        let content = match content {
            // The script still writes, and nothing reads it any more.
            Err(error @ (SlugError::TooLarge { .. } | SlugError::TooMany(_))) => {
                return Err(user_errors::slug(self.app, self.id.as_str(), error));
            }
            content => content,
        };
        // It may have closed its output and still run.
        let ended = tokio::select! {
            ended = self.engine.ended(container) => ended.map_err(engine_failed)?,
            () = &mut late => return Err(user_errors::limit(self.app, LimitHit::Time, self.limits, seen.last())),
            () = self.cancel.cancelled() => return Err(user_errors::cancelled(self.app)),
        };
        let outcome = ScriptOutcome::of(ended, &seen, self.limits);
        if outcome.code != 0 {
            return Err(self.failed(outcome));
        }
        content.map_err(|error| user_errors::slug(self.app, self.id.as_str(), error))
    }

    /// Sends the host's certificates and the source to the container.
    async fn send(&self, mut input: Input, filter: SourceFilter, source: TarStream) -> Result<(), UserError> {
        let limit = filter.max_bytes;
        let own = self.ca.clone().map(|ca| (CA_PATH, ca));
        let (mut tar, copying) = input_tar::source(own.into_iter().collect(), filter, source);
        let passed = tokio::io::copy(&mut tar, &mut input).await;
        if passed.is_err() {
            // The container has ended, and tells why by how it did.
            return Ok(());
        }
        match copying.await.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            Err(error) if error.get_ref().is_some_and(|inner| inner.is::<TooLarge>()) => {
                Err(user_errors::source_too_large(self.app, limit))
            }
            Err(error) => Err(user_errors::io(self.id.as_str(), error)),
            Ok(_) => {
                let _ = input.shutdown().await;
                Ok(())
            }
        }
    }

    /// A writer for the slug, and the task that reads it into a file at `path`.
    fn spool(&self, path: &Path) -> Result<(DuplexStream, JoinHandle<Result<Content, SlugError>>), UserError> {
        let file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(path);
        let file = file.map_err(|error| user_errors::io(self.id.as_str(), error))?;
        let (near, far) = tokio::io::duplex(1 << 18);
        let (tar, limit) = (SyncIoBridge::new(far), self.limits.slug);
        Ok((near, tokio::task::spawn_blocking(move || Content::read(tar, file, limit))))
    }

    /// Passes the output on, clean and capped, and the slug to `slug`, until both end or nothing reads the slug any more.
    async fn read(&self, mut output: ContainerOutput, mut slug: DuplexStream, seen: &Evidence) -> std::io::Result<()> {
        let mut transcript = Transcript::new(self.limits.output);
        let mut lines = Vec::new();
        loop {
            let frame = output.next().await.transpose()?;
            match &frame {
                Some((true, bytes)) => transcript.push(true, bytes, &mut lines),
                Some((false, bytes)) if slug.write_all(bytes).await.is_err() => return Ok(()),
                Some((false, _)) => {}
                None => {
                    seen.note(transcript.last_words().into_iter());
                    transcript.finish(&mut lines);
                }
            }
            for line in &lines {
                self.log.line(line);
            }
            if transcript.hidden == 0 {
                seen.note(lines.drain(..));
            }
            lines.clear();
            if frame.is_none() {
                return Ok(());
            }
        }
    }

    /// Waits until a limit that the kernel does not end a build for is hit, or until the engine is gone.
    async fn watch(&self, container: &str, seen: &Evidence) -> Stop {
        // Most warm builds end before there is anything to measure.
        tokio::time::sleep(FIRST_CHECK).await;
        let places = self.engine.places(container).await.unwrap_or_default();
        let mut tick = interval(Duration::from_millis(500));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut at_limit, mut next_check, mut answered) = (0, Instant::now(), Instant::now());
        loop {
            tick.tick().await;
            match self.engine.processes(container).await {
                Ok(processes) => {
                    answered = Instant::now();
                    // Forks fail a little below the limit, so the count stays just below it.
                    at_limit = if processes + 2 >= u64::from(self.limits.pids) { at_limit + 1 } else { 0 };
                    seen.note_pids(at_limit > 0);
                    if at_limit >= 6 {
                        return Stop::LimitHit(LimitHit::Processes);
                    }
                }
                Err(error) if error.is_unreachable() && answered.elapsed() >= ENGINE_TIMEOUT => return Stop::Gone(error),
                Err(_) => {}
            }
            if Instant::now() >= next_check {
                let start = Instant::now();
                let used = self.used(container, &places).await;
                if used.bytes > self.limits.disk || used.files > self.limits.files {
                    return Stop::LimitHit(LimitHit::Disk);
                }
                // Measuring costs as much as there are files: a tenth of the time at most.
                next_check = Instant::now() + (start.elapsed() * 9).max(Duration::from_millis(500));
            }
        }
    }

    /// What the build has on disk: by walking the engine's files where they can be read, else by asking the engine.
    async fn used(&self, container: &str, places: &ContainerDirs) -> Usage {
        let enough = Usage { bytes: self.limits.disk, files: self.limits.files };
        let folders: Vec<_> = places.layer.iter().chain(&places.volumes).cloned().collect();
        let looked = tokio::task::spawn_blocking(move || {
            let mut sum = Usage::default();
            for folder in &folders {
                let usage = disk_usage::below(folder, enough)?;
                sum.bytes += usage.bytes;
                sum.files += usage.files;
            }
            (!folders.is_empty()).then_some(sum)
        });
        match looked.await {
            Ok(Some(usage)) => usage,
            _ => Usage { bytes: self.engine.written(container).await.unwrap_or_default(), files: 0 },
        }
    }

    fn failed(&self, outcome: ScriptOutcome) -> UserError {
        match outcome.hit {
            Some(hit) => user_errors::limit(self.app, hit, self.limits, outcome.last),
            None => user_errors::script_failed(self.app, outcome.code, outcome.last),
        }
    }

    fn engine_failed(&self, error: EngineError) -> UserError {
        user_errors::engine(self.id.as_str(), &error)
    }
}

/// Why a script was ended from outside.
enum Stop {
    LimitHit(LimitHit),
    Source(UserError),
    Gone(EngineError),
    Cancelled,
}
