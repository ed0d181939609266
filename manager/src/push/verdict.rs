//! The verdict of a push: its build ends when its release is live or has failed, and its log tells it.
//!
//! Owns the last part of a build's record and log. A build whose release is being rolled out survives a restart of the server: its
//! rollout is resumed and its log is written on.

use std::sync::Arc;

use chrono::Utc;
use model::{AppEnv, Build, BuildState, Code, ReleaseNumber, ReleaseState, Time, UserError, push_output};

use super::build_log::BuildLog;
use crate::output::Output;
use crate::user_errors::{builds, pushes};
use crate::{Manager, OrInternal};

impl Manager {
    /// Rolls out a release, and where a push made it, ends its build with the verdict.
    pub(crate) async fn roll_out_push(&self, app: &AppEnv, number: ReleaseNumber, pusher: Arc<dyn Output>) -> Result<(), UserError> {
        let Some(mut build) = self.releasing_build(app, number).await? else {
            return self.roll_out(app, number, pusher).await;
        };
        let log = self.logs.resume(&build.id, pusher).or_internal()?;
        let result = self.roll_out(app, number, log.clone()).await;
        if result.is_ok() {
            let output: &dyn Output = &*log;
            durations(&build, Utc::now()).into_iter().for_each(|line| output.detail(line));
        }
        self.end_build(&mut build, &log, result.as_ref().map(drop)).await?;
        result
    }

    /// The build that made a release, while it waits for the verdict.
    async fn releasing_build(&self, app: &AppEnv, number: ReleaseNumber) -> Result<Option<Build>, UserError> {
        let Some(stored) = self.records.release(app, number).await.or_internal()? else { return Ok(None) };
        let Some(id) = stored.release.build else { return Ok(None) };
        let build = self.records.build(&id).await.or_internal()?;
        // A release that was made of an earlier one names the same build.
        Ok(build.filter(|build| build.state == BuildState::Releasing && build.release == Some(number)))
    }

    /// Ends the record of a build. The pusher gets the error from whoever refuses the ref or ends the hook; the stored log needs it too.
    pub(super) async fn end_build(&self, build: &mut Build, log: &BuildLog, result: Result<(), &UserError>) -> Result<(), UserError> {
        if let Err(user_error) = result {
            for line in push_output::user_error(user_error) {
                log.store_only(&line);
            }
        }
        close(build, result);
        self.save_build(build).await
    }

    /// The ref of a push never moved: its release will not be rolled out.
    pub(super) async fn abandon_build(&self, app: &AppEnv, number: ReleaseNumber) -> Result<(), UserError> {
        let Some(mut build) = self.releasing_build(app, number).await? else { return Ok(()) };
        let log = self.logs.resume(&build.id, Arc::new(crate::output::Discard)).or_internal()?;
        self.end_build(&mut build, &log, Err(&pushes::ref_never_moved(app))).await
    }

    /// Ends builds whose release had its verdict just before the server stopped.
    pub(crate) async fn end_decided_builds(&self) -> Result<(), UserError> {
        for mut build in self.records.releasing_builds().await.or_internal()? {
            let release = match build.release {
                Some(number) => self.records.release(&build.app, number).await.or_internal()?.map(|stored| stored.release),
                None => None,
            };
            let result = match release.as_ref().map(|release| release.state) {
                // Rolled out, or settled by where the ref stands, after this.
                Some(ReleaseState::Prepared | ReleaseState::Active) => continue,
                Some(ReleaseState::Live | ReleaseState::Retired) => Ok(()),
                Some(ReleaseState::Aborted) => Err(pushes::ref_never_moved(&build.app)),
                Some(_) | None => Err(builds::release_failed(&build.app, release.and_then(|release| release.reason))),
            };
            close(&mut build, result.as_ref().map(drop));
            self.save_build(&build).await?;
        }
        Ok(())
    }
}

/// Puts the verdict into a build.
fn close(build: &mut Build, result: Result<(), &UserError>) {
    build.ended = Some(Utc::now());
    build.state = match result.map_err(|user_error| user_error.code) {
        Ok(()) => BuildState::Succeeded,
        Err(Code::Superseded) => BuildState::Superseded,
        Err(Code::Cancelled) => BuildState::Cancelled,
        Err(_) => BuildState::Failed,
    };
    build.error = result.err().cloned();
}

/// Where the time of a push went, as one line.
fn durations(build: &Build, now: Time) -> Option<String> {
    let (started, built) = build.started.zip(build.built)?;
    let took = |from: Time, to: Time| push_output::elapsed(u64::try_from((to - from).num_milliseconds()).unwrap_or(0));
    let waited = if (started - build.at).num_seconds() > 0 { format!("{} in the queue, ", took(build.at, started)) } else { String::new() };
    let building = if build.reused { "no build".to_owned() } else { format!("{} to build", took(started, built)) };
    Some(format!("{} from push to live: {waited}{building}, {} to roll out", took(build.at, now), took(built, now)))
}
