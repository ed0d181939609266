//! One push, until the ref moves: from a commit in quarantine to a prepared release.
//!
//! The git ref is the commit point. What is here runs before it moves and only prepares; `activate` runs after it.

mod activate;
pub mod build_log;
pub mod builder;
mod preflight;
mod prepare_release;
mod push_lock;
pub(crate) mod queue;
pub mod source;
mod source_checks;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use model::{AppEnv, Build, BuildId, BuildState, Manifest, ReleaseNumber, ReleaseState, UserError, push_output};
use store::records::StoredSlug;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::authorize::Verb;
use crate::identity::Identity;
use crate::output::Output;
use crate::user_errors::{builds, pushes as errors};
use crate::{Manager, OrInternal};
use build_log::BuildLog;
use builder::Job;
use queue::NoTurn;
use source::Source;

/// Longest time without a line for the pusher.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long the ref of an earlier push may take to move.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);

/// A push that passed the rules of refs.
#[derive(Clone)]
pub struct Push {
    /// The user that pushes.
    pub who: Identity,
    /// The app and environment pushed to.
    pub app: AppEnv,
    /// The name of the pushed branch, without `refs/heads/`.
    pub branch: String,
    /// The object name of the pushed commit.
    pub commit: String,
    /// The first line of the commit's message.
    pub subject: String,
    /// The files of the commit.
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
            built: None,
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
        let output: &dyn Output = &*log;
        let short = push.commit.get(..8).unwrap_or(&push.commit);
        output.step(format!("Build {} of {} at {short}", build.id, push.app));
        output.detail(format!("{}/builds/{}", self.settings.dashboard, build.id));
        if env.deploy_branch.is_none() {
            output.detail(format!("the first push to {}: it deploys `{}` from now on", push.app, push.branch));
        }

        let result = self.push_in_turn(&push, &mut build, &log, &cancel).await;
        self.queue.forget(&build.id);
        if self.records.env(&push.app).await.or_internal()?.is_none() {
            // The app's records are gone, which is why the push failed.
            return Err(errors::destroyed_meanwhile(&push.app));
        }
        match &result {
            // Not the end of it: the ref moves, and the release is rolled out.
            Ok(number) => {
                build.state = BuildState::Releasing;
                build.built = Some(Utc::now());
                build.release = Some(*number);
                self.save_build(&build).await?;
                self.logs.park(log);
            }
            Err(user_error) => self.end_build(&mut build, &log, Err(user_error)).await?,
        }
        result
    }

    async fn push_in_turn(
        &self,
        push: &Push,
        build: &mut Build,
        log: &Arc<BuildLog>,
        cancel: &CancellationToken,
    ) -> Result<ReleaseNumber, UserError> {
        let output: &dyn Output = &**log;
        let manifest = self.manifest(push)?;
        self.check_source(push, &manifest, output).await?;
        self.check_capacity(push, &manifest).await?;
        let turn = self.queue.turn(&push.app, &build.id, cancel, |text| output.detail(text)).await;
        let _turn = turn.map_err(|why| match why {
            NoTurn::Superseded => errors::superseded(&push.app),
            NoTurn::Cancelled => builds::cancelled(&build.id),
        })?;
        let lock = self.lock_push(push, &build.id, cancel).await?;
        let prepared = self.build_and_prepare(push, build, log, cancel, &manifest).await;
        // Released before the next push gets its turn, so that it never finds the lock held.
        let held = lock.release().await;
        if prepared.is_err() && !held { Err(errors::lock_lost(&push.app)) } else { prepared }
    }

    /// The part that only one push of an app and environment may do at once.
    async fn build_and_prepare(
        &self,
        push: &Push,
        build: &mut Build,
        log: &Arc<BuildLog>,
        cancel: &CancellationToken,
        manifest: &Manifest,
    ) -> Result<ReleaseNumber, UserError> {
        let output: &dyn Output = &**log;
        self.wait_settled(&push.app).await?;
        if !(push.is_current)() {
            return Err(errors::branch_moved(&push.app, &push.branch, &self.remote_of(&push.app)));
        }
        build.state = BuildState::Running;
        build.started = Some(Utc::now());
        self.save_build(build).await?;

        let app = self
            .records
            .app(&push.app.app_ref())
            .await
            .or_internal()?
            .ok_or_else(|| crate::user_errors::apps::unknown_app(&push.app.app_ref()))?;
        let job =
            Job { build: build.id.clone(), app: push.app.clone(), uid: app.uid, source: push.source.clone(), manifest: manifest.clone() };
        let prepared = self.builder.prepare(&job).await?;
        build.template = Some(prepared.template.clone());
        // A reader of the running build sees its template.
        self.save_build(build).await?;
        output.step(format!("Template: {}", prepared.template));
        for note in &prepared.notes {
            output.detail(note);
        }
        let slug = match self.known_slug(push, &prepared.source_key).await? {
            Some(slug) => {
                build.reused = true;
                output.step(format!("Already built by {}: the same source, template, stack and settings", slug.build));
                slug
            }
            None => self.run_build(&job, &prepared, push, log, cancel).await?,
        };
        build.image = Some(slug.image.clone());
        self.prepare_release(push, build, manifest, &slug, output).await
    }

    /// Waits until no release of an earlier push is prepared: its ref moves after its build has ended.
    async fn wait_settled(&self, app: &AppEnv) -> Result<(), UserError> {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        loop {
            let settled = self.settled.notified();
            let newest = self.records.releases(app, 5).await.or_internal()?;
            if !newest.iter().any(|stored| stored.release.state == ReleaseState::Prepared) {
                return Ok(());
            }
            if Instant::now() > deadline {
                tracing::warn!(%app, "an earlier push was not settled in time");
                return Ok(());
            }
            let _ = tokio::time::timeout(Duration::from_millis(250), settled).await;
        }
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

    /// Runs the builder, and shows the pusher a sign of life whenever it is silent.
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
        let mut heartbeat = tokio::time::interval(Duration::from_secs(5));
        let built = loop {
            tokio::select! {
                built = &mut building => break built,
                _ = heartbeat.tick() => {
                    if log.silent() >= HEARTBEAT {
                        log.pusher_only(&push_output::detail(format!("… still building after {}", push_output::elapsed(begun.elapsed().as_millis() as u64))));
                    }
                }
            }
        };
        drop(building);
        if cancel.is_cancelled() {
            return Err(builds::cancelled(&job.build));
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

    pub(super) async fn save_build(&self, build: &Build) -> Result<(), UserError> {
        let mut change = self.records.change().await.or_internal()?;
        change.save_build(build).await.or_internal()?;
        change.commit().await.or_internal()
    }
}
