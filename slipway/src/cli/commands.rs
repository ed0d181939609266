//! The verbs that call the API: one function each, in files by topic.

use super::args::{Cli, Command};
use super::client::CallError;
use super::context::Context;
use super::exit;
use model::{Code, UserError};

mod apps;
mod builds;
mod config_vars;
pub mod init;
pub mod login;
mod people;
mod platform;
mod ps;
mod releases;
pub mod remote;
mod stream;
pub mod validate;

/// Runs a verb that needs nothing but the API. None when the verb is for a terminal of its own (init, up, run …).
pub async fn run(context: &Context, cli: &Cli) -> Option<Result<(), CallError>> {
    let result = match &cli.command {
        Command::Whoami => people::whoami(context).await,
        Command::Keys { user, verb } => people::keys(context, user.as_deref(), verb.as_ref()).await,
        Command::Tokens { user, verb } => people::tokens(context, user.as_deref(), verb.as_ref()).await,
        Command::Users { verb } => people::users(context, verb.as_ref()).await,
        Command::Tenants { verb } => people::tenants(context, verb.as_ref()).await,
        Command::Teams { verb } => people::teams(context, verb).await,
        Command::Members { verb } => people::members(context, verb).await,
        Command::Invitations { verb } => people::invitations(context, verb.as_ref()).await,
        Command::Apps { verb } => apps::run(context, verb.as_ref()).await,
        Command::Config { target, verb } => config_vars::run(context, target, verb.as_ref()).await,
        Command::Ps { target, verb } => ps::run(context, target, verb.as_ref()).await,
        Command::Restart { target } => ps::restart(context, target).await,
        Command::Releases { target, verb } => releases::run(context, target, verb.as_ref()).await,
        Command::Maintenance { target, verb } => platform::maintenance(context, target, verb.as_ref()).await,
        Command::Hosts { verb } => platform::hosts(context, verb.as_ref()).await,
        Command::Router { verb: Some(verb) } => platform::router(context, verb).await,
        Command::Rollback { target, release } => releases::rollback(context, target, release.as_deref()).await,
        Command::Builds { target, verb } => builds::run(context, target, verb.as_ref()).await,
        Command::Logs { target, tail, lines, process } => builds::logs(context, target, *tail, *lines, process.as_deref()).await,
        Command::Domains { target, verb } => apps::domains(context, target, verb.as_ref()).await,
        Command::Events { target, lines } => apps::events(context, target, *lines).await,
        Command::Init { .. }
        | Command::Validate { .. }
        | Command::Login { .. }
        | Command::Logout
        | Command::Run { .. }
        | Command::Open { .. }
        | Command::Up { .. }
        | Command::Router { verb: None }
        | Command::Boot { .. }
        | Command::Doctor
        | Command::UploadKey { .. } => return None,
    };
    Some(result)
}

/// A name that was given two of what it can have one of.
fn twice(name: &str, what: &str) -> UserError {
    UserError::new(Code::BadRequest, format!("`{name}` is given twice")).why(format!("It can have one {what}. Nothing was changed."))
}

/// The exit code of a failure.
pub fn exit_code(error: &CallError) -> u8 {
    match error {
        CallError::Unreachable { .. } => exit::UNREACHABLE,
        CallError::UserError(user_error) | CallError::Told(user_error) => exit_code_of(user_error.code),
    }
}

/// The exit code of a failure with this code.
pub fn exit_code_of(code: Code) -> u8 {
    match code {
        Code::NotSignedIn | Code::NotAllowed | Code::UnknownKey => exit::DENIED,
        Code::UnknownApp | Code::NotFound | Code::NoRelease => exit::NOT_FOUND,
        Code::BadRequest | Code::BadName | Code::TooLarge => exit::USAGE,
        _ => exit::FAILED,
    }
}

/// Tells of a failure.
pub fn tell(context: &super::console::Console, error: &CallError) {
    match error {
        CallError::UserError(user_error) => context.error(user_error),
        // A program that reads JSON has not read the words before.
        CallError::Told(user_error) if context.is_json() => context.error(user_error),
        CallError::Told(_) => {}
        CallError::Unreachable { server, why } => context.error(
            &UserError::new(Code::Internal, format!("the server at {server} can not be reached"))
                .why(why.clone())
                .next("is it running? slipway doctor")
                .next("slipway login --server http://host:port"),
        ),
    }
}

pub use people::read_password;

/// A public key from standard input.
pub fn read_key() -> Result<String, CallError> {
    people::read_text(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_leave_as_documented() {
        for (code, status) in [(Code::UnknownApp, 5), (Code::NoRelease, 5), (Code::NotAllowed, 4), (Code::BadName, 2), (Code::InUse, 1)] {
            assert_eq!(exit_code_of(code), status, "{code:?}");
        }
    }
}
