//! `Caches`: what builds of an app keep for its next builds, one volume per app and template.
//!
//! Owns their names, who uses one now, and their size. Must never let two builds write one cache at once.

use std::collections::HashMap;
use std::sync::Arc;

use model::{AppRef, Code, TemplateName, UserError};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::engine::{Engine, EngineError};
use crate::labels::{CACHE_LABEL, KIND_LABEL, SCOPE_LABEL};
use crate::sandbox::disk_usage::{self, Usage};
use crate::sandbox::limits::Limits;

/// All caches of a builder.
#[derive(Debug)]
pub struct Caches {
    engine: Engine,
    scope: String,
    locks: Mutex<HashMap<String, Arc<Mutex<()>>>>,
}

/// The cache of an app, for one build alone.
#[derive(Debug)]
pub struct Cache {
    /// The name of the volume in the engine.
    pub volume: String,
    engine: Engine,
    _alone: OwnedMutexGuard<()>,
}

impl Caches {
    /// Those of the builder whose build network is `scope`.
    pub fn new(engine: Engine, scope: &str) -> Self {
        Self { engine, scope: scope.to_owned(), locks: Mutex::default() }
    }

    /// Waits for the cache of an app, and makes it unless it is there.
    pub async fn take(&self, app: &AppRef, uid: u32, template: &TemplateName) -> Result<Cache, EngineError> {
        // Dots can not stand in names, so that no two apps share a cache. The uid tells a new app of an old name from that one.
        let volume = format!("slipway-cache.{}.{}.{}.{uid}.{template}", self.scope, app.tenant, app.app);
        let alone = self.alone(&volume).await;
        let labels = [(KIND_LABEL, "cache".to_owned()), (CACHE_LABEL, app.to_string()), (SCOPE_LABEL, self.scope.clone())];
        self.engine.volume(&volume, labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()).await?;
        Ok(Cache { volume, engine: self.engine.clone(), _alone: alone })
    }

    /// Empties the caches of an app.
    pub async fn purge(&self, app: &AppRef) -> Result<(), EngineError> {
        for volume in self.engine.volumes(&[format!("{CACHE_LABEL}={app}"), format!("{SCOPE_LABEL}={}", self.scope)]).await? {
            let _alone = self.alone(&volume).await;
            self.engine.remove_volume(&volume).await?;
        }
        Ok(())
    }

    async fn alone(&self, volume: &str) -> OwnedMutexGuard<()> {
        let lock = self.locks.lock().await.entry(volume.to_owned()).or_default().clone();
        lock.lock_owned().await
    }
}

impl Cache {
    /// Gives it back after a build. One that grew over its limit, or filled the disk, starts anew. Looking takes as long as there
    /// are files: the build that waits for its slug does not wait for this, the next one of the app does.
    pub fn give_back(self, limits: &Limits, user_error: Option<&UserError>) {
        let full = user_error.is_some_and(|user_error| matches!(user_error.code, Code::BuildDisk | Code::DiskFull));
        let most = Usage { bytes: limits.cache, files: limits.files };
        tokio::spawn(async move {
            let used = self.used(most).await;
            if full || used.bytes > most.bytes || used.files > most.files {
                tracing::info!(cache = self.volume, bytes = used.bytes, "the cache of an app is emptied");
                if let Err(error) = self.engine.remove_volume(&self.volume).await {
                    tracing::warn!(cache = self.volume, error = %error, "the cache of an app could not be emptied");
                }
            }
        });
    }

    /// What it holds; counting ends at `most`.
    async fn used(&self, most: Usage) -> Usage {
        match self.engine.volume_place(&self.volume).await {
            Ok(Some(place)) => {
                tokio::task::spawn_blocking(move || disk_usage::below(&place, most)).await.ok().flatten().unwrap_or_default()
            }
            _ => Usage::default(),
        }
    }
}
