//! The desk: what this role asks of the platform, and what it tells it.
//!
//! The binary implements it over the manager. This crate never names who builds, stores or authorizes.

use std::pin::Pin;

use async_trait::async_trait;
use model::{AppEnv, PushId, UserError, UserName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::exec_line::{RepoPath, Service};
use crate::key::UserKey;
use crate::lines::Lines;
use crate::refs::{BranchName, Change, CommitId};
use crate::repositories::RefsNow;
use crate::source::Source;

/// Who is on the line, after the signature of their key was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user the key belongs to.
    pub user: UserName,
    /// The fingerprint of the key, for the event record.
    pub fingerprint: String,
}

/// A repository that was opened for somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Which app, in which environment.
    pub app: AppEnv,
    /// The branch that deploys; `None` before the first push.
    pub deploys: Option<BranchName>,
}

/// A push that passed the rules of refs.
#[derive(Debug, Clone)]
pub struct Push {
    /// Its id, the same in both hooks.
    pub id: PushId,
    /// Who pushes.
    pub who: Identity,
    /// To where.
    pub app: AppEnv,
    /// The move of the deploy branch.
    pub change: Change,
    /// What was given with `git push -o`.
    pub options: Vec<String>,
    /// The pushed commit. In `pre_receive` it is still in quarantine, and gone if the push is refused.
    pub source: Source,
    /// Where the branches stand.
    pub refs: RefsNow,
}

impl Push {
    /// Whether the branch still stands where the pusher saw it. Reads a ref; what can not be read counts as unchanged, as git
    /// itself looks again before it moves it.
    pub fn is_current(&self) -> bool {
        self.refs.branch(&self.change.branch).map_or(true, |now| now == self.change.old)
    }
}

/// Whose prepared releases are to be settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Open {
    /// Those of an earlier life of the server.
    Earlier,
    /// That of a push which is over, however it ended; `None` when it never came to a commit.
    Of(Option<CommitId>),
}

/// The answer to a push.
#[derive(Debug)]
pub enum Verdict {
    /// The release is prepared: git may move the ref.
    Accept,
    /// The ref stays where it is.
    Refuse(UserError),
}

/// How the rollout after an accepted push ended; it decides the exit status that the pusher sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rollout {
    /// The release serves.
    Live,
    /// It does not; the reason was printed.
    Failed,
}

/// A terminal on the other side.
#[derive(Debug, Clone)]
pub struct Terminal {
    /// The client's `TERM`, at most 64 letters, digits and hyphens.
    pub term: String,
    /// Columns and rows, now and after every resize.
    pub size: watch::Receiver<(u16, u16)>,
}

/// Bytes from a client.
pub type Input = Pin<Box<dyn AsyncRead + Send>>;
/// Bytes to a client. Writing fails with `BrokenPipe` once it is gone.
pub type Output = Pin<Box<dyn AsyncWrite + Send>>;

/// A verb that somebody runs over SSH.
pub struct VerbCall {
    /// Who.
    pub who: Identity,
    /// The verb and its arguments, never empty.
    pub words: Vec<String>,
    /// The terminal, when the client asked for one (`ssh -t`).
    pub terminal: Option<Terminal>,
    /// What the client sends.
    pub stdin: Input,
    /// What it gets.
    pub stdout: Output,
    /// What it gets as complaints.
    pub stderr: Output,
    /// Cancelled when the client is gone. The call is not dropped then: whatever must be finished is finished, whatever follows
    /// (logs, a shell) must watch this.
    pub gone: CancellationToken,
}

/// The platform behind this role.
#[async_trait]
pub trait Desk: Send + Sync + 'static {
    /// Who owns a key. Asked when the key is offered (nothing is remembered then), when its signature was verified, and again
    /// before every command, so that a revoked key stops working in the middle of a connection.
    async fn identify(&self, key: &UserKey) -> Option<Identity>;

    /// Whether somebody may push to or fetch from an app, and which one a short path means. Says the same for an app that does
    /// not exist and for one that the caller may not know of.
    async fn open(&self, who: &Identity, service: Service, path: &RepoPath) -> Result<Opened, UserError>;

    /// Builds and prepares the release. Runs to its end also when the client goes away. `said` goes to the pusher.
    async fn pre_receive(&self, push: Push, said: Lines) -> Verdict;

    /// The ref has moved: activates the release and tells of its rollout.
    async fn post_receive(&self, push: Push, said: Lines) -> Rollout;

    /// Prepared releases are activated or given up by where the ref stands: those that `open` names, and no others, as another push
    /// to the same app may be about to move the ref.
    async fn settle(&self, app: &AppEnv, open: Open, refs: RefsNow);

    /// The apps with a prepared release whose fate is open, asked once when the server starts.
    async fn unsettled(&self) -> Vec<AppEnv>;

    /// Runs a verb; the answer is its exit status.
    async fn verb(&self, call: VerbCall) -> u8;
}
