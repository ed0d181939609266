//! Verbs as they run on a person's terminal: which server is meant, what needs the folder one stands in, and the exit code.

use std::process::ExitCode;

use model::{Code, UserError};

use super::args::{Cli, Command};
use super::argv::{self, Unread};
use super::client::{CallError, Client, server_address};
use super::console::{Console, Std};
use super::context::Context;
use super::{commands, exit, user_files};
use crate::{config, server};

/// Tells of a line that can not be read. Where help was asked for, or says more than a failure, help is shown.
pub fn misread(unread: &Unread) -> ExitCode {
    let output = Console::new(Box::new(Std), unread.json);
    match argv::misread(&unread.error) {
        Some(user_error) if output.is_json() || unread.error.kind() != clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            output.error(&user_error);
            ExitCode::from(exit::USAGE)
        }
        told => {
            drop(unread.error.print());
            ExitCode::from(if told.is_some() { exit::USAGE } else { exit::OK })
        }
    }
}

/// Runs a verb to its exit code.
pub fn main(cli: &Cli) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("could not start: {error}");
            return ExitCode::from(exit::FAILED);
        }
    };
    let output = Console::new(Box::new(Std), cli.global.json);
    match runtime.block_on(verb(cli, &output)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            commands::tell(&output, &error);
            ExitCode::from(commands::exit_code(&error))
        }
    }
}

/// Where the server is: named, remembered, or on this machine.
fn connect(cli: &Cli) -> Result<Client, CallError> {
    let remembered = user_files::load();
    let token = |server: &str| {
        std::env::var("SLIPWAY_TOKEN").ok().or_else(|| remembered.as_ref().filter(|r| r.server == server).map(|r| r.token.clone()))
    };
    if let Some(server) = &cli.global.server {
        let server = server_address(server)?;
        return Ok(Client::http(server, token(server)));
    }
    if let Some(remembered) = &remembered {
        return Ok(Client::http(&remembered.server, token(&remembered.server)));
    }
    control(cli)
}

/// The operator's socket of this machine.
fn control(cli: &Cli) -> Result<Client, CallError> {
    let config = config::load(cli.global.config.as_deref()).map_err(|error| error.told())?;
    let socket = config.control_socket();
    match std::os::unix::net::UnixStream::connect(&socket) {
        Ok(_) => Client::socket(&socket),
        Err(error) => Err(UserError::new(Code::NotSignedIn, "you are not signed in to a server")
            .why(format!("And the control socket of this machine, {}, can not be used: {error}.", socket.display()))
            .next("slipway login --server http://host:7080")
            .next("slipway up   # starts one on this machine")
            .into()),
    }
}

async fn verb(cli: &Cli, output: &Console) -> Result<u8, CallError> {
    match &cli.command {
        Command::Validate { dir } => {
            commands::validate::run(output, dir)?;
            Ok(exit::OK)
        }
        Command::Login { user } => commands::login::login(cli, output, user.as_deref()).await,
        Command::Logout => commands::login::logout(output),
        Command::UploadKey { user } => commands::login::upload_key(&control(cli)?, output, user).await,
        Command::Doctor => Ok(server::doctor::run(cli.global.config.as_deref(), output).await),
        _ => {
            let context = Context { client: connect(cli)?, output: output.clone(), local: true };
            if let Some(result) = commands::run(&context, cli).await {
                return result.map(|()| exit::OK);
            }
            match &cli.command {
                Command::Init { app, ssh } => commands::init::run(&context, app.as_deref(), ssh.as_deref()).await,
                Command::Open { target } => commands::remote::open(&context, target).await,
                Command::Run { target, command } => commands::remote::run(&context, target, command).await,
                _ => Ok(exit::USAGE),
            }
        }
    }
}
