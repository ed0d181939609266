//! Releases: what is in one, what differs between two, going back to one.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Utc;
use model::health::Probe;
use model::manifest::MAX_PROCESSES;
use model::{
    AppEnv, HealthCheck, Hostname, Manifest, ProcessName, ProcessSpec, Release, ReleaseNumber, ReleaseState, RunSpec, UserError,
    release::Cause,
};
use serde::Serialize;
use serde_json::json;
use store::records::{Change, Env, StoredRelease};

use crate::authorize::Verb;
use crate::identity::Identity;
use crate::user_errors::apps::unknown_app;
use crate::user_errors::{processes, releases as errors};
use crate::{Manager, OrInternal};

/// How each process type runs: the commands that the build found, and what app.yaml says over them.
pub(crate) fn process_specs(
    app: &AppEnv,
    hostname: &Hostname,
    manifest: &Manifest,
    found: &BTreeMap<ProcessName, String>,
) -> Result<BTreeMap<ProcessName, ProcessSpec>, UserError> {
    let mut names: BTreeSet<&ProcessName> = found.keys().chain(manifest.processes.keys()).collect();
    let special = manifest.environments.get(&app.env);
    names.extend(special.into_iter().flat_map(|hints| hints.processes.keys()));
    if names.len() > MAX_PROCESSES {
        return Err(processes::too_many_processes(app, names.len(), MAX_PROCESSES));
    }
    let mut specs = BTreeMap::new();
    for name in names {
        let hints = manifest.process_in(&app.env, name);
        let Some(command) = hints.command.clone().or_else(|| found.get(name).cloned()) else {
            return Err(processes::process_without_command(name));
        };
        let spec = ProcessSpec {
            command,
            resources: hints.resources(),
            health: hints.health_of(name).map(|check| asking_for(check, hostname)),
            stop_grace_s: hints.stop_grace_s.unwrap_or(10),
            drain_s: hints.drain_s.unwrap_or(30),
        };
        specs.insert(name.clone(), spec);
    }
    if specs.is_empty() {
        return Err(processes::no_process(app));
    }
    Ok(specs)
}

/// A check over HTTP asks for the app's own name unless app.yaml says another: many frameworks answer only to names they know, and
/// this one they must know anyhow.
fn asking_for(mut check: HealthCheck, hostname: &Hostname) -> HealthCheck {
    if let Probe::Http { host, .. } | Probe::Web { host } = &mut check.probe {
        host.get_or_insert_with(|| hostname.clone());
    }
    check
}

/// The target of a rollback without a number, out of releases newest first. After a failed release it is the one that still
/// serves, whose config comes back with it; otherwise the one that served before.
fn last_good(releases: &[(ReleaseNumber, ReleaseState)], serving: Option<ReleaseNumber>) -> Option<ReleaseNumber> {
    let newest = releases.iter().find(|(_, state)| !matches!(state, ReleaseState::Aborted | ReleaseState::Prepared));
    if newest.is_some_and(|(number, state)| *state == ReleaseState::Failed && Some(*number) != serving) && serving.is_some() {
        return serving;
    }
    releases.iter().find(|(number, state)| state.was_good() && serving.is_none_or(|serving| *number < serving)).map(|(number, _)| *number)
}

/// What differs between two releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// The release that is compared against.
    pub from: ReleaseNumber,
    /// The release whose changes are listed.
    pub to: ReleaseNumber,
    /// One line of text per difference.
    pub lines: Vec<String>,
}

impl Manager {
    /// The newest releases.
    pub async fn releases(&self, who: &Identity, app: &AppEnv, limit: u32) -> Result<Vec<Release>, UserError> {
        self.reach_env(who, Verb::ReleasesShow, app).await?;
        let stored = self.records.releases(app, limit.min(500)).await.or_internal()?;
        Ok(stored.into_iter().map(|stored| stored.release).collect())
    }

    async fn stored(&self, app: &AppEnv, number: ReleaseNumber) -> Result<StoredRelease, UserError> {
        self.records.release(app, number).await.or_internal()?.ok_or_else(|| errors::unknown_release(app, number))
    }

    /// The difference between two releases: code, processes, config by name and whether values differ, never a value.
    pub async fn diff(&self, who: &Identity, app: &AppEnv, from: ReleaseNumber, to: ReleaseNumber) -> Result<Diff, UserError> {
        self.reach_env(who, Verb::ReleasesShow, app).await?;
        let (a, b) = (self.stored(app, from).await?, self.stored(app, to).await?);
        let context = app.to_string();
        let config_a = self.keyring.open_map(&context, &a.spec.config).or_internal()?;
        let config_b = self.keyring.open_map(&context, &b.spec.config).or_internal()?;
        Ok(Diff { from, to, lines: differences(&a, &b, &config_a, &config_b) })
    }

    /// Goes back to an earlier release, its config included, as a new release. Without a number: the last good one.
    pub async fn rollback(&self, who: &Identity, app: &AppEnv, to: Option<ReleaseNumber>) -> Result<ReleaseNumber, UserError> {
        let env = self.reach_env(who, Verb::Rollback, app).await?;
        let target = match to {
            Some(number) => self.stored(app, number).await?,
            None => {
                let releases = self.records.releases(app, 200).await.or_internal()?;
                let states: Vec<_> = releases.iter().map(|stored| (stored.release.number, stored.release.state)).collect();
                let number = last_good(&states, env.current).ok_or_else(|| errors::nothing_to_roll_back_to(app))?;
                self.stored(app, number).await?
            }
        };
        if matches!(target.release.state, ReleaseState::Aborted | ReleaseState::Prepared) {
            return Err(errors::never_released(&target.release));
        }
        if !self.builder.has_image(&target.spec.image).await {
            return Err(errors::image_missing(&target.release));
        }
        let cause = Cause::Rollback { to: target.release.number };
        let config = self.keyring.open_map(&app.to_string(), &target.spec.config).or_internal()?;
        let mut change = self.records.change().await.or_internal()?;
        let Some(mut env) = change.lock_env(app).await.or_internal()? else {
            return Err(unknown_app(&app.app_ref()));
        };
        // Its config becomes that of the environment when it is live: a rollback that fails changes nothing.
        let number = self.release_again(&mut change, who, &mut env, target, cause.clone(), &config).await?;
        let detail = json!({ "release": number, "cause": cause });
        self.record(&mut change, who, Verb::Rollback, Some(&app.tenant), app.to_string(), detail).await?;
        change.commit().await.or_internal()?;
        self.project(app).await?;
        Ok(number)
    }

    /// The newest release, if it failed.
    pub(crate) async fn newest_failed(&self, app: &AppEnv) -> Result<Option<StoredRelease>, UserError> {
        let releases = self.records.releases(app, 20).await.or_internal()?;
        let newest = releases.into_iter().find(|stored| !matches!(stored.release.state, ReleaseState::Aborted | ReleaseState::Prepared));
        Ok(newest.filter(|stored| stored.release.state == ReleaseState::Failed))
    }

    /// What a pusher is told who has nothing new to push, when the newest release failed.
    pub async fn failed_release_to_retry(&self, app: &AppEnv) -> Result<Option<UserError>, UserError> {
        let failed = self.newest_failed(app).await?;
        Ok(failed.map(|stored| errors::up_to_date_but_failed(&stored.release)))
    }

    /// Tries a failed release again: a new release of the same image, with the config of now. Without a number: the newest.
    pub async fn retry(&self, who: &Identity, app: &AppEnv, which: Option<ReleaseNumber>) -> Result<ReleaseNumber, UserError> {
        self.reach_env(who, Verb::ReleasesRetry, app).await?;
        let base = match which {
            Some(number) => self.stored(app, number).await?,
            None => self.newest_failed(app).await?.ok_or_else(|| errors::nothing_to_retry(app))?,
        };
        if base.release.state != ReleaseState::Failed {
            return Err(errors::did_not_fail(&base.release));
        }
        if !self.builder.has_image(&base.spec.image).await {
            return Err(errors::image_missing(&base.release));
        }
        let cause = Cause::Retry { of: base.release.number };
        let mut change = self.records.change().await.or_internal()?;
        let Some(mut env) = change.lock_env(app).await.or_internal()? else {
            return Err(unknown_app(&app.app_ref()));
        };
        let config = self.config_over(&base, &env)?;
        let number = self.release_again(&mut change, who, &mut env, base, cause.clone(), &config).await?;
        let detail = json!({ "release": number, "cause": cause });
        self.record(&mut change, who, Verb::ReleasesRetry, Some(&app.tenant), app.to_string(), detail).await?;
        change.commit().await.or_internal()?;
        self.project(app).await?;
        Ok(number)
    }

    /// The whole config of a release of `base` with the config of the environment as it is now: what app.yaml set stays, unless a key
    /// goes over it.
    pub(crate) fn config_over(&self, base: &StoredRelease, env: &Env) -> Result<BTreeMap<String, String>, UserError> {
        let mut whole = self.keyring.open_map(&env.app.to_string(), &base.spec.config).or_internal()?;
        if let Some(from_app_yaml) = &base.release.app_yaml_keys {
            whole.retain(|key, _| from_app_yaml.contains(key));
        }
        whole.extend(self.open_config(env)?);
        Ok(whole)
    }

    /// Adds a release of an image that has been released before, and makes it the one that should serve. The caller records the
    /// event of what it is part of, commits, and projects.
    pub(crate) async fn release_again(
        &self,
        change: &mut Change,
        who: &Identity,
        env: &mut Env,
        base: StoredRelease,
        cause: Cause,
        config: &BTreeMap<String, String>,
    ) -> Result<ReleaseNumber, UserError> {
        let number = change.next_release(&env.app).await.or_internal()?;
        let release = Release {
            number,
            state: ReleaseState::Active,
            by: who.user_or_operator(),
            at: Utc::now(),
            cause,
            config_keys: config.keys().cloned().collect(),
            reason: None,
            ..base.release
        };
        let spec = RunSpec { release: number, config: self.keyring.seal_map(&env.app.to_string(), config), ..base.spec };
        change.add_release(&StoredRelease { release, spec }).await.or_internal()?;
        env.current = Some(number);
        change.save_env(env).await.or_internal()?;
        Ok(number)
    }

    /// The config of an environment, opened.
    pub(crate) fn open_config(&self, env: &Env) -> Result<BTreeMap<String, String>, UserError> {
        match &env.config {
            None => Ok(BTreeMap::new()),
            Some(sealed) => self.keyring.open_map(&env.app.to_string(), sealed).or_internal(),
        }
    }
}

fn differences(
    a: &StoredRelease,
    b: &StoredRelease,
    config_a: &BTreeMap<String, String>,
    config_b: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut lines = Vec::new();
    if a.release.commit != b.release.commit {
        let short = |commit: &str| commit.get(..8).unwrap_or(commit).to_owned();
        lines.push(format!("commit   {} → {} {}", short(&a.release.commit), short(&b.release.commit), b.release.subject));
    }
    if a.spec.image.digest != b.spec.image.digest {
        lines.push(format!("image    {} → {}", a.spec.image.digest.short(), b.spec.image.digest.short()));
    }
    let names: BTreeSet<&ProcessName> = a.spec.processes.keys().chain(b.spec.processes.keys()).collect();
    for name in names {
        match (a.spec.processes.get(name), b.spec.processes.get(name)) {
            (None, Some(new)) => lines.push(format!("process  + {name}: {}", new.command)),
            (Some(_), None) => lines.push(format!("process  - {name}")),
            (Some(old), Some(new)) if old != new => lines.push(process_line(name, old, new)),
            _ => {}
        }
    }
    let keys: BTreeSet<&String> = config_a.keys().chain(config_b.keys()).collect();
    for key in keys {
        match (config_a.get(key), config_b.get(key)) {
            (None, Some(_)) => lines.push(format!("config   + {key}")),
            (Some(_), None) => lines.push(format!("config   - {key}")),
            (old, new) if old != new => lines.push(format!("config   ~ {key} (another value)")),
            _ => {}
        }
    }
    lines
}

fn process_line(name: &ProcessName, old: &ProcessSpec, new: &ProcessSpec) -> String {
    let mut parts = Vec::new();
    if old.command != new.command {
        parts.push(format!("{} → {}", old.command, new.command));
    }
    if old.resources != new.resources {
        let show = |r: &model::Resources| format!("{} MB, {} m cpu, {} pids", r.memory_mb, r.cpu_millis, r.pids);
        parts.push(format!("{} → {}", show(&old.resources), show(&new.resources)));
    }
    if old.health != new.health {
        parts.push("another health check".into());
    }
    if (old.stop_grace_s, old.drain_s) != (new.stop_grace_s, new.drain_s) {
        parts.push("other stop times".into());
    }
    format!("process  ~ {name}: {}", parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_leads_before_the_last_attempt() {
        use ReleaseState::{Aborted, Failed, Live, Retired};
        let n = ReleaseNumber;
        assert_eq!(last_good(&[(n(2), Live), (n(1), Retired)], Some(n(2))), Some(n(1)));
        assert_eq!(last_good(&[(n(1), Live)], Some(n(1))), None);
        assert_eq!(last_good(&[(n(3), Failed), (n(2), Live), (n(1), Retired)], Some(n(2))), Some(n(2)));
        assert_eq!(last_good(&[(n(4), Aborted), (n(3), Live), (n(2), Failed), (n(1), Retired)], Some(n(3))), Some(n(1)));
        assert_eq!(last_good(&[(n(1), Failed)], None), None);
    }
}
