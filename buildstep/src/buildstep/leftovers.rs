//! What builds leave in the engine and on the disk, and its removal. Converges: it may be run at any time and as often as one likes.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use super::Buildstep;
use crate::engine::{EngineError, ListedContainer};
use crate::labels::{BUILD, KIND_LABEL, LIFE_LABEL, SANDBOX, SCOPE_LABEL};
use crate::sandbox::spools;
use crate::stack::layer_gc;
use crate::stack::recipe::{LayerName, Part};

/// How often unused layers are looked for.
const LAYER_GC_INTERVAL: Duration = Duration::from_secs(3600);

/// When this process began, and when leftovers were last looked for.
#[derive(Debug)]
pub(super) struct LeftoverChecks {
    /// When this process began: what is older and names no process was left by an earlier one.
    begun: SystemTime,
    /// When unused layers were last looked for.
    layers: Mutex<Option<Instant>>,
}

impl Default for LeftoverChecks {
    fn default() -> Self {
        Self { begun: SystemTime::now(), layers: Mutex::default() }
    }
}

impl Buildstep {
    /// Removes half-made layers and spools of earlier processes, then containers of builds.
    async fn remove_leftovers(&self) -> Result<usize, EngineError> {
        let begun = self.leftover_checks.begun;
        spools::reap(&self.config.work, begun);
        self.layers.reap(begun).await?;
        self.remove_unclaimed().await
    }

    /// Removes containers of builds that no build of this process uses. May be called at any time.
    async fn remove_unclaimed(&self) -> Result<usize, EngineError> {
        let mut removed = 0;
        for kind in [BUILD, SANDBOX] {
            let listed = self.engine.labelled(&[format!("{KIND_LABEL}={kind}"), format!("{SCOPE_LABEL}={}", self.config.network)]).await?;
            // Asked after the list was made: what has been made since is not on it, and what was claimed then still is or is gone.
            let is_ours =
                |one: &ListedContainer| one.labels.get(LIFE_LABEL) == self.labels.get(LIFE_LABEL) && self.container_names.holds(&one.name);
            for container in listed.iter().filter(|one| !is_ours(one)) {
                self.engine.remove(&container.id).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Removes layers of stacks that are of no use any more, once in a while.
    async fn collect_layers(&self) -> Result<usize, EngineError> {
        let last = || self.leftover_checks.layers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last().is_some_and(|at| at.elapsed() < LAYER_GC_INTERVAL) {
            return Ok(0);
        }
        let recipe = self.layers.recipe();
        let parts = |template| [Part::Run, Part::Build].map(|part| recipe.layer(template, part));
        let current: HashSet<LayerName> = self.catalog.iter().flat_map(parts).chain([recipe.base()]).collect();
        let removed = layer_gc::collect(&self.engine, &current, &self.config.network, self.config.keep_layers).await?;
        // An engine that was away is asked again with the next round.
        *last() = Some(Instant::now());
        Ok(removed)
    }

    /// Removes all of it; logs what went.
    pub(super) async fn reap_all(&self) {
        match self.remove_leftovers().await {
            Ok(0) => {}
            Ok(containers) => tracing::info!(containers, "removed what builds left behind"),
            // The supervisor says so already, once; nothing else would be answered either.
            Err(error) if error.is_unreachable() => return tracing::debug!(error = %error, "what builds left behind stays for now"),
            Err(error) => tracing::warn!(error = %error, "could not remove what builds left behind"),
        }
        match self.collect_layers().await {
            Ok(0) => {}
            Ok(layers) => tracing::info!(layers, "removed layers of stacks that nothing uses any more"),
            Err(error) => tracing::debug!(error = %error, "layers of stacks that nothing uses stay for now"),
        }
    }
}
