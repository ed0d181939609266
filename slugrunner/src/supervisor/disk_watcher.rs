//! Watches what instances write to their own disk. Owns the timer and the walks; `disk::DiskSchedule` decides what is due and what is
//! too much. Must never end a container itself: it tells the loop.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::events::TaskEvent;
use crate::disk::{DiskSchedule, FILES, Target, Usage, measure};
use crate::runtime::{ContainerId, Runtime, RuntimeError};

/// Least pause between two rounds of measurements.
const TICK: Duration = Duration::from_secs(1);
/// A round is followed by a pause of so many times its cost: measuring takes a tenth of one core at most.
const PAUSE: u32 = 9;
/// Longest pause: an instance that fills the disk is to be found, whatever measuring the others costs.
const PAUSE_MOST: Duration = Duration::from_secs(30);

/// Where the files of a container lie.
#[derive(Debug, Clone)]
struct Place {
    layer: PathBuf,
    pid: Option<u32>,
}

/// The task that measures; the loop writes its targets and reads its events.
pub(super) struct DiskWatcher {
    pub(super) runtime: Arc<dyn Runtime>,
    /// What runs now; written by the loop.
    pub(super) targets: watch::Receiver<Vec<Target>>,
    pub(super) events: mpsc::Sender<TaskEvent>,
    pub(super) stop: CancellationToken,
}

impl DiskWatcher {
    /// Watches until it is stopped.
    pub(super) async fn run(self) {
        let (begun, mut rounds) = (Instant::now(), DiskSchedule::default());
        let mut places: BTreeMap<ContainerId, Place> = BTreeMap::new();
        let mut is_told = false;
        let mut pause = TICK;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let targets = self.targets.borrow().clone();
            places.retain(|container, _| targets.iter().any(|target| target.container == *container));
            if let Some(free) = places.values().find_map(|place| free(&place.layer)) {
                rounds.free(free);
            }
            let mut cost = Duration::ZERO;
            for target in rounds.due(&targets, begun.elapsed()) {
                if !places.contains_key(&target.container) {
                    match self.place(&target.container).await {
                        Ok(Some(place)) => {
                            // Before the first measurement, so that what it writes from then on shows as a fall of free space.
                            free(&place.layer).into_iter().for_each(|free| rounds.free(free));
                            places.insert(target.container.clone(), place);
                        }
                        Ok(None) if !std::mem::replace(&mut is_told, true) => {
                            tracing::warn!("the container engine does not use overlay2: what instances write is not limited");
                        }
                        Ok(None) => {}
                        Err(error) => {
                            tracing::debug!(%error, container = %target.container, "a container could not be asked for its layer")
                        }
                    }
                }
                let Some(place) = places.get(&target.container).cloned() else {
                    // Asked again after a rest, not in each round.
                    rounds.measured(&target, Usage::default(), Duration::ZERO, begun.elapsed());
                    continue;
                };
                let (stop, enough) = (self.stop.clone(), Usage { bytes: target.allowed, files: FILES, too_deep: false });
                let pid = place.pid;
                let measuring = tokio::task::spawn_blocking(move || measure::measure(&place.layer, pid, enough, &stop));
                if pid.is_none() {
                    // It had not started yet: what it holds open is looked for the next time.
                    places.remove(&target.container);
                }
                let (usage, took) = match measuring.await {
                    Ok(Ok(measured)) => measured,
                    Ok(Err(error)) => {
                        // It may have just ended. Looked up anew the next time.
                        tracing::debug!(%error, container = %target.container, "a writable layer could not be read");
                        places.remove(&target.container);
                        rounds.measured(&target, Usage::default(), Duration::ZERO, begun.elapsed());
                        continue;
                    }
                    Err(_) => continue,
                };
                cost += took;
                if let Some(reason) = rounds.measured(&target, usage, took, begun.elapsed()) {
                    // A closed channel means that the loop has ended.
                    let _ = self.events.send(TaskEvent::DiskExceeded(target.container, reason)).await;
                }
            }
            pause = (cost * PAUSE).clamp(TICK, PAUSE_MOST);
        }
    }

    /// Where a container's files lie; none when the engine does not say.
    async fn place(&self, container: &ContainerId) -> Result<Option<Place>, RuntimeError> {
        let found = self.runtime.inspect(container).await?;
        Ok(found.layer.map(|layer| Place { layer, pid: found.pid }))
    }
}

/// Free bytes where a layer lies.
fn free(layer: &std::path::Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(layer).ok()?;
    Some(stat.f_bfree * stat.f_frsize)
}
