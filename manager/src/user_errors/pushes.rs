//! Pushes before their ref moves.

use model::{AppEnv, AppRef, Code, TreeStats, UserError, push_output};
use store::records::Lock;

use super::{printable, target};

/// The app was destroyed while the push ran.
pub(crate) fn destroyed_meanwhile(app: &AppEnv) -> UserError {
    UserError::new(Code::UnknownApp, format!("{app} was destroyed during this push"))
        .why("Its source, its builds and its releases went with it. Nothing of this push is left.")
        .next("slipway events   # who did it")
}

/// git did not move the branch after the build.
pub(crate) fn ref_never_moved(app: &AppEnv) -> UserError {
    UserError::new(Code::Superseded, format!("git did not move the branch of {app} to this push"))
        .why("The image is there; nothing of it was released.")
        .next("push again: it is a release without a build")
}

/// A newer push took the place of one that waited.
pub(crate) fn superseded(app: &AppEnv) -> UserError {
    UserError::new(Code::Superseded, format!("a newer push to {app} took the place of this one"))
        .next(format!("slipway builds {}", target(app)))
}

/// The branch moved while the push waited for its turn.
pub(crate) fn branch_moved(app: &AppEnv, branch: &str, remote: &str) -> UserError {
    UserError::new(Code::Superseded, format!("`{branch}` of {app} moved while this push waited"))
        .why("git would refuse this push after its build: it began at a commit where the branch does not stand any more.")
        .next(format!("git push {remote} {branch}"))
}

/// Another push holds the lock of the app and environment.
pub(crate) fn locked(app: &AppEnv, held: &Lock) -> UserError {
    UserError::new(Code::Locked, format!("{app} is locked by {} for {}", held.owner, held.reason))
        .why(format!("Since {}, by {}.", held.since.format("%H:%M:%S UTC"), held.holder))
        .next(format!("wait until it has ended, or cancel it: slipway builds:cancel {}", held.holder))
}

/// The push's lock was taken over while it built, after the platform could not renew it.
pub(crate) fn lock_lost(app: &AppEnv) -> UserError {
    UserError::new(Code::Locked, format!("this push lost its lock of {app}"))
        .why("The platform could not renew it in time, and another push may have taken its place. Nothing was released.")
        .next("push again")
}

/// A source of more than `most` bytes, with its largest files.
pub(crate) fn source_too_large(app: &AppRef, stats: &TreeStats, most: u64) -> UserError {
    let sizes = stats.largest.iter().map(|(path, size)| format!("{:>9}  {}", push_output::size(*size), printable(path)));
    UserError::new(Code::PushTooLarge, format!("the source of {app} is too large"))
        .why(format!(
            "Its files are {} together; {} are allowed. The largest are:",
            push_output::size(stats.bytes),
            push_output::size(most)
        ))
        .evidence_lines(sizes)
        .next("keep large data out of the repository, or name what the build does not need in .slugignore; commit and push again")
}
