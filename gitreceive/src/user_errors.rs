//! Every sentence that this role says to a user when it refuses something.

use model::{AppEnv, Code, UserError, push_output};

use crate::ssh::exec_line::ExecLineError;

/// The exec line is not understood.
pub(crate) fn exec_line(error: &ExecLineError) -> UserError {
    match error {
        ExecLineError::BadName(name) => UserError::bad_name(name).next("the remote's URL must end in /tenant/app/env, as in acme/shop/dev"),
        ExecLineError::BadPath | ExecLineError::NotOnePath => {
            UserError::new(Code::BadRequest, error.to_string()).next("git remote set-url paas-dev ssh://…/acme/shop/dev")
        }
        ExecLineError::Empty
        | ExecLineError::TooLong
        | ExecLineError::NotText
        | ExecLineError::OpenQuote
        | ExecLineError::UnknownService => UserError::new(Code::BadRequest, error.to_string()).next("to see what can be run here: help"),
    }
}

/// A terminal was asked for together with git.
pub(crate) fn no_terminal_for_git() -> UserError {
    UserError::new(Code::NotAllowed, "git can not run in a terminal").next("remove `-t` (RequestTTY) from your SSH settings for this host")
}

/// The key was taken away while the connection stood.
pub(crate) fn key_revoked() -> UserError {
    UserError::new(Code::UnknownKey, "your key was removed from this platform")
        .next("add a key that you hold, or ask an owner of your tenant")
}

/// Too many things at once by one user.
pub(crate) fn too_many(most: usize) -> UserError {
    UserError::new(Code::TooManyTries, format!("you have {most} commands running already")).next("wait until one of them is done")
}

/// A command got more input than it reads.
pub(crate) fn too_much_input() -> UserError {
    UserError::new(Code::PushTooLarge, "more input was sent than the command reads")
}

/// The pack is larger than allowed.
pub(crate) fn pack_too_large(app: &AppEnv, most: u64) -> UserError {
    UserError::new(Code::PushTooLarge, format!("this push to {app} is larger than the {} allowed", push_output::size(most)))
        .why("All history of the branch that the server does not have yet counts. Nothing was changed.")
        .next("to see what is large: git rev-list --objects HEAD | git cat-file --batch-check='%(objectsize) %(rest)' | sort -n | tail")
        .next("keep large files in object storage, and out of the history (git filter-repo)")
}

/// git needs more memory than one push may have.
pub(crate) fn out_of_memory(app: &AppEnv) -> UserError {
    UserError::new(Code::PushTooLarge, format!("git needs more memory for this push to {app} than a push may have"))
        .why("A commit message, a directory or a file in it is very large. Nothing was changed.")
        .next("to see what is large: git rev-list --objects HEAD | git cat-file --batch-check='%(objectsize) %(rest)' | sort -n | tail")
}

/// The pushing clone lacks history.
pub(crate) fn shallow(app: &AppEnv, branch: &str) -> UserError {
    UserError::new(Code::ShallowClone, format!("this clone is shallow, so its history can not be stored for {app}"))
        .why("It was made with `--depth` (many CI systems do). Nothing was built, and nothing was changed.")
        .next("git fetch --unshallow")
        .next(format!("git push paas-{} HEAD:{branch}", app.env))
}

/// The server has no room for the pack.
pub(crate) fn disk_full(app: &AppEnv) -> UserError {
    UserError::new(Code::DiskFull, format!("there is no room for this push to {app}: the disk of the platform is full"))
        .why("Nothing was changed, and what runs keeps running.")
        .next("sudo slipway doctor   # the operator, on the host: where the space is")
        .next("push again when there is room")
}

/// A push took too long to arrive.
pub(crate) fn too_slow(app: &AppEnv) -> UserError {
    UserError::new(Code::ClientTimeout, format!("the push to {app} did not arrive in time")).why("Nothing was changed.").next("push again")
}

/// A failure as git's own error packet: git prints `fatal: remote error: ` before it. Git keeps line ends, and cuts at 4 kB.
pub(crate) fn packet(user_error: &UserError) -> String {
    let mut text = format!("ERR {} [{}]", user_error.what, user_error.code);
    for line in model::push_output::user_error(user_error).iter().skip(1) {
        text.push('\n');
        text.push_str(line);
    }
    text.truncate(text.floor_char_boundary(4_000));
    format!("{:04x}{text}", text.len() + 4)
}
