//! gitreceive: the SSH endpoint of the platform. Pushes, fetches and verbs, by public key.
//!
//! Owns the SSH server, the bare repositories, the spawning of git and the hooks. It decides which refs may move by rules of
//! git alone; everything else (who somebody is, what they may do, what happens with a push) it asks of the [`Desk`]. It must
//! never give a client a shell, pass text of a client to one, name a builder, or end a push because its pusher went away.
//!
//! ```text
//! ssh ─▶ connection ─▶ session (pure) ─▶ command ─┬─▶ receive ─▶ git receive-pack ─▶ hook ─▶ hook_desk ─▶ Desk
//!                                                 ├─▶ upload  ─▶ git upload-pack
//!                                                 └─▶ verbs   ─▶ Desk
//! ```
//!
//! The git ref is the commit point: the desk prepares a release in `pre_receive`, git moves the ref, the desk activates in
//! `post_receive`; whatever goes wrong in between, `settle` decides by where the ref stands.

mod algorithms;
mod caps;
mod chance;
mod client;
mod command;
mod config;
mod connection;
mod desk;
mod door;
mod exec_line;
mod gate;
mod git;
pub mod hook;
mod hook_desk;
mod host_key;
mod house;
mod housekeeping;
mod key;
mod leftovers;
mod lines;
mod opening;
mod pushes;
mod receive;
mod refs;
mod repositories;
mod server;
mod session;
mod source;
mod spool;
mod strangers;
mod tree_stats;
mod upload;
mod user_errors;
mod verbs;

pub use config::{Caps, Config};
pub use desk::{Desk, Identity, Input, Open, Opened, Output, Push, Rollout, Terminal, VerbCall, Verdict};
pub use exec_line::{ExecLine, ExecLineError, RepoPath, Service, parse as parse_exec_line};
pub use git::Git;
pub use host_key::HostKeyError;
pub use key::{KeyError, UserKey};
pub use lines::Lines;
pub use refs::{BranchName, Change, CommitId};
pub use repositories::{RefsNow, Repositories, RepositoryError};
pub use server::{Server, ServerError};
pub use source::{Archive, CommitLine, Entry, EntryKind, FileRead, Quarantine, Source};
