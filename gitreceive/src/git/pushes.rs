//! The running pushes, and the phase of each.
//!
//! ```text
//! Receiving ──pre-receive──▶ Deciding ──accept──▶ Accepted ──post-receive──▶ RollingOut ──▶ RolledOut
//!                                └──refuse──▶ Refused
//! ```
//!
//! A hook proves itself by the token of its push; each hook may come once, and only in this order.
//!
//! Between the decision and the post-receive hook git moves the pack out of quarantine. Two pushes of one commit bring the same
//! pack, and git's own `.keep` files for it then collide, so one push per repository does this at a time: it holds the ref lock.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use model::{AppRef, PushId};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::{Identity, OpenedRepository, Push, RolloutOutcome};
use crate::git::refs::CommitId;
use crate::random;

/// The phase of a push.
pub(crate) enum Phase {
    Receiving,
    Deciding,
    Refused,
    Accepted(Box<Push>),
    RollingOut,
    RolledOut(RolloutOutcome),
}

/// One push.
pub(crate) struct RunningPush {
    pub id: PushId,
    /// The secret that its hooks present: 64 hex digits.
    pub token: String,
    pub who: Identity,
    pub opened: OpenedRepository,
    pub repository: PathBuf,
    /// The commits at which the history of the pusher's clone ends, as the client declares them.
    pub shallow: Mutex<Vec<String>>,
    /// Set once the pusher was told that history is missing.
    pub reported_shallow: AtomicBool,
    /// The commit that the backend was asked to accept.
    pub commit: OnceLock<CommitId>,
    /// Cancelled when the pack has arrived: git has called its first hook.
    pub arrived: CancellationToken,
    /// The backend's work for the hooks.
    pub hooks: TaskTracker,
    phase: Mutex<Phase>,
    ref_lock: Mutex<Option<RefLock>>,
}

/// Held while git moves objects and refs of one repository.
pub(crate) type RefLock = tokio::sync::OwnedMutexGuard<()>;

impl RunningPush {
    pub(crate) fn new(who: Identity, opened: OpenedRepository, repository: PathBuf) -> Self {
        Self {
            id: PushId::mint(random::bytes()),
            token: random::hex::<32>(),
            who,
            opened,
            repository,
            shallow: Mutex::default(),
            reported_shallow: AtomicBool::new(false),
            commit: OnceLock::new(),
            arrived: CancellationToken::new(),
            hooks: TaskTracker::new(),
            phase: Mutex::new(Phase::Receiving),
            ref_lock: Mutex::new(None),
        }
    }

    /// The pre-receive hook connects; `false` when it comes twice or out of order.
    pub(crate) fn begin_pre_receive(&self) -> bool {
        let mut phase = self.phase();
        let in_order = matches!(*phase, Phase::Receiving);
        if in_order {
            *phase = Phase::Deciding;
            self.arrived.cancel();
        }
        in_order
    }

    /// The decision is made: the push when it is accepted, `None` when it is refused.
    pub(crate) fn decided(&self, accepted: Option<Push>) {
        *self.phase() = accepted.map_or(Phase::Refused, |push| Phase::Accepted(Box::new(push)));
    }

    /// Keeps the lock until the post-receive hook connects or git has ended.
    pub(crate) fn hold_ref_lock(&self, lock: RefLock) {
        *self.ref_lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
    }

    /// git has moved the ref, or never will.
    pub(crate) fn release_ref_lock(&self) {
        *self.ref_lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The post-receive hook connects; `None` when it comes twice or out of order.
    pub(crate) fn begin_post_receive(&self) -> Option<Push> {
        let mut phase = self.phase();
        match std::mem::replace(&mut *phase, Phase::RollingOut) {
            Phase::Accepted(push) => Some(*push),
            other => {
                *phase = other;
                None
            }
        }
    }

    /// The rollout has ended.
    pub(crate) fn rolled_out(&self, outcome: RolloutOutcome) {
        *self.phase() = Phase::RolledOut(outcome);
    }

    /// Whether the push ended without an explanation to the pusher.
    pub(crate) fn is_unexplained(&self) -> bool {
        matches!(*self.phase(), Phase::Receiving | Phase::Accepted(_))
    }

    /// How the rollout ended, when there was one.
    pub(crate) fn rollout_outcome(&self) -> Option<RolloutOutcome> {
        match *self.phase() {
            Phase::RolledOut(outcome) => Some(outcome),
            _ => None,
        }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running pushes by token, and the ref locks of their repositories.
#[derive(Default)]
pub(crate) struct Pushes {
    by_token: Mutex<HashMap<String, Arc<RunningPush>>>,
    ref_locks: Mutex<HashMap<AppRef, Arc<tokio::sync::Mutex<()>>>>,
}

impl Pushes {
    pub(crate) fn add(&self, push: &Arc<RunningPush>) {
        self.table().insert(push.token.clone(), push.clone());
    }

    pub(crate) fn remove(&self, push: &RunningPush) {
        self.table().remove(&push.token);
    }

    /// The push with this token. Tokens have 256 random bits, so the time of a lookup gives nothing away.
    pub(crate) fn find(&self, token: &str) -> Option<Arc<RunningPush>> {
        self.table().get(token).cloned()
    }

    /// Waits for the ref lock of a repository, which another push holds while git moves its objects and refs, never for a build.
    pub(crate) async fn lock_refs(&self, app: &AppRef) -> RefLock {
        let lock = {
            let mut ref_locks = self.ref_locks.lock().unwrap_or_else(PoisonError::into_inner);
            ref_locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            ref_locks.entry(app.clone()).or_default().clone()
        };
        lock.lock_owned().await
    }

    fn table(&self) -> MutexGuard<'_, HashMap<String, Arc<RunningPush>>> {
        self.by_token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
