//! The prepared release of a push: written before the ref moves, activated after it.

use std::collections::BTreeMap;

use chrono::Utc;
use model::{Build, Hostname, Manifest, ProcessName, Release, ReleaseNumber, ReleaseState, RunSpec, UserError, release::Cause};
use store::records::{Change, Env, StoredRelease, StoredSlug};

use super::Push;
use crate::output::Output;
use crate::releases::process_specs;
use crate::scale::check_instances;
use crate::user_errors::apps::unknown_app;
use crate::user_errors::pushes;
use crate::{Manager, OrInternal};

impl Manager {
    /// Writes the release as prepared: image, config and processes.
    pub(super) async fn prepare_release(
        &self,
        push: &Push,
        build: &Build,
        manifest: &Manifest,
        slug: &StoredSlug,
        output: &dyn Output,
    ) -> Result<ReleaseNumber, UserError> {
        let processes = process_specs(&push.app, &Hostname::of_app(&push.app, &self.settings.domain), manifest, &slug.processes)?;
        let mut change = self.records.change().await.or_internal()?;
        let Some(env) = change.lock_env(&push.app).await.or_internal()? else {
            return Err(unknown_app(&push.app.app_ref()));
        };
        if !change.holds_lock(&push.app, build.id.as_str()).await.or_internal()? {
            return Err(pushes::lock_lost(&push.app));
        }
        let mut config = manifest.env_in(&push.app.env);
        let app_yaml_keys = Some(config.keys().cloned().collect());
        config.extend(self.open_config(&env)?);
        let number = change.next_release(&push.app).await.or_internal()?;
        let names: Vec<String> = processes.keys().map(ToString::to_string).collect();
        let release = Release {
            app: push.app.clone(),
            number,
            state: ReleaseState::Prepared,
            image: slug.image.clone(),
            build: Some(build.id.clone()),
            commit: push.commit.clone(),
            subject: push.subject.clone(),
            by: push.who.user_or_operator(),
            at: Utc::now(),
            cause: Cause::Push,
            config_keys: config.keys().cloned().collect(),
            app_yaml_keys,
            reason: None,
        };
        let spec = RunSpec {
            app: push.app.clone(),
            release: number,
            image: slug.image.clone(),
            commit: push.commit.clone(),
            processes,
            config: self.keyring.seal_map(&push.app.to_string(), &config),
        };
        change.add_release(&StoredRelease { release, spec }).await.or_internal()?;
        let env = self.first_push_settings(&mut change, env, push, manifest, &slug.processes).await?;
        change.commit().await.or_internal()?;
        output.step(format!("Release {number}"));
        output.detail(format!("processes: {}", names.join(", ")));
        for idle in names.iter().filter(|name| name.as_str() != "web" && !env.counts.keys().any(|known| known.as_str() == name.as_str())) {
            output.detail(format!("{idle} has no instance yet: slipway ps:scale {idle}=1 -a {} -e {}", push.app.app_ref(), push.app.env));
        }
        Ok(number)
    }

    /// Stores what a first push decides: the deploy branch, and counts of process types that were never scaled.
    async fn first_push_settings(
        &self,
        change: &mut Change,
        mut env: Env,
        push: &Push,
        manifest: &Manifest,
        processes: &BTreeMap<ProcessName, String>,
    ) -> Result<Env, UserError> {
        let mut changed = env.deploy_branch.is_none();
        env.deploy_branch.get_or_insert_with(|| push.branch.clone());
        for name in processes.keys().chain(manifest.processes.keys()) {
            if let Some(count) = manifest.process_in(&env.app.env, name).count
                && !env.counts.contains_key(name)
            {
                env.counts.insert(name.clone(), count);
                changed = true;
            }
        }
        check_instances(&push.app, &env.counts)?;
        if changed {
            change.save_env(&env).await.or_internal()?;
        }
        Ok(env)
    }
}
