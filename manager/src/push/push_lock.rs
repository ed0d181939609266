//! The lock of a push: at most one push of an app and environment builds and prepares a release at a time.
//!
//! It ends with its lease when it is not renewed. A push that lost it stops, and can not write a release: the transaction of the
//! release checks the holder.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::Utc;
use model::{AppEnv, BuildId, UserError};
use store::Records;
use store::records::{Lock, RecordsError};
use tokio_util::sync::CancellationToken;

use super::Push;
use crate::user_errors::pushes as errors;
use crate::{Manager, OrInternal};

/// A lock that is not renewed ends after this time.
const LEASE: Duration = Duration::from_secs(60);

impl Manager {
    /// Takes the lock of the app and environment, and renews it until it is released. When it is lost, `build` is cancelled.
    pub(super) async fn lock_push(&self, push: &Push, id: &BuildId, build: &CancellationToken) -> Result<PushLock, UserError> {
        let lease =
            Lease { records: self.records.clone(), app: push.app.clone(), holder: id.to_string(), owner: push.who.actor.to_string() };
        let held = lease.take().await.or_internal()?;
        if held.holder != lease.holder {
            return Err(errors::locked(&push.app, &held));
        }
        let stop = CancellationToken::new();
        let lost = Arc::new(AtomicBool::new(false));
        let renewing = tokio::spawn(renew(lease, stop.clone(), lost.clone(), build.clone()));
        Ok(PushLock { stop, lost, renewing: Some(renewing) })
    }
}

/// What a lock is taken and renewed with.
struct Lease {
    records: Records,
    app: AppEnv,
    /// The id of the build.
    holder: String,
    /// The user on whose behalf it is held, for messages.
    owner: String,
}

impl Lease {
    /// Takes or renews the lock; returns the one that is held afterwards, maybe by another push.
    async fn take(&self) -> Result<Lock, RecordsError> {
        let now = Utc::now();
        let lock = Lock {
            app: self.app.clone(),
            holder: self.holder.clone(),
            owner: self.owner.clone(),
            reason: "push".into(),
            since: now,
            expires: now + LEASE,
        };
        self.records.take_lock(&lock).await
    }
}

/// Renews a lock until `stop`, then releases it. Ends early, and cancels the build, when another push holds it.
async fn renew(lease: Lease, stop: CancellationToken, lost: Arc<AtomicBool>, build: CancellationToken) {
    let mut tick = tokio::time::interval(LEASE / 4);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = tick.tick() => {}
        }
        match lease.take().await {
            Ok(held) if held.holder == lease.holder => {}
            Ok(held) => {
                tracing::warn!(app = %lease.app, build = lease.holder, holder = held.holder, "a push lost its lock");
                lost.store(true, Ordering::Release);
                build.cancel();
                return;
            }
            // The lease may still be good when the database answers again.
            Err(error) => tracing::warn!(%error, app = %lease.app, "could not renew a lock"),
        }
    }
    if let Err(error) = lease.records.release_lock(&lease.app, &lease.holder).await {
        tracing::warn!(%error, app = %lease.app, "could not release a lock; it ends with its lease");
    }
}

/// A held lock. `release` gives it up at once, dropping it soon after.
pub(super) struct PushLock {
    stop: CancellationToken,
    lost: Arc<AtomicBool>,
    renewing: Option<tokio::task::JoinHandle<()>>,
}

impl PushLock {
    /// Releases the lock; `false` when it was lost before.
    pub(super) async fn release(mut self) -> bool {
        self.stop.cancel();
        if let Some(renewing) = self.renewing.take() {
            // A failure is logged there; the lock then ends with its lease.
            let _ = renewing.await;
        }
        !self.lost.load(Ordering::Acquire)
    }
}

impl Drop for PushLock {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
