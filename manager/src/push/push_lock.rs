//! The lock of a push: at most one push of an app and environment builds and prepares a release at a time.

use std::time::Duration;

use chrono::Utc;
use model::{AppEnv, BuildId, UserError};
use store::records::Lock;
use tokio_util::sync::CancellationToken;

use super::Push;
use crate::user_errors::pushes as errors;
use crate::{Manager, OrInternal};

/// A lock that is not renewed ends after this time.
const LEASE: Duration = Duration::from_secs(60);

impl Manager {
    /// Takes the lock of the app and environment, and renews it until it is released.
    pub(super) async fn lock_push(&self, push: &Push, build: &BuildId) -> Result<PushLock, UserError> {
        let records = self.records.clone();
        let wanted = move |app: &AppEnv, holder: &BuildId, owner: &str| {
            let now = Utc::now();
            Lock {
                app: app.clone(),
                holder: holder.to_string(),
                owner: owner.to_owned(),
                reason: "push".into(),
                since: now,
                expires: now + LEASE,
            }
        };
        let owner = push.who.actor.to_string();
        let held = records.take_lock(&wanted(&push.app, build, &owner)).await.or_internal()?;
        if held.holder != build.as_str() {
            return Err(errors::locked(&push.app, &held));
        }
        let (app, build) = (push.app.clone(), build.clone());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let renewing = tokio::spawn(async move {
            let mut tick = tokio::time::interval(LEASE / 4);
            loop {
                tokio::select! {
                    _ = tick.tick() => {
                        if let Err(error) = records.take_lock(&wanted(&app, &build, &owner)).await {
                            tracing::warn!(%error, %app, "could not renew a lock");
                        }
                    }
                    () = stopped.cancelled() => break,
                }
            }
            if let Err(error) = records.release_lock(&app, build.as_str()).await {
                tracing::warn!(%error, %app, "could not release a lock; it ends with its lease");
            }
        });
        Ok(PushLock { stop, renewing: Some(renewing) })
    }
}

/// A held lock. `release` gives it up at once, dropping it soon after.
pub(super) struct PushLock {
    stop: CancellationToken,
    renewing: Option<tokio::task::JoinHandle<()>>,
}

impl PushLock {
    pub(super) async fn release(mut self) {
        self.stop.cancel();
        if let Some(renewing) = self.renewing.take() {
            // A failure is logged there; the lock then ends with its lease.
            let _ = renewing.await;
        }
    }
}

impl Drop for PushLock {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
