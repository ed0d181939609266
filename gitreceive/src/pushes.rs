//! The running pushes: what the server knows of each between its first byte and its last line.
//!
//! ```text
//! Fresh ──pre-receive──▶ Deciding ──accept──▶ Accepted ──post-receive──▶ Rolling ──▶ Rolled
//!                            └──refuse──▶ Refused
//! ```
//!
//! A hook is believed because it knows the token of its push; each may come once, and only in this order.
//!
//! Between the verdict and the post-receive hook git moves the pack out of quarantine. Two pushes of one commit bring the same
//! pack, and git's own marks on it (`.keep`) then collide, so this short stretch belongs to one push per repository at a time.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use model::{AppRef, PushId};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::chance;
use crate::desk::{Identity, Opened, Push, Rollout};
use crate::refs::CommitId;

/// Where a push stands.
pub(crate) enum Phase {
    Fresh,
    Deciding,
    Refused,
    Accepted(Box<Push>),
    Rolling,
    Rolled(Rollout),
}

/// One push.
pub(crate) struct Running {
    pub id: PushId,
    pub token: String,
    pub who: Identity,
    pub opened: Opened,
    pub repository: PathBuf,
    /// The commits at which the history of the pusher's clone ends, by its own word.
    pub shallow: Mutex<Vec<String>>,
    /// The pusher was told that history is missing.
    pub told_shallow: AtomicBool,
    /// The commit that the desk was asked about.
    pub commit: OnceLock<CommitId>,
    /// The pack has arrived: git has called its first hook.
    pub arrived: CancellationToken,
    /// What runs at the desk on behalf of the hooks.
    pub hooks: TaskTracker,
    phase: Mutex<Phase>,
    /// Held while git moves objects and refs.
    moving: Mutex<Option<Moving>>,
}

/// The right to move objects and refs of one repository.
pub(crate) type Moving = tokio::sync::OwnedMutexGuard<()>;

impl Running {
    pub(crate) fn new(who: Identity, opened: Opened, repository: PathBuf) -> Self {
        Self {
            id: PushId::mint(chance::bytes()),
            token: chance::hex::<32>(),
            who,
            opened,
            repository,
            shallow: Mutex::default(),
            told_shallow: AtomicBool::new(false),
            commit: OnceLock::new(),
            arrived: CancellationToken::new(),
            hooks: TaskTracker::new(),
            phase: Mutex::new(Phase::Fresh),
            moving: Mutex::new(None),
        }
    }

    /// The pre-receive hook is here; `false` when it may not be.
    pub(crate) fn begin(&self) -> bool {
        let mut phase = self.phase();
        let may = matches!(*phase, Phase::Fresh);
        if may {
            *phase = Phase::Deciding;
            self.arrived.cancel();
        }
        may
    }

    /// The verdict: the push that was accepted, or nothing.
    pub(crate) fn decided(&self, accepted: Option<Push>) {
        *self.phase() = accepted.map_or(Phase::Refused, |push| Phase::Accepted(Box::new(push)));
    }

    /// Keeps the right to move until the post-receive hook is here or git is gone.
    pub(crate) fn may_move(&self, moving: Moving) {
        *self.moving.lock().unwrap_or_else(PoisonError::into_inner) = Some(moving);
    }

    /// git has moved everything, or will not.
    pub(crate) fn has_moved(&self) {
        *self.moving.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The post-receive hook is here; `None` when it may not be.
    pub(crate) fn moved(&self) -> Option<Push> {
        let mut phase = self.phase();
        match std::mem::replace(&mut *phase, Phase::Rolling) {
            Phase::Accepted(push) => Some(*push),
            other => {
                *phase = other;
                None
            }
        }
    }

    /// The rollout is over.
    pub(crate) fn rolled(&self, rollout: Rollout) {
        *self.phase() = Phase::Rolled(rollout);
    }

    /// Whether nobody has told the pusher yet why it ended.
    pub(crate) fn is_unexplained(&self) -> bool {
        matches!(*self.phase(), Phase::Fresh | Phase::Accepted(_))
    }

    /// How the rollout ended, when there was one.
    pub(crate) fn rollout(&self) -> Option<Rollout> {
        match *self.phase() {
            Phase::Rolled(rollout) => Some(rollout),
            _ => None,
        }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All of them, by token.
#[derive(Default)]
pub(crate) struct Pushes {
    by_token: Mutex<HashMap<String, Arc<Running>>>,
    movers: Mutex<HashMap<AppRef, Arc<tokio::sync::Mutex<()>>>>,
}

impl Pushes {
    pub(crate) fn add(&self, push: &Arc<Running>) {
        self.table().insert(push.token.clone(), push.clone());
    }

    pub(crate) fn remove(&self, push: &Running) {
        self.table().remove(&push.token);
    }

    /// The push with this token. Tokens have 256 random bits: a lookup that takes longer for a better guess tells nothing.
    pub(crate) fn find(&self, token: &str) -> Option<Arc<Running>> {
        self.table().get(token).cloned()
    }

    /// Waits for the right to move objects and refs of a repository: for other pushes in the same stretch, never for a build.
    pub(crate) async fn moving(&self, app: &AppRef) -> Moving {
        let mover = {
            let mut movers = self.movers.lock().unwrap_or_else(PoisonError::into_inner);
            movers.retain(|_, mover| Arc::strong_count(mover) > 1);
            movers.entry(app.clone()).or_default().clone()
        };
        mover.lock_owned().await
    }

    fn table(&self) -> MutexGuard<'_, HashMap<String, Arc<Running>>> {
        self.by_token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
