//! The cleanup of destroyed apps: removes their repository, images, caches and logs.

use std::sync::Arc;

use async_trait::async_trait;
use buildstep::Buildstep;
use gitreceive::Repositories;
use manager::{AppCleanup, CleanupIncomplete};
use model::{AppEnv, AppRef};
use registry::{Registry, RepositoryName};
use slugrunner::LogStore;

/// The roles that store something of an app.
pub struct AppParts {
    pub repositories: Repositories,
    pub registry: Arc<Registry>,
    pub builder: Arc<Buildstep>,
    pub logs: LogStore,
}

#[async_trait]
impl AppCleanup for AppParts {
    async fn remove_all(&self, app: &AppRef, envs: &[AppEnv]) -> Result<(), CleanupIncomplete> {
        let (repositories, logs, named, all) = (self.repositories.clone(), self.logs.clone(), app.clone(), envs.to_vec());
        // Directories are removed: that blocks.
        let files = tokio::task::spawn_blocking(move || {
            let mut complete = true;
            if let Err(error) = repositories.remove(&named) {
                tracing::error!(app = %named, %error, "the repository of a destroyed app could not be removed");
                complete = false;
            }
            for env in all {
                if let Err(error) = logs.remove(&env) {
                    tracing::error!(app = %env, %error, "the logs of a destroyed app could not be removed");
                    complete = false;
                }
            }
            complete
        });
        let mut complete = files.await.unwrap_or_else(|error| {
            tracing::error!(%app, %error, "the files of a destroyed app could not be removed");
            false
        });
        match RepositoryName::new(app.to_string()) {
            Ok(name) => {
                if let Err(error) = self.registry.remove_within(&name).await {
                    tracing::error!(%app, %error, "the images of a destroyed app could not be removed");
                    complete = false;
                }
            }
            // Then it never had an image.
            Err(error) => tracing::error!(%app, %error, "an app has no repository name"),
        }
        if let Err(error) = self.builder.purge_cache(app).await {
            tracing::error!(%app, %error, "the build cache of a destroyed app could not be removed");
            complete = false;
        }
        if complete { Ok(()) } else { Err(CleanupIncomplete) }
    }
}
