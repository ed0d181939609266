//! Builds: list, show, read the log, cancel; and closing the records of those that a stopped server left open.

use chrono::Utc;
use model::{AppEnv, Build, BuildId, BuildState, Code, UserError};
use serde_json::json;

use crate::authorize::Verb;
use crate::identity::Identity;
use crate::push::build_log::LogReader;
use crate::user_errors::builds as errors;
use crate::{Manager, OrInternal};

impl Manager {
    /// The newest builds of an app in an environment.
    pub async fn builds(&self, who: &Identity, app: &AppEnv, limit: u32) -> Result<Vec<Build>, UserError> {
        self.reach_env(who, Verb::BuildsShow, app).await?;
        self.records.builds(app, limit.min(200)).await.or_internal()
    }

    /// One build.
    pub async fn build(&self, who: &Identity, id: &BuildId) -> Result<Build, UserError> {
        self.find_build(who, Verb::BuildsShow, id).await
    }

    async fn find_build(&self, who: &Identity, verb: Verb, id: &BuildId) -> Result<Build, UserError> {
        let unknown = || errors::unknown_build(id);
        let build = self.records.build(id).await.or_internal()?.ok_or_else(unknown)?;
        match self.reach_in(who, verb, &build.app).await {
            // A user who may not know of the app may not know of its builds.
            Err(user_error) if user_error.code == Code::UnknownApp => Err(unknown()),
            Err(user_error) => Err(user_error),
            Ok(_) => Ok(build),
        }
    }

    /// The log of a build, from its start, followed while it runs.
    pub async fn build_log(&self, who: &Identity, id: &BuildId) -> Result<LogReader, UserError> {
        self.find_build(who, Verb::BuildsShow, id).await?;
        self.logs.follow(id).await.or_internal()
    }

    /// Cancels a build that waits or runs.
    pub async fn cancel_build(&self, who: &Identity, id: &BuildId) -> Result<(), UserError> {
        let build = self.find_build(who, Verb::BuildsCancel, id).await?;
        if build.state.is_final() || !self.queue.cancel(id) {
            return Err(errors::ended_already(&build));
        }
        let mut change = self.records.change().await.or_internal()?;
        self.record(&mut change, who, Verb::BuildsCancel, Some(&build.app.tenant), build.app.to_string(), json!({ "build": id })).await?;
        change.commit().await.or_internal()
    }

    /// Marks the builds that a stopped server left open as lost, and removes what they left behind.
    pub(crate) async fn reap_builds(&self) -> Result<(), UserError> {
        let open = self.records.open_builds().await.or_internal()?;
        let mut change = self.records.change().await.or_internal()?;
        change.clear_locks().await.or_internal()?;
        for mut build in open {
            tracing::warn!(build = %build.id, app = %build.app, "a build was left open by a server that stopped");
            build.state = BuildState::Lost;
            build.ended = Some(Utc::now());
            build.error = Some(errors::lost(&build.app));
            change.save_build(&build).await.or_internal()?;
        }
        change.commit().await.or_internal()?;
        // A container engine that does not answer must not delay the start.
        let builder = self.builder.clone();
        tokio::spawn(async move { builder.reap().await });
        Ok(())
    }
}
