//! One command of one client: checks the key again, takes a slot, and runs a push, a fetch or a verb.

use std::sync::Arc;

use tokio::sync::watch;

use crate::git::receive::{self, Pipes};
use crate::git::upload;
use crate::server_state::ServerState;
use crate::spool::{SpoolReader, spool};
use crate::ssh::client::{Client, OutputStream};
use crate::ssh::connection_permit::CommandGuard;
use crate::ssh::exec_line::Service;
use crate::ssh::session::StartCommand;
use crate::ssh::user_key::UserKey;
use crate::ssh::verbs;
use crate::user_errors;

pub(crate) struct Command {
    pub state: Arc<ServerState>,
    /// Held while the command runs, so that the connection does not count as idle.
    pub guard: CommandGuard,
    pub key: UserKey,
    pub start: StartCommand,
    /// Columns and rows of the client's terminal.
    pub size: watch::Receiver<(u16, u16)>,
    pub input: SpoolReader,
    pub client: Client,
}

/// Runs the command to its end.
pub(crate) async fn run(command: Command) {
    let Command { state, guard, key, start, size, input, client } = command;
    let for_git = matches!(start, StartCommand::Git { .. } | StartCommand::Refusal { for_git: true, .. });
    // Asked again: the key may have been removed since the login.
    let Some(who) = state.backend.identify(&key).await else {
        return client.refuse(&user_errors::key_revoked(), for_git).await;
    };
    let most = state.config.commands_per_user;
    let Some(slot) = state.running.acquire(&who.user, most) else {
        return client.refuse(&user_errors::too_many(most), for_git).await;
    };
    match start {
        StartCommand::Refusal { user_error, for_git } => client.refuse(&user_error, for_git).await,
        StartCommand::Verb { words, terminal } => {
            let terminal = terminal.map(|request| (request.term, size));
            verbs::run(state, who, words, terminal, input, client).await;
        }
        StartCommand::Git { service, path, protocol } => match state.backend.open(&who, service, &path).await {
            Err(user_error) => {
                tracing::info!(user = %who.user, code = %user_error.code, "a repository was not opened");
                client.refuse(&user_error, true).await;
            }
            Ok(opened) if service == Service::Upload => upload::upload(state, opened.app, protocol, input, client).await,
            Ok(opened) => {
                let (stdout, messages) = spool(state.output_limits());
                let (stderr, complaints) = spool(state.output_limits());
                let pipes = Pipes { stdin: input, stdout, stderr };
                // A task of its own that holds the user's slot: a push outlives its client.
                let push = state.work.spawn({
                    let state = state.clone();
                    async move {
                        let status = receive::receive(state, who, opened, pipes).await;
                        drop(slot);
                        status
                    }
                });
                let copied =
                    tokio::join!(client.copy_spool(OutputStream::Stdout, messages), client.copy_spool(OutputStream::Stderr, complaints));
                if copied == (Ok(()), Ok(())) {
                    client.exit(push.await.unwrap_or(1)).await;
                }
            }
        },
    }
    drop(guard);
}
