//! gitreceive: the SSH endpoint of the platform. Pushes, fetches and verbs, by public key.
//!
//! Owns the SSH server, the bare repositories, the spawning of git and the hooks. It decides which refs may move by rules of
//! git alone; everything else (who somebody is, what they may do, what happens with a push) it asks of the [`Backend`]. It must
//! never give a client a shell, pass text of a client to one, name a builder, or end a push because its pusher went away.
//!
//! ```text
//! ssh/connection ─▶ ssh/session (pure) ─▶ ssh/command ─┬─▶ git/receive ─▶ git receive-pack ─▶ hooks/hook_program
//!                                                      │                     ─▶ hooks/hook_server ─▶ Backend
//!                                                      ├─▶ git/upload  ─▶ git upload-pack
//!                                                      └─▶ ssh/verbs   ─▶ Backend
//! ```
//!
//! The git ref is the commit point: the backend prepares a release in `pre_receive`, git moves the ref, the backend activates
//! the release in `post_receive`. After a crash in between, `settle` decides by where the ref stands.

mod backend;
mod config;
mod git;
pub mod hooks;
mod random;
mod server;
mod server_state;
mod spool;
mod ssh;
mod user_errors;

pub use backend::{
    Backend, Identity, OpenedRepository, Push, PushDecision, RolloutOutcome, Terminal, Unsettled, VerbCall, VerbInput, VerbOutput,
};
pub use config::{Config, ConnectionLimits};
pub use git::commit_source::{Archive, CommitLine, CommitSource, Entry, EntryKind, FileRead};
pub use git::process::Git;
pub use git::quarantine::Quarantine;
pub use git::refs::{BranchName, Change, CommitId};
pub use git::repositories::{EnvRefs, Repositories, RepositoryError};
pub use hooks::hook_output::HookOutput;
pub use server::{Server, ServerError};
pub use ssh::exec_line::{ExecLine, ExecLineError, RepoPath, Service, parse as parse_exec_line};
pub use ssh::host_key::HostKeyError;
pub use ssh::user_key::UserKey;
