//! The desk of gitreceive over the manager: who is there, where they may push, and what a push becomes.

use std::sync::Arc;

use async_trait::async_trait;
use gitreceive::{BranchName, Desk, Identity, Lines, Open, Opened, Push, RefsNow, RepoPath, Rollout, UserKey, VerbCall, Verdict};
use manager::{Manager, Output};
use model::{AppEnv, UserError};

use super::disk_reserve::DiskReserve;
use super::sources::Commit;
use super::verbs;

/// From where somebody acts when they come through git or SSH.
const ORIGIN: &str = "ssh";

/// Over the manager; verbs go through the same routes as the API.
pub struct ManagerDesk {
    pub manager: Arc<Manager>,
    pub web: web_ui::WebUi,
    pub oneoffs: slugrunner::OneOffs,
    pub disk_reserve: DiskReserve,
}

/// A pusher's terminal.
struct Pusher(Lines);

impl Output for Pusher {
    fn line(&self, line: &str) {
        self.0.say(line);
    }
}

impl ManagerDesk {
    async fn who(&self, who: &Identity) -> Result<manager::Identity, UserError> {
        self.manager.identity(&who.user, ORIGIN).await
    }

    async fn push(&self, push: Push, said: &Lines) -> Result<(), UserError> {
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
        self.manager.push(push, Arc::new(Pusher(said.clone()))).await.map(drop)
    }
}

#[async_trait]
impl Desk for ManagerDesk {
    async fn identify(&self, key: &UserKey) -> Option<Identity> {
        let identity = self.manager.identify_key(&key.fingerprint, ORIGIN).await.ok().flatten()?;
        Some(Identity { user: identity.user()?.clone(), fingerprint: key.fingerprint.clone() })
    }

    async fn open(&self, who: &Identity, service: gitreceive::Service, path: &RepoPath) -> Result<Opened, UserError> {
        let who = self.who(who).await?;
        let app = self.manager.resolve_remote(&who, path.tenant.clone(), path.app.clone(), path.env.clone()).await?;
        let push = service == gitreceive::Service::Receive;
        if push {
            // Before the pack is taken: it would be the first to lie in the way.
            self.disk_reserve.check()?;
        }
        let branch = self.manager.open_repository(&who, &app, push).await?;
        Ok(Opened { app, deploys: branch.and_then(|branch| BranchName::new(&branch)) })
    }

    async fn pre_receive(&self, push: Push, said: Lines) -> Verdict {
        match self.push(push, &said).await {
            Ok(()) => Verdict::Accept,
            Err(user_error) => Verdict::Refuse(user_error),
        }
    }

    async fn post_receive(&self, push: Push, said: Lines) -> Rollout {
        let result = match self.who(&push.who).await {
            Ok(who) => self.manager.activate(&who, &push.app, push.change.new.as_str(), Arc::new(Pusher(said.clone()))).await,
            Err(user_error) => Err(user_error),
        };
        match result {
            Ok(()) => Rollout::Live,
            Err(user_error) => {
                said.error(&user_error);
                Rollout::Failed
            }
        }
    }

    async fn settle(&self, app: &AppEnv, open: Open, refs: RefsNow) {
        if let Err(user_error) = self.settle_by(app, open, refs).await {
            tracing::error!(%app, %user_error, "could not settle a push; it is tried again at the next start");
        }
    }

    async fn unsettled(&self) -> Vec<AppEnv> {
        self.manager.unsettled().await.unwrap_or_default()
    }

    async fn verb(&self, call: VerbCall) -> u8 {
        verbs::run(self, call).await
    }
}

impl ManagerDesk {
    async fn settle_by(&self, app: &AppEnv, open: Open, refs: RefsNow) -> Result<(), UserError> {
        let ended = match open {
            Open::Earlier => None,
            Open::Of(Some(commit)) => Some(commit),
            Open::Of(None) => return Ok(()),
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
