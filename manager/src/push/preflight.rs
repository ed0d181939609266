//! Checks of a push before its turn: app.yaml, the size of the source, and hosts that are large enough.

use model::{AppEnv, Manifest, UserError};

use super::Push;
use super::source_checks::SourceChecks;
use crate::output::Output;
use crate::user_errors::processes as errors;
use crate::{Manager, OrInternal};

impl Manager {
    /// Checks the pushed tree, on a thread that may block: it takes time in proportion to the files.
    pub(super) async fn check_source(&self, push: &Push, manifest: &Manifest, output: &dyn Output) -> Result<(), UserError> {
        let (source, root) = (push.source.clone(), manifest.root.clone().unwrap_or_default());
        let reading = tokio::task::spawn_blocking(move || SourceChecks::read(&*source, &root));
        match reading.await.or_internal()? {
            Some(checks) => checks.run(&push.app.app_ref(), self.builder.most_source(), output),
            // A folder that does not exist is refused by the builder, which names those that do.
            None => Ok(()),
        }
    }

    /// Reads app.yaml, which must not name another app.
    pub(super) fn manifest(&self, push: &Push) -> Result<Manifest, UserError> {
        let manifest = match push.source.read("app.yaml") {
            None => Manifest::default(),
            Some(bytes) => {
                let text = String::from_utf8(bytes).map_err(|_| errors::bad_manifest("app.yaml is not UTF-8 text".into()))?;
                Manifest::parse(&text).map_err(|error| errors::bad_manifest(error.to_string()))?
            }
        };
        match &manifest.app {
            Some(app) if *app != push.app.app => {
                let remote = self.remote_of(&AppEnv { app: app.clone(), ..push.app.clone() });
                Err(errors::manifest_of_another_app(app, &push.app.app_ref(), &push.app.env, &remote))
            }
            _ => Ok(manifest),
        }
    }

    /// Refuses a process that is larger than every host, before anything is built.
    pub(super) async fn check_capacity(&self, push: &Push, manifest: &Manifest) -> Result<(), UserError> {
        let hosts = self.live.hosts().await.or_internal()?;
        let names =
            manifest.processes.keys().chain(manifest.environments.get(&push.app.env).into_iter().flat_map(|env| env.processes.keys()));
        for name in names {
            let wanted = manifest.process_in(&push.app.env, name).resources();
            let fits = |capacity: &model::Capacity| wanted.memory_mb <= capacity.memory_mb && wanted.cpu_millis <= capacity.cpu_millis;
            if hosts.is_empty() || hosts.iter().any(|host| fits(&host.capacity)) {
                continue;
            }
            let most = |of: fn(&model::Capacity) -> u32| hosts.iter().map(|host| of(&host.capacity)).max().unwrap_or(0);
            let largest = (most(|capacity| capacity.memory_mb), most(|capacity| capacity.cpu_millis));
            return Err(errors::no_host_large_enough(name, &push.app, &wanted, largest));
        }
        Ok(())
    }
}
