//! The backend of gitreceive over the manager: identifies keys, opens repositories, and hands pushes on.

use std::sync::Arc;

use async_trait::async_trait;
use gitreceive::{
    Backend, BranchName, EnvRefs, HookOutput, Identity, OpenedRepository, Push, PushDecision, RepoPath, RolloutOutcome, Unsettled, UserKey,
    VerbCall,
};
use manager::{Manager, Output};
use model::{AppEnv, UserError};

use super::disk_reserve::DiskReserve;
use super::sources::Commit;
use super::verbs;

/// The origin of every action over git and SSH, as events record it.
const ORIGIN: &str = "ssh";

/// The manager behind gitreceive; verbs go through the same routes as the API.
pub struct ManagerBackend {
    pub manager: Arc<Manager>,
    pub verbs: verbs::SshVerbs,
    pub disk_reserve: DiskReserve,
}

/// A pusher's terminal.
struct Pusher(HookOutput);

impl Output for Pusher {
    fn line(&self, line: &str) {
        self.0.say(line);
    }
}

impl ManagerBackend {
    async fn who(&self, who: &Identity) -> Result<manager::Identity, UserError> {
        self.manager.identity(&who.user, ORIGIN).await
    }

    async fn push(&self, push: Push, output: &HookOutput) -> Result<(), UserError> {
        let who = self.who(&push.who).await?;
        let about = push.source.about().map_err(|error| manager::internal(&error))?;
        let seen = push.clone();
        let push = manager::push::Push {
            who,
            app: push.app,
            branch: push.change.branch.as_str().to_owned(),
            commit: push.change.new.as_str().to_owned(),
            subject: about.subject,
            source: Arc::new(Commit(push.source)),
            is_current: Arc::new(move || seen.is_current()),
        };
        self.manager.push(push, Arc::new(Pusher(output.clone()))).await.map(drop)
    }
}

#[async_trait]
impl Backend for ManagerBackend {
    async fn identify(&self, key: &UserKey) -> Option<Identity> {
        let identity = self.manager.identify_key(&key.fingerprint, ORIGIN).await.ok().flatten()?;
        Some(Identity { user: identity.user()?.clone(), fingerprint: key.fingerprint.clone() })
    }

    async fn open(&self, who: &Identity, service: gitreceive::Service, path: &RepoPath) -> Result<OpenedRepository, UserError> {
        let who = self.who(who).await?;
        let app = self.manager.resolve_remote(&who, path.tenant.clone(), path.app.clone(), path.env.clone()).await?;
        let push = service == gitreceive::Service::Receive;
        if push {
            // Before the pack is taken: it would be the first to lie in the way.
            self.disk_reserve.check()?;
        }
        let branch = self.manager.open_repository(&who, &app, push).await?;
        Ok(OpenedRepository { app, deploys: branch.and_then(|branch| BranchName::new(&branch)) })
    }

    async fn pre_receive(&self, push: Push, output: HookOutput) -> PushDecision {
        match self.push(push, &output).await {
            Ok(()) => PushDecision::Accept,
            Err(user_error) => PushDecision::Refuse(user_error),
        }
    }

    async fn post_receive(&self, push: Push, output: HookOutput) -> RolloutOutcome {
        let result = match self.who(&push.who).await {
            Ok(who) => self.manager.activate(&who, &push.app, push.change.new.as_str(), Arc::new(Pusher(output.clone()))).await,
            Err(user_error) => Err(user_error),
        };
        match result {
            Ok(()) => RolloutOutcome::Live,
            Err(user_error) => {
                output.error(&user_error);
                RolloutOutcome::Failed
            }
        }
    }

    async fn nothing_new(&self, app: &AppEnv) -> Vec<String> {
        match self.manager.failed_release_to_retry(app).await {
            Ok(Some(user_error)) => model::push_output::user_error(&user_error),
            Ok(None) => Vec::new(),
            Err(user_error) => {
                tracing::warn!(%app, %user_error, "whether the newest release failed is not known");
                Vec::new()
            }
        }
    }

    async fn settle(&self, app: &AppEnv, unsettled: Unsettled, refs: EnvRefs) {
        if let Err(user_error) = self.settle_by(app, unsettled, refs).await {
            tracing::error!(%app, %user_error, "could not settle a push; it is tried again at the next start");
        }
    }

    async fn unsettled(&self) -> Vec<AppEnv> {
        self.manager.unsettled().await.unwrap_or_default()
    }

    async fn verb(&self, call: VerbCall) -> u8 {
        verbs::run(&self.verbs, call).await
    }
}

impl ManagerBackend {
    async fn settle_by(&self, app: &AppEnv, unsettled: Unsettled, refs: EnvRefs) -> Result<(), UserError> {
        let ended = match unsettled {
            Unsettled::EarlierServer => None,
            Unsettled::Push(Some(commit)) => Some(commit),
            Unsettled::Push(None) => return Ok(()),
        };
        let env = self.manager.records().env(app).await.map_err(|error| manager::internal(&error))?;
        let branch = env.and_then(|env| env.deploy_branch).and_then(|branch| BranchName::new(&branch));
        let tip = match branch {
            Some(branch) => refs.branch(&branch).map_err(|error| manager::internal(&error))?,
            None => None,
        };
        self.manager.settle(app, ended.as_ref().map(|commit| commit.as_str()), tip.as_ref().map(|commit| commit.as_str())).await
    }
}
