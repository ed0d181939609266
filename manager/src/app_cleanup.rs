//! What a destroyed app leaves outside of records and coordination: source, images, caches and logs.

use model::{AppEnv, AppRef};

/// Removes what other roles store of an app; implemented by the binary.
#[async_trait::async_trait]
pub trait AppCleanup: Send + Sync {
    /// Removes everything of a destroyed app. Idempotent.
    async fn remove_all(&self, app: &AppRef, envs: &[AppEnv]);
}
