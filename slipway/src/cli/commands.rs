//! The verbs that call the API: one function each, in files by topic.

use super::args::{Cli, Command};
use super::client::CallError;
use super::context::Context;
use super::exit;
use model::{Code, Trouble};

mod apps;
mod builds;
mod config_vars;
pub mod init;
mod people;
mod ps;
mod releases;
mod stream;
pub mod validate;

/// Runs a verb that needs nothing but the API. None when the verb is for a terminal of its own (init, up, run …).
pub async fn run(context: &Context, cli: &Cli) -> Option<Result<(), CallError>> {
    let result = match &cli.command {
        Command::Whoami => people::whoami(context).await,
        Command::Keys { user, verb } => people::keys(context, user.as_deref(), verb.as_ref()).await,
        Command::Users { verb } => people::users(context, verb.as_ref()).await,
        Command::Tenants { verb } => people::tenants(context, verb.as_ref()).await,
        Command::Teams { verb } => people::teams(context, verb).await,
        Command::Members { verb } => people::members(context, verb).await,
        Command::Apps { verb } => apps::run(context, verb.as_ref()).await,
        Command::Config { target, verb } => config_vars::run(context, target, verb.as_ref()).await,
        Command::Ps { target, verb } => ps::run(context, target, verb.as_ref()).await,
        Command::Restart { target } => ps::restart(context, target).await,
        Command::Releases { target, verb } => releases::run(context, target, verb.as_ref()).await,
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
        | Command::Up
        | Command::Boot { .. }
        | Command::Doctor
        | Command::UploadKey { .. } => return None,
    };
    Some(result)
}

/// The exit code of a failure.
pub fn exit_code(error: &CallError) -> u8 {
    match error {
        CallError::Unreachable { .. } => exit::UNREACHABLE,
        CallError::Trouble(trouble) => match trouble.code {
            Code::NotSignedIn | Code::NotAllowed | Code::UnknownKey => exit::DENIED,
            Code::UnknownApp | Code::NotFound | Code::NoRelease => exit::NOT_FOUND,
            Code::BadRequest | Code::BadName => exit::USAGE,
            _ => exit::TROUBLE,
        },
    }
}

/// Tells of a failure.
pub fn tell(context: &super::output::Output, error: &CallError) {
    match error {
        CallError::Trouble(trouble) => context.trouble(trouble),
        CallError::Unreachable { server, why } => context.trouble(
            &Trouble::new(Code::Internal, format!("the server at {server} can not be reached"))
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
