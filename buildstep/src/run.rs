//! One run of a build script in a container with walls: its output, its limits, its end.
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

use crate::caches::Cache;
use crate::claims::{Claim, Claims};
use crate::engine::{ContainerOutput, ContainerSpec, Engine, EngineError, Input, Places, Walls};
use crate::hostenv::CA_PATH;
use crate::intake::{Intake, TooLarge};
use crate::limits::Limits;
use crate::outcome::{Outcome, Seen};
use crate::sandbox::Sandbox;
use crate::sanitize::Transcript;
use crate::script;
use crate::slug::{Content, SlugError};
use crate::stack::UID;
use crate::upload;
use crate::usage::{self, Usage};
use crate::user_errors::{self, Hit};

/// Every container that runs a build carries it.
pub const BUILD_LABEL: (&str, &str) = ("slipway.kind", "build");
/// Whose platform a container or volume belongs to: several may share one engine. The value is the name of the build network.
pub const SCOPE_LABEL: &str = "slipway.scope";
/// When a build is looked at for the first time.
const FIRST_LOOK: Duration = Duration::from_millis(250);
/// How long a killed container may take to end its output.
const DRAIN: Duration = Duration::from_secs(5);
/// An engine that has not answered for so long while a build ran is given up, and the build with it.
const ENGINE_PATIENCE: Duration = Duration::from_secs(30);

/// Everything that one run needs.
pub struct Run<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// The build.
    pub id: &'a BuildId,
    /// Whose it is.
    pub app: &'a AppRef,
    /// The image to run in.
    pub image: String,
    /// The network to run in.
    pub sandbox: Sandbox,
    /// What every container of this builder carries.
    pub labels: HashMap<String, String>,
    /// Names that are in use.
    pub claims: &'a Claims,
    /// What is still being removed.
    pub removals: &'a TaskTracker,
    /// The cache.
    pub cache: Cache,
    /// The rendered script.
    pub script: String,
    /// Environment.
    pub env: Vec<String>,
    /// The host's certificate bundle.
    pub ca: Option<Vec<u8>>,
    /// What it may use.
    pub limits: &'a Limits,
    /// Where its output goes.
    pub said: &'a dyn Output,
    /// Ends it.
    pub cancel: &'a CancellationToken,
}

/// Removes a container, also when the run is dropped in the middle.
struct Guard {
    engine: Engine,
    container: Option<(String, Claim)>,
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

impl Run<'_> {
    /// Runs to the end; gives the content of `/app`, spooled into a file at `spool`.
    pub async fn run(self, intake: Intake, source: TarStream, spool: &Path) -> Result<Content, UserError> {
        let spec = self.spec();
        // By its name: a container that is made after we gave up waiting for it has no other handle.
        let name = spec.name.clone();
        let guard = Guard { engine: self.engine.clone(), container: Some((name.clone(), self.claims.claim(&name))) };
        let result = match self.engine.create(spec).await {
            Ok(container) => self.inside(&container, intake, source, spool).await,
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
            // Whoever is told that it failed finds nothing of it. One that went well has better to do than to wait.
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
            user: format!("{UID}:{UID}"),
            workdir: "/app".into(),
            labels: self.labels.clone(),
            network: Some(self.sandbox.mode()),
            volumes: vec![("/cache".into(), self.cache.volume.clone())],
            reads: true,
            walls: Some(Walls {
                memory: self.limits.memory,
                cpu_millis: self.limits.cpu_millis,
                pids: self.limits.pids,
                file_size: self.limits.disk,
            }),
        }
    }

    /// Source in, words and slug out, until the container ends by itself, at a limit, or because it was cancelled.
    async fn inside(&self, container: &str, intake: Intake, source: TarStream, spool: &Path) -> Result<Content, UserError> {
        let deadline = Instant::now() + self.limits.time;
        let engine_failed = |error| self.engine_failed(error);
        let (input, output) = self.engine.attach(container).await.map_err(engine_failed)?;
        self.engine.start(container).await.map_err(engine_failed)?;
        let seen = Seen::default();
        let (slug, spooling) = self.spool(spool)?;
        let mut sending = std::pin::pin!(self.send(input, intake, source));
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
                () = &mut late => break Some(Stop::Hit(Hit::Time)),
                () = self.cancel.cancelled() => break Some(Stop::Cancelled),
            }
        };
        if let Some(stopped) = stopped {
            if !matches!(stopped, Stop::Gone(_)) {
                self.engine.kill(container).await.map_err(engine_failed)?;
                // The words before the end are the evidence.
                let _ = timeout(DRAIN, &mut reading).await;
            }
            return Err(match stopped {
                Stop::Cancelled => user_errors::cancelled(self.app),
                Stop::Source(user_error) => user_error,
                Stop::Gone(error) => self.engine_failed(error),
                Stop::Hit(hit) => user_errors::limit(self.app, hit, self.limits, seen.last()),
            });
        }
        let content = spooling.await.unwrap_or_else(|error| Err(std::io::Error::other(error).into()));
        let content = match content {
            // It still writes what nobody takes any more.
            Err(error @ (SlugError::TooLarge { .. } | SlugError::TooMany(_))) => {
                return Err(user_errors::slug(self.app, self.id.as_str(), error));
            }
            content => content,
        };
        // It may have closed its output and run on.
        let ended = tokio::select! {
            ended = self.engine.ended(container) => ended.map_err(engine_failed)?,
            () = &mut late => return Err(user_errors::limit(self.app, Hit::Time, self.limits, seen.last())),
            () = self.cancel.cancelled() => return Err(user_errors::cancelled(self.app)),
        };
        let outcome = Outcome::of(ended, &seen, self.limits);
        if outcome.code != 0 {
            return Err(self.failed(outcome));
        }
        content.map_err(|error| user_errors::slug(self.app, self.id.as_str(), error))
    }

    /// Gives the host's certificates and the source to the container.
    async fn send(&self, mut input: Input, intake: Intake, source: TarStream) -> Result<(), UserError> {
        let limit = intake.max_bytes;
        let own = self.ca.clone().map(|ca| (CA_PATH, ca));
        let (mut tar, copying) = upload::source(own.into_iter().collect(), intake, source);
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

    /// A place for the slug as it comes, and what is read of it into a file at `path`.
    fn spool(&self, path: &Path) -> Result<(DuplexStream, JoinHandle<Result<Content, SlugError>>), UserError> {
        let file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(path);
        let file = file.map_err(|error| user_errors::io(self.id.as_str(), error))?;
        let (near, far) = tokio::io::duplex(1 << 18);
        let (tar, limit) = (SyncIoBridge::new(far), self.limits.slug);
        Ok((near, tokio::task::spawn_blocking(move || Content::read(tar, file, limit))))
    }

    /// Passes the words on, clean and capped, and the slug to `slug`, until both end or nobody takes the slug any more.
    async fn read(&self, mut output: ContainerOutput, mut slug: DuplexStream, seen: &Seen) -> std::io::Result<()> {
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
                self.said.line(line);
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
    async fn watch(&self, container: &str, seen: &Seen) -> Stop {
        // Most warm builds are over before there is anything to see.
        tokio::time::sleep(FIRST_LOOK).await;
        let places = self.engine.places(container).await.unwrap_or_default();
        let mut tick = interval(Duration::from_millis(500));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut crowded, mut next_look, mut answered) = (0, Instant::now(), Instant::now());
        loop {
            tick.tick().await;
            match self.engine.processes(container).await {
                Ok(processes) => {
                    answered = Instant::now();
                    // The last few can not be forked into, so the count hovers just below.
                    crowded = if processes + 2 >= u64::from(self.limits.pids) { crowded + 1 } else { 0 };
                    seen.crowd(crowded > 0);
                    if crowded >= 6 {
                        return Stop::Hit(Hit::Processes);
                    }
                }
                Err(error) if error.is_unreachable() && answered.elapsed() >= ENGINE_PATIENCE => return Stop::Gone(error),
                Err(_) => {}
            }
            if Instant::now() >= next_look {
                let start = Instant::now();
                let used = self.used(container, &places).await;
                if used.bytes > self.limits.disk || used.files > self.limits.files {
                    return Stop::Hit(Hit::Disk);
                }
                // Looking costs as much as there is to look at: a tenth of the time at most.
                next_look = Instant::now() + (start.elapsed() * 9).max(Duration::from_millis(500));
            }
        }
    }

    /// What the build has on disk: by looking, where the engine's files can be read, else by asking the engine.
    async fn used(&self, container: &str, places: &Places) -> Usage {
        let enough = Usage { bytes: self.limits.disk, files: self.limits.files };
        let folders: Vec<_> = places.layer.iter().chain(&places.volumes).cloned().collect();
        let looked = tokio::task::spawn_blocking(move || {
            let mut sum = Usage::default();
            for folder in &folders {
                let usage = usage::below(folder, enough)?;
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

    fn failed(&self, outcome: Outcome) -> UserError {
        match outcome.hit {
            Some(hit) => user_errors::limit(self.app, hit, self.limits, outcome.last),
            None => user_errors::script_failed(self.app, outcome.code, outcome.last),
        }
    }

    fn engine_failed(&self, error: EngineError) -> UserError {
        user_errors::engine(self.id.as_str(), &error)
    }
}

/// What ended a script from outside.
enum Stop {
    Hit(Hit),
    Source(UserError),
    Gone(EngineError),
    Cancelled,
}
