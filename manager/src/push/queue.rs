//! The build queue: one build per app and environment, a bounded number in all, first come first served.
//!
//! A newer push takes the place of the one that waits for the same app and environment; a running one is never superseded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use model::{AppEnv, BuildId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// The builds that run or wait.
pub(crate) struct Queue {
    builders: Arc<Semaphore>,
    lanes: Arc<Mutex<Lanes>>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Lanes {
    by_app: HashMap<AppEnv, Lane>,
    tokens: HashMap<BuildId, CancellationToken>,
    waiting_for_builder: Vec<BuildId>,
}

#[derive(Default)]
struct Lane {
    running: Option<BuildId>,
    waiting: Option<(BuildId, CancellationToken)>,
}

/// A build's turn to run; dropping it lets the next one run.
pub(crate) struct Turn {
    app: AppEnv,
    build: BuildId,
    lanes: Arc<Mutex<Lanes>>,
    changed: watch::Sender<u64>,
    _permit: OwnedSemaphorePermit,
}

/// Why a build did not get its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// A newer push took its place.
    Superseded,
    /// Somebody cancelled it.
    Cancelled,
}

impl Queue {
    pub(crate) fn new(builders: usize) -> Self {
        Self { builders: Arc::new(Semaphore::new(builders.max(1))), lanes: Arc::default(), changed: watch::Sender::new(0) }
    }

    fn lanes(&self) -> std::sync::MutexGuard<'_, Lanes> {
        self.lanes.lock().expect("no holder of the queue's lock panics")
    }

    /// Announces a build: from here on it can be cancelled.
    pub(crate) fn announce(&self, build: &BuildId) -> CancellationToken {
        let token = CancellationToken::new();
        self.lanes().tokens.insert(build.clone(), token.clone());
        token
    }

    /// Forgets a build that has ended.
    pub(crate) fn forget(&self, build: &BuildId) {
        self.lanes().tokens.remove(build);
    }

    /// Cancels a build; says whether it was there.
    pub(crate) fn cancel(&self, build: &BuildId) -> bool {
        self.lanes().tokens.get(build).inspect(|token| token.cancel()).is_some()
    }

    /// Waits for the turn of a build. `on_wait` is called with what it waits for, each time that changes.
    pub(crate) async fn turn(
        &self,
        app: &AppEnv,
        build: &BuildId,
        cancel: &CancellationToken,
        on_wait: impl Fn(String),
    ) -> Result<Turn, NoTurn> {
        let superseded = CancellationToken::new();
        let mut changed = self.changed.subscribe();
        let mut announced = String::new();
        loop {
            let wait = {
                let mut lanes = self.lanes();
                let lane = lanes.by_app.entry(app.clone()).or_default();
                match &lane.running {
                    None if lane.waiting.as_ref().is_none_or(|(id, _)| id == build) => {
                        lane.waiting = None;
                        lane.running = Some(build.clone());
                        None
                    }
                    running => {
                        let ahead = running.as_ref().map(|id| format!("waits for build {id} of {app}"));
                        if lane.waiting.as_ref().is_none_or(|(id, _)| id != build)
                            && let Some((_, older)) = lane.waiting.replace((build.clone(), superseded.clone()))
                        {
                            older.cancel();
                        }
                        Some(ahead.unwrap_or_else(|| "waits for its turn".into()))
                    }
                }
            };
            let Some(text) = wait else { break };
            if text != announced {
                on_wait(text.clone());
                announced = text;
            }
            tokio::select! {
                _ = changed.changed() => {}
                () = superseded.cancelled() => return Err(NoTurn::Superseded),
                () = cancel.cancelled() => {
                    let mut lanes = self.lanes();
                    let lane = lanes.by_app.entry(app.clone()).or_default();
                    if lane.waiting.as_ref().is_some_and(|(id, _)| id == build) {
                        lane.waiting = None;
                    }
                    return Err(NoTurn::Cancelled);
                }
            }
        }
        self.builder(app, build, cancel, on_wait).await
    }

    /// Waits for a free builder, having the lane already.
    async fn builder(&self, app: &AppEnv, build: &BuildId, cancel: &CancellationToken, on_wait: impl Fn(String)) -> Result<Turn, NoTurn> {
        let leave = |queue: &Self| {
            let mut lanes = queue.lanes();
            lanes.waiting_for_builder.retain(|id| id != build);
            if let Some(lane) = lanes.by_app.get_mut(app) {
                lane.running = None;
            }
            drop(lanes);
            queue.changed.send_modify(|count| *count += 1);
        };
        let position = {
            let mut lanes = self.lanes();
            lanes.waiting_for_builder.push(build.clone());
            lanes.waiting_for_builder.len()
        };
        let permit = match self.builders.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                on_wait(format!("all builders are busy; position {position} in the queue"));
                tokio::select! {
                    permit = self.builders.clone().acquire_owned() => permit.expect("the semaphore is never closed"),
                    () = cancel.cancelled() => {
                        leave(self);
                        return Err(NoTurn::Cancelled);
                    }
                }
            }
        };
        self.lanes().waiting_for_builder.retain(|id| id != build);
        Ok(Turn { app: app.clone(), build: build.clone(), lanes: self.lanes.clone(), changed: self.changed.clone(), _permit: permit })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Ok(mut lanes) = self.lanes.lock()
            && let Some(lane) = lanes.by_app.get_mut(&self.app)
        {
            if lane.running.as_ref() == Some(&self.build) {
                lane.running = None;
            }
            if lane.running.is_none() && lane.waiting.is_none() {
                lanes.by_app.remove(&self.app);
            }
        }
        self.changed.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> BuildId {
        BuildId::mint([n; 10])
    }

    #[tokio::test]
    async fn a_newer_push_takes_the_place_of_the_waiting_one() {
        let queue = Arc::new(Queue::new(2));
        let app: AppEnv = "acme/shop/dev".parse().expect("a path");
        let never = CancellationToken::new();
        let first = queue.turn(&app, &id(1), &never, |_| {}).await.expect("the first runs at once");
        let waiter = |n: u8| {
            let (queue, app, never) = (queue.clone(), app.clone(), never.clone());
            let (tell, told) = tokio::sync::oneshot::channel();
            let tell = Mutex::new(Some(tell));
            let task = tokio::spawn(async move {
                queue
                    .turn(&app, &id(n), &never, move |text| drop(tell.lock().expect("unpoisoned").take().map(|tell| tell.send(text))))
                    .await
            });
            (task, told)
        };
        let (second, told) = waiter(2);
        assert_eq!(told.await.expect("it waits"), format!("waits for build {} of {app}", id(1)));
        let (third, told) = waiter(3);
        told.await.expect("it waits too");
        assert_eq!(second.await.expect("no panic").err(), Some(NoTurn::Superseded));
        drop(first);
        assert!(third.await.expect("no panic").is_ok());
        assert!(queue.lanes().by_app.is_empty(), "a lane is left behind");
    }

    #[tokio::test]
    async fn builders_are_bounded_and_a_cancelled_wait_leaves_nothing() {
        let queue = Queue::new(1);
        let never = CancellationToken::new();
        let one = queue.turn(&"a/b/dev".parse().expect("a path"), &id(1), &never, |_| {}).await.expect("a turn");
        let cancel = queue.announce(&id(2));
        assert!(queue.cancel(&id(2)));
        let two = queue.turn(&"a/c/dev".parse().expect("a path"), &id(2), &cancel, |_| {}).await;
        assert_eq!(two.err(), Some(NoTurn::Cancelled));
        drop(one);
        assert!(queue.turn(&"a/c/dev".parse().expect("a path"), &id(3), &never, |_| {}).await.is_ok());
    }
}
