//! One run of a build script in a container with walls: its output, its limits, its end.
//!
//! Owns the container from creation to removal. Must leave nothing behind on any way out, and must say which limit was hit.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use manager::Say;
use manager::source::TarStream;
use model::{AppRef, BuildId, Code, Trouble};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::io::{StreamReader, SyncIoBridge};
use tokio_util::sync::CancellationToken;

use crate::claims::{Claim, Claims};
use crate::engine::{ContainerSpec, Ended, Engine, EngineError, Output, Places, Walls};
use crate::intake::{Intake, TooLarge};
use crate::limits::Limits;
use crate::sandbox::Sandbox;
use crate::sanitize::Transcript;
use crate::slug::Content;
use crate::stack::UID;
use crate::upload;
use crate::usage::{self, Usage};
use crate::user_errors::{self, Hit};

/// Every container that runs a build carries it.
pub const BUILD_LABEL: (&str, &str) = ("slipway.kind", "build");
/// Whose platform a container or volume belongs to: several may share one engine. The value is the name of the build network.
pub const SCOPE_LABEL: &str = "slipway.scope";
/// Where the script lies in a build.
const SCRIPT: &str = "slipway/build.sh";
/// Where the host's certificates lie in a build, as [`crate::hostenv`] names them to tools.
const CERTIFICATES: &str = "etc/slipway/ca.crt";
/// Lines kept as evidence.
const EVIDENCE: usize = 20;
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
    /// The cache, a volume.
    pub cache: String,
    /// The rendered script.
    pub script: String,
    /// Environment.
    pub env: Vec<String>,
    /// The host's certificate bundle.
    pub ca: Option<Vec<u8>>,
    /// What it may use.
    pub limits: &'a Limits,
    /// Where its output goes.
    pub said: &'a dyn Say,
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
    pub async fn run(self, intake: Intake, source: TarStream, spool: &Path) -> Result<Content, Trouble> {
        let spec = self.spec();
        // By its name: a container that is made after we gave up waiting for it has no other handle.
        let name = spec.name.clone();
        let guard = Guard { engine: self.engine.clone(), container: Some((name.clone(), self.claims.claim(&name))) };
        let result = match self.engine.create(spec).await {
            Ok(container) => self.inside(&container, intake, source, spool).await,
            Err(error) => Err(self.engine_failed(error)),
        };
        if result.as_ref().is_err_and(|trouble| trouble.code == Code::EngineDown) {
            // The pusher does not wait for an engine that is gone; what it still holds is removed in the background.
            return result;
        }
        match guard.remove().await {
            Ok(()) => self.sandbox.give_back(),
            Err(error) => tracing::warn!(build = %self.id, error = %error, "a build container stays until leftovers are looked for"),
        }
        result
    }

    fn spec(&self) -> ContainerSpec {
        ContainerSpec {
            name: format!("slipway-{}", self.id),
            image: self.image.clone(),
            command: vec!["/bin/bash".into(), format!("/{SCRIPT}")],
            env: self.env.clone(),
            user: format!("{UID}:{UID}"),
            workdir: "/app".into(),
            labels: self.labels.clone(),
            network: Some(self.sandbox.mode()),
            volumes: vec![("/cache".into(), self.cache.clone())],
            walls: Some(Walls {
                memory: self.limits.memory,
                cpu_millis: self.limits.cpu_millis,
                pids: self.limits.pids,
                file_size: self.limits.disk,
            }),
        }
    }

    async fn inside(&self, container: &str, intake: Intake, source: TarStream, spool: &Path) -> Result<Content, Trouble> {
        let deadline = Instant::now() + self.limits.time;
        self.send(container, intake, source).await?;
        let outcome = self.script(container, deadline).await?;
        if outcome.code != 0 {
            return Err(self.failed(outcome));
        }
        self.fetch(container, spool).await
    }

    /// The script, the host's certificates and the source.
    async fn send(&self, container: &str, intake: Intake, source: TarStream) -> Result<(), Trouble> {
        let limit = intake.max_bytes;
        let mut own: Vec<upload::Own> = vec![(SCRIPT, self.script.clone().into_bytes(), 0o755)];
        own.extend(self.ca.clone().map(|ca| (CERTIFICATES, ca, 0o644)));
        let (tar, copying) = upload::source(own, intake, source);
        let sending = async {
            let sent = self.engine.upload(container, "/", tar).await;
            let taken = copying.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
            match taken {
                Err(error) if error.get_ref().is_some_and(|inner| inner.is::<TooLarge>()) => {
                    Err(user_errors::source_too_large(self.app, limit))
                }
                // When the upload broke, its cause is the one to tell; the copy only lost its reader.
                taken => match sent {
                    Err(error) => Err(self.engine_failed(error)),
                    Ok(()) => taken.map(|_| ()).map_err(|error| user_errors::io(self.id.as_str(), error)),
                },
            }
        };
        tokio::select! {
            sent = sending => sent,
            () = self.cancel.cancelled() => Err(user_errors::cancelled(self.app)),
        }
    }

    /// Runs the script to its end, or to a limit.
    async fn script(&self, container: &str, deadline: Instant) -> Result<Outcome, Trouble> {
        let output = self.engine.attach(container).await.map_err(|error| self.engine_failed(error))?;
        self.engine.start(container).await.map_err(|error| self.engine_failed(error))?;
        let seen = Seen::default();
        let mut reading = std::pin::pin!(self.read(output, &seen));
        let stopped = tokio::select! {
            read = &mut reading => match read {
                Ok(()) => None,
                Err(error) => return Err(user_errors::io(self.id.as_str(), error)),
            },
            stopped = self.watch(container, &seen) => Some(stopped),
            () = tokio::time::sleep_until(deadline.into()) => Some(Stop::Hit(Hit::Time)),
            () = self.cancel.cancelled() => Some(Stop::Cancelled),
        };
        if let Some(stopped) = stopped {
            if !matches!(stopped, Stop::Gone(_)) {
                self.engine.kill(container).await.map_err(|error| self.engine_failed(error))?;
                // The words before the end are the evidence.
                let _ = timeout(DRAIN, &mut reading).await;
            }
            return Err(match stopped {
                Stop::Cancelled => user_errors::cancelled(self.app),
                Stop::Gone(error) => self.engine_failed(error),
                Stop::Hit(hit) => user_errors::limit(self.app, hit, self.limits, seen.last()),
            });
        }
        // It may have closed its output and run on.
        let ended = tokio::select! {
            ended = self.engine.ended(container) => ended.map_err(|error| self.engine_failed(error))?,
            () = tokio::time::sleep_until(deadline.into()) => return Err(user_errors::limit(self.app, Hit::Time, self.limits, seen.last())),
            () = self.cancel.cancelled() => return Err(user_errors::cancelled(self.app)),
        };
        Ok(Outcome::of(ended, &seen, self.limits))
    }

    /// Passes the output on, clean and capped.
    async fn read(&self, mut output: Output, seen: &Seen) -> std::io::Result<()> {
        let mut transcript = Transcript::new(self.limits.output);
        let mut lines = Vec::new();
        loop {
            let frame = output.next().await.transpose()?;
            match &frame {
                Some((error, bytes)) => transcript.push(*error, bytes, &mut lines),
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

    /// Spools `/app` of the ended container.
    async fn fetch(&self, container: &str, spool: &Path) -> Result<Content, Trouble> {
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(spool)
            .map_err(|error| user_errors::io(self.id.as_str(), error))?;
        let tar = self.engine.download(container, "/app").await.map_err(|error| user_errors::engine(self.id.as_str(), &error))?;
        let tar = SyncIoBridge::new(StreamReader::new(tar));
        let limit = self.limits.slug;
        let reading = tokio::task::spawn_blocking(move || Content::read(tar, file, limit));
        let read = reading.await.unwrap_or_else(|error| Err(std::io::Error::other(error).into()));
        read.map_err(|error| user_errors::slug(self.app, self.id.as_str(), error))
    }

    fn failed(&self, outcome: Outcome) -> Trouble {
        match outcome.hit {
            Some(hit) => user_errors::limit(self.app, hit, self.limits, outcome.last),
            None => user_errors::script_failed(self.app, outcome.code, outcome.last),
        }
    }

    fn engine_failed(&self, error: EngineError) -> Trouble {
        user_errors::engine(self.id.as_str(), &error)
    }
}

/// What ended a script from outside.
enum Stop {
    Hit(Hit),
    Gone(EngineError),
    Cancelled,
}

/// How a script ended by itself.
struct Outcome {
    code: i64,
    hit: Option<Hit>,
    last: Vec<String>,
}

impl Outcome {
    fn of(ended: Ended, seen: &Seen, limits: &Limits) -> Self {
        let last = seen.last();
        let said = |words: &[&str]| last.iter().any(|line| words.iter().any(|word| line.contains(word)));
        let hit = if ended.out_of_memory {
            Some(Hit::Memory)
        } else if seen.was_crowded()
            || (limits.pids > 0
                && said(&["fork: Resource temporarily unavailable", "fork: retry", "can't start new thread", "pthread_create failed"]))
        {
            Some(Hit::Processes)
        } else if ended.code == 153 || said(&["File size limit exceeded"]) {
            Some(Hit::Disk)
        } else {
            None
        };
        Self { code: ended.code, hit, last }
    }
}

/// What was seen of a build, for its evidence.
#[derive(Debug, Default)]
struct Seen {
    state: Mutex<(VecDeque<String>, bool)>,
}

impl Seen {
    fn state(&self) -> std::sync::MutexGuard<'_, (VecDeque<String>, bool)> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn note(&self, lines: impl Iterator<Item = String>) {
        let mut state = self.state();
        for line in lines.filter(|line| !line.trim().is_empty()) {
            if state.0.len() == EVIDENCE {
                state.0.pop_front();
            }
            state.0.push_back(line);
        }
    }

    fn crowd(&self, crowded: bool) {
        self.state().1 |= crowded;
    }

    fn was_crowded(&self) -> bool {
        self.state().1
    }

    /// The last lines, for reading: a screen's width or two, without colours.
    fn last(&self) -> Vec<String> {
        self.state().0.iter().map(|line| strip_colours(line).chars().take(300).collect()).collect()
    }
}

/// A clean line without its colour sequences.
fn strip_colours(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    plain.extend(parts.filter_map(|part| part.split_once('m')).map(|(_, text)| text));
    plain
}
