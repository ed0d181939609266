//! The cleanup of destroyed apps: what they leave outside of records and coordination, such as source, images, caches and logs.
//!
//! A cleanup is recorded in the transaction that removes the app, and ends when everything is removed. Until then no app of that
//! name can be made, so that none inherits the source, images or logs of another. A server that stops in between goes on after
//! its start.

use model::{AppEnv, AppRef, UserError};

use crate::{Manager, OrInternal};

/// Some of an app could not be removed; what and why is in the log.
#[derive(Debug, thiserror::Error)]
#[error("some of the app could not be removed")]
pub struct CleanupIncomplete;

/// Removes what other roles store of an app; implemented by the binary.
#[async_trait::async_trait]
pub trait AppCleanup: Send + Sync {
    /// Removes everything of a destroyed app. Idempotent.
    async fn remove_all(&self, app: &AppRef, envs: &[AppEnv]) -> Result<(), CleanupIncomplete>;
}

impl Manager {
    /// Does the pending cleanups. One that does not succeed stays pending.
    pub async fn clean_up_all(&self) -> Result<(), UserError> {
        for app in self.records.app_cleanups().await.or_internal()? {
            self.clean_up(&app).await?;
        }
        Ok(())
    }

    /// Does the cleanup of one app, if it is pending. One at a time: another caller waits, and finds it done.
    pub(crate) async fn clean_up(&self, app: &AppRef) -> Result<(), UserError> {
        let Some(cleanup) = self.app_cleanup() else { return Ok(()) };
        let mut change = self.records.change().await.or_internal()?;
        let Some(envs) = change.lock_app_cleanup(app).await.or_internal()? else { return Ok(()) };
        let envs: Vec<AppEnv> = envs.into_iter().map(|env| app.in_env(env)).collect();
        match cleanup.remove_all(app, &envs).await {
            Ok(()) => {
                change.remove_app_cleanup(app).await.or_internal()?;
                change.commit().await.or_internal()
            }
            Err(CleanupIncomplete) => {
                tracing::warn!(%app, "the cleanup of a destroyed app is not complete; it is tried again");
                Ok(())
            }
        }
    }
}
