//! The backend: what this role asks of the platform, and what it tells it.
//!
//! The binary implements it over the manager. This crate never names who builds, stores or authorizes.

use std::pin::Pin;

use async_trait::async_trait;
use model::{AppEnv, PushId, UserError, UserName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::git::commit_source::CommitSource;
use crate::git::refs::{BranchName, Change, CommitId};
use crate::git::repositories::EnvRefs;
use crate::hooks::hook_output::HookOutput;
use crate::ssh::exec_line::{RepoPath, Service};
use crate::ssh::user_key::UserKey;

/// A user whose key's signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user the key belongs to.
    pub user: UserName,
    /// The fingerprint of the key, for the event record.
    pub fingerprint: String,
}

/// A repository that a user may push to or fetch from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedRepository {
    /// The app and environment that the path stands for, with its tenant.
    pub app: AppEnv,
    /// The branch that deploys; `None` before the first push.
    pub deploys: Option<BranchName>,
}

/// A push that passed the rules of refs.
#[derive(Debug, Clone)]
pub struct Push {
    /// Its id, the same in both hooks.
    pub id: PushId,
    /// The user that pushes.
    pub who: Identity,
    /// The app and environment pushed to.
    pub app: AppEnv,
    /// The old and the new commit of the deploy branch.
    pub change: Change,
    /// The values of `git push -o`, in order.
    pub options: Vec<String>,
    /// The pushed commit. In `pre_receive` it is still in quarantine, and gone if the push is refused.
    pub source: CommitSource,
    /// Where the branches stand.
    pub refs: EnvRefs,
}

impl Push {
    /// Whether the branch still stands where the pusher saw it. Reads a ref; what can not be read counts as unchanged, as git
    /// itself looks again before it moves it.
    pub fn is_current(&self) -> bool {
        self.refs.branch(&self.change.branch).map_or(true, |now| now == self.change.old)
    }
}

/// Which prepared releases are to be settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsettled {
    /// All that an earlier server process left behind.
    EarlierServer,
    /// That of one push which is over, however it ended; `None` when it never came to a commit.
    Push(Option<CommitId>),
}

/// Whether a push is accepted.
#[derive(Debug)]
pub enum PushDecision {
    /// The release is prepared: git may move the ref.
    Accept,
    /// The ref stays where it is.
    Refuse(UserError),
}

/// How the rollout after an accepted push ended; it decides the exit status that the pusher sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutOutcome {
    /// The release serves.
    Live,
    /// It does not serve; the reason was printed.
    Failed,
}

/// The client's terminal.
#[derive(Debug, Clone)]
pub struct Terminal {
    /// The client's `TERM`, at most 64 letters, digits and hyphens.
    pub term: String,
    /// Columns and rows, now and after every resize.
    pub size: watch::Receiver<(u16, u16)>,
}

/// Bytes from the client of a verb.
pub type VerbInput = Pin<Box<dyn AsyncRead + Send>>;
/// Bytes to the client of a verb. Writing fails with `BrokenPipe` once it is gone.
pub type VerbOutput = Pin<Box<dyn AsyncWrite + Send>>;

/// A verb run over SSH.
pub struct VerbCall {
    /// The user that runs it.
    pub who: Identity,
    /// The verb and its arguments, never empty.
    pub words: Vec<String>,
    /// The terminal, when the client asked for one (`ssh -t`).
    pub terminal: Option<Terminal>,
    /// The verb's standard input, from the client.
    pub stdin: VerbInput,
    /// The verb's standard output, to the client.
    pub stdout: VerbOutput,
    /// The verb's standard error, to the client.
    pub stderr: VerbOutput,
    /// Cancelled when the client is gone. The call is not dropped then: whatever must be finished is finished, whatever follows
    /// (logs, a shell) must watch this.
    pub gone: CancellationToken,
}

/// The platform behind this role.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Who owns a key. Asked when the key is offered (nothing is remembered then), when its signature was verified, and again
    /// before every command, so that a revoked key stops working in the middle of a connection.
    async fn identify(&self, key: &UserKey) -> Option<Identity>;

    /// Whether somebody may push to or fetch from an app, and which one a short path means. Says the same for an app that does
    /// not exist and for one that the caller may not know of.
    async fn open(&self, who: &Identity, service: Service, path: &RepoPath) -> Result<OpenedRepository, UserError>;

    /// Builds and prepares the release. Runs to its end also when the client goes away. `output` is shown to the pusher.
    async fn pre_receive(&self, push: Push, output: HookOutput) -> PushDecision;

    /// The ref has moved: activates the release and reports its rollout.
    async fn post_receive(&self, push: Push, output: HookOutput) -> RolloutOutcome;

    /// What a pusher should know whose push had nothing new, one line each: git itself says "Everything up-to-date".
    async fn nothing_new(&self, app: &AppEnv) -> Vec<String>;

    /// Activates prepared releases or gives them up, by where the ref stands: only those that `unsettled` names, as another push
    /// to the same app may be about to move the ref.
    async fn settle(&self, app: &AppEnv, unsettled: Unsettled, refs: EnvRefs);

    /// The apps with a prepared release whose fate is open, asked once when the server starts.
    async fn unsettled(&self) -> Vec<AppEnv>;

    /// Runs a verb; the answer is its exit status.
    async fn verb(&self, call: VerbCall) -> u8;
}
