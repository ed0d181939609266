//! One push, until the ref moves: from a commit in quarantine to a prepared release.
//!
//! The git ref is the commit point. What is here runs before it moves and only prepares; `activate.rs` is what comes after.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use model::{
    AppEnv, Build, BuildId, BuildState, Code, Hostname, Manifest, Release, ReleaseNumber, ReleaseState, RunSpec, UserError, push_output,
    release::Cause,
};
use store::records::{Env, Lock, StoredRelease, StoredSlug};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::authorize::Verb;
use crate::build_log::BuildLog;
use crate::builder::Job;
use crate::identity::Identity;
use crate::look::Look;
use crate::output::Output;
use crate::queue::NoTurn;
use crate::releases::process_specs;
use crate::source::Source;
use crate::{Manager, OrInternal};

/// A pusher hears something at least this often.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long the ref of the push before may take to move.
const SETTLE: Duration = Duration::from_secs(60);
/// A lock without renewal ends after this.
const LEASE: Duration = Duration::from_secs(60);

/// A push that passed the rules of refs.
#[derive(Clone)]
pub struct Push {
    /// Who pushes.
    pub who: Identity,
    /// To where.
    pub app: AppEnv,
    /// The branch.
    pub branch: String,
    /// The commit.
    pub commit: String,
    /// First line of its message.
    pub subject: String,
    /// Its files.
    pub source: Arc<dyn Source>,
    /// Whether the branch still stands where the pusher saw it: asked when a push that waited gets its turn.
    pub is_current: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Manager {
    /// Builds a pushed commit, or finds it built, and prepares its release. Runs to its end when the pusher is gone.
    pub async fn push(&self, push: Push, pusher: Arc<dyn Output>) -> Result<ReleaseNumber, UserError> {
        self.reach_in(&push.who, Verb::Push, &push.app).await?;
        let env = self.ensure_env(&push.app).await?;
        let mut build = Build {
            id: BuildId::mint(store::random::bytes()),
            app: push.app.clone(),
            state: BuildState::Queued,
            commit: push.commit.clone(),
            subject: push.subject.clone(),
            by: push.who.user_or_operator(),
            at: Utc::now(),
            started: None,
            ended: None,
            template: None,
            image: None,
            reused: false,
            release: None,
            error: None,
        };
        let log = Arc::new(self.logs.open(&build.id, pusher).or_internal()?);
        let cancel = self.queue.announce(&build.id);
        self.save_build(&build).await?;
        let said: &dyn Output = &*log;
        let short = push.commit.get(..8).unwrap_or(&push.commit);
        said.step(format!("Build {} of {} at {short}", build.id, push.app));
        said.detail(format!("{}/builds/{}", self.settings.dashboard, build.id));
        if env.deploy_branch.is_none() {
            said.detail(format!("the first push to {}: it deploys `{}` from now on", push.app, push.branch));
        }

        let result = self.push_in_turn(&push, &mut build, &log, &cancel).await;
        self.queue.forget(&build.id);
        if self.records.env(&push.app).await.or_internal()?.is_none() {
            // Its records are gone with it; what failed on the way failed for this.
            return Err(UserError::new(Code::UnknownApp, format!("{} was destroyed during this push", push.app))
                .why("Its source, its builds and its releases went with it. Nothing of this push is left.")
                .next("slipway events   # who did it"));
        }
        build.ended = Some(Utc::now());
        match &result {
            Ok(number) => {
                build.state = BuildState::Succeeded;
                build.release = Some(*number);
            }
            Err(user_error) => {
                build.state = match user_error.code {
                    Code::Superseded => BuildState::Superseded,
                    Code::Cancelled => BuildState::Cancelled,
                    _ => BuildState::Failed,
                };
                build.error = Some(user_error.clone());
                for line in push_output::user_error(user_error) {
                    // The pusher gets the block from whoever refuses the ref; the stored log needs it too.
                    log.store_only(&line);
                }
            }
        }
        self.save_build(&build).await?;
        result
    }

    async fn push_in_turn(
        &self,
        push: &Push,
        build: &mut Build,
        log: &Arc<BuildLog>,
        cancel: &CancellationToken,
    ) -> Result<ReleaseNumber, UserError> {
        let said: &dyn Output = &**log;
        let manifest = self.manifest(push)?;
        self.look_over(push, &manifest, said).await?;
        self.check_room(push, &manifest).await?;
        let turn = self.queue.turn(&push.app, &build.id, cancel, |text| said.detail(text)).await;
        let _turn = turn.map_err(|why| match why {
            NoTurn::Superseded => UserError::new(Code::Superseded, format!("a newer push to {} took the place of this one", push.app))
                .next(format!("slipway builds -a {} -e {}", push.app.app_ref(), push.app.env)),
            NoTurn::Cancelled => cancelled(&build.id),
        })?;
        let lease = self.lease(push, &build.id).await?;
        let prepared = self.build_and_prepare(push, build, log, cancel, &manifest).await;
        // The lock is free before the next one gets its turn, so that it never meets it.
        lease.end().await;
        prepared
    }

    /// Does what only one push of an app and environment may do at once.
    async fn build_and_prepare(
        &self,
        push: &Push,
        build: &mut Build,
        log: &Arc<BuildLog>,
        cancel: &CancellationToken,
        manifest: &Manifest,
    ) -> Result<ReleaseNumber, UserError> {
        let said: &dyn Output = &**log;
        self.wait_settled(&push.app).await?;
        if !(push.is_current)() {
            return Err(UserError::new(Code::Superseded, format!("`{}` of {} moved while this push waited", push.branch, push.app))
                .why("git would refuse this push after its build: it began at a commit where the branch does not stand any more.")
                .next(format!("git push {} {}", self.remote_of(&push.app), push.branch)));
        }
        build.state = BuildState::Running;
        build.started = Some(Utc::now());
        self.save_build(build).await?;

        let job = Job { build: build.id.clone(), app: push.app.clone(), source: push.source.clone(), manifest: manifest.clone() };
        let prepared = self.builder.prepare(&job).await?;
        build.template = Some(prepared.template.clone());
        // Who looks at the running build sees what it is built with.
        self.save_build(build).await?;
        said.step(format!("Template: {}", prepared.template));
        for note in &prepared.notes {
            said.detail(note);
        }
        let slug = match self.known_slug(push, &prepared.source_key).await? {
            Some(slug) => {
                build.reused = true;
                said.step(format!("Already built by {}: the same source, template, stack and settings", slug.build));
                slug
            }
            None => self.run_build(&job, &prepared, push, log, cancel).await?,
        };
        build.image = Some(slug.image.clone());
        self.prepare_release(push, build, manifest, &slug, said).await
    }

    /// Looks over the source, off the threads that serve: it takes as long as there are files.
    async fn look_over(&self, push: &Push, manifest: &Manifest, said: &dyn Output) -> Result<(), UserError> {
        let (source, root) = (push.source.clone(), manifest.root.clone().unwrap_or_default());
        let looking = tokio::task::spawn_blocking(move || Look::at(&*source, &root));
        match looking.await.or_internal()? {
            Some(look) => look.judge(&push.app.app_ref(), self.builder.most_source(), said),
            // A folder that is not there is refused by the builder, with the names of those that are.
            None => Ok(()),
        }
    }

    fn manifest(&self, push: &Push) -> Result<Manifest, UserError> {
        let bad = |error: String| {
            UserError::new(Code::BadManifest, error).why("Nothing was built.").next("slipway validate   # checks it before you push")
        };
        let manifest = match push.source.read("app.yaml") {
            None => Manifest::default(),
            Some(bytes) => {
                let text = String::from_utf8(bytes).map_err(|_| bad("app.yaml is not UTF-8 text".into()))?;
                Manifest::parse(&text).map_err(|error| bad(error.to_string()))?
            }
        };
        match &manifest.app {
            Some(app) if *app != push.app.app => Err(UserError::new(
                Code::BadManifest,
                format!("app.yaml says that this repository is `{app}`, and it was pushed to {}", push.app.app_ref()),
            )
            .next(format!("git remote set-url paas-{} {}", push.app.env, self.remote_of(&AppEnv { app: app.clone(), ..push.app.clone() })))
            .next("or take `app:` out of app.yaml")),
            _ => Ok(manifest),
        }
    }

    /// Takes the lock of the app and environment, and renews it until it is dropped.
    async fn lease(&self, push: &Push, build: &BuildId) -> Result<Lease, UserError> {
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
            return Err(UserError::new(Code::Locked, format!("{} is locked by {} for {}", push.app, held.owner, held.reason))
                .why(format!("Since {}, by {}.", held.since.format("%H:%M:%S UTC"), held.holder))
                .next(format!("wait until it has ended, or cancel it: slipway builds:cancel {}", held.holder)));
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
        Ok(Lease { stop, renewing: Some(renewing) })
    }

    /// Waits until no release of the push before is open: its ref moves after its build has given up its turn.
    async fn wait_settled(&self, app: &AppEnv) -> Result<(), UserError> {
        let deadline = Instant::now() + SETTLE;
        loop {
            let settled = self.settled.notified();
            let newest = self.records.releases(app, 5).await.or_internal()?;
            if !newest.iter().any(|stored| stored.release.state == ReleaseState::Prepared) {
                return Ok(());
            }
            if Instant::now() > deadline {
                tracing::warn!(%app, "the push before was not settled in time");
                return Ok(());
            }
            let _ = tokio::time::timeout(Duration::from_millis(250), settled).await;
        }
    }

    /// Refuses what no host could ever take, before anything is built.
    async fn check_room(&self, push: &Push, manifest: &Manifest) -> Result<(), UserError> {
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
            return Err(UserError::new(Code::NoCapacity, format!("no host can ever take `{name}` of {}", push.app))
                .why(format!(
                    "It asks for {} MiB of memory and {} cores. The largest host promises {} MiB and {} cores in all.",
                    wanted.memory_mb,
                    f64::from(wanted.cpu_millis) / 1000.0,
                    most(|capacity| capacity.memory_mb),
                    f64::from(most(|capacity| capacity.cpu_millis)) / 1000.0
                ))
                .next(format!("lower `memory` or `cpu` of {name} in app.yaml, commit and push again")));
        }
        Ok(())
    }

    async fn known_slug(&self, push: &Push, source_key: &str) -> Result<Option<StoredSlug>, UserError> {
        let app = push.app.app_ref();
        let Some(slug) = self.records.slug(&app, source_key).await.or_internal()? else { return Ok(None) };
        if self.builder.has_image(&slug.image).await {
            return Ok(Some(slug));
        }
        let mut change = self.records.change().await.or_internal()?;
        change.forget_slug(&app, source_key).await.or_internal()?;
        change.commit().await.or_internal()?;
        Ok(None)
    }

    /// Runs the builder, with a sign of life whenever it is silent.
    async fn run_build(
        &self,
        job: &Job,
        prepared: &crate::builder::Prepared,
        push: &Push,
        log: &Arc<BuildLog>,
        cancel: &CancellationToken,
    ) -> Result<StoredSlug, UserError> {
        let begun = Instant::now();
        let mut building = self.builder.build(job, prepared, log.clone(), cancel.clone());
        let mut pulse = tokio::time::interval(Duration::from_secs(5));
        let built = loop {
            tokio::select! {
                built = &mut building => break built,
                _ = pulse.tick() => {
                    if log.silent() >= HEARTBEAT {
                        log.whisper(&push_output::detail(format!("… still building after {}", push_output::elapsed(begun.elapsed().as_millis() as u64))));
                    }
                }
            }
        };
        drop(building);
        if cancel.is_cancelled() {
            return Err(cancelled(&job.build));
        }
        let built = built?;
        let slug = StoredSlug {
            image: built.image,
            template: prepared.template.clone(),
            processes: built.processes,
            size: built.size,
            build: job.build.clone(),
        };
        let mut change = self.records.change().await.or_internal()?;
        change.save_slug(&push.app.app_ref(), &prepared.source_key, &slug, Utc::now()).await.or_internal()?;
        change.commit().await.or_internal()?;
        Ok(slug)
    }

    async fn prepare_release(
        &self,
        push: &Push,
        build: &Build,
        manifest: &Manifest,
        slug: &StoredSlug,
        said: &dyn Output,
    ) -> Result<ReleaseNumber, UserError> {
        let processes = process_specs(&push.app, &Hostname::of_app(&push.app, &self.settings.domain), manifest, &slug.processes)?;
        let mut change = self.records.change().await.or_internal()?;
        let Some(env) = change.lock_env(&push.app).await.or_internal()? else {
            return Err(crate::events::unknown_app(&push.app.app_ref()));
        };
        let mut config = manifest.env_in(&push.app.env);
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
        let env = self.first_wishes(&mut change, env, push, manifest, &slug.processes).await?;
        change.commit().await.or_internal()?;
        said.step(format!("Release {number}"));
        said.detail(format!("processes: {}", names.join(", ")));
        for idle in names.iter().filter(|name| name.as_str() != "web" && !env.counts.keys().any(|known| known.as_str() == name.as_str())) {
            said.detail(format!("{idle} has no instance yet: slipway ps:scale {idle}=1 -a {} -e {}", push.app.app_ref(), push.app.env));
        }
        Ok(number)
    }

    /// What the first push decides: the deploy branch, and counts of process types that nobody has scaled yet.
    async fn first_wishes(
        &self,
        change: &mut store::records::Change,
        mut env: Env,
        push: &Push,
        manifest: &Manifest,
        processes: &std::collections::BTreeMap<model::ProcessName, String>,
    ) -> Result<Env, UserError> {
        let mut grown = env.deploy_branch.is_none();
        env.deploy_branch.get_or_insert_with(|| push.branch.clone());
        for name in processes.keys().chain(manifest.processes.keys()) {
            if let Some(count) = manifest.process_in(&env.app.env, name).count
                && !env.counts.contains_key(name)
            {
                env.counts.insert(name.clone(), count);
                grown = true;
            }
        }
        if grown {
            change.save_env(&env).await.or_internal()?;
        }
        Ok(env)
    }

    async fn save_build(&self, build: &Build) -> Result<(), UserError> {
        let mut change = self.records.change().await.or_internal()?;
        change.save_build(build).await.or_internal()?;
        change.commit().await.or_internal()
    }
}

/// A held lock; dropping it gives it up soon, `end` at once.
struct Lease {
    stop: CancellationToken,
    renewing: Option<tokio::task::JoinHandle<()>>,
}

impl Lease {
    async fn end(mut self) {
        self.stop.cancel();
        if let Some(renewing) = self.renewing.take() {
            // It logs what goes wrong; then the lock ends with its lease.
            let _ = renewing.await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn cancelled(build: &BuildId) -> UserError {
    UserError::new(Code::Cancelled, format!("build {build} was cancelled")).why("Nothing was released; what served before still serves.")
}
