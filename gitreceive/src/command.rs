//! One command of one client: who may run it, and which of the three kinds it is.

use std::sync::Arc;

use tokio::sync::watch;

use crate::client::{Client, To};
use crate::door::Busy;
use crate::exec_line::Service;
use crate::house::House;
use crate::key::UserKey;
use crate::receive::{self, Pipes};
use crate::session::Start;
use crate::spool::{Outlet, spool};
use crate::{upload, user_errors, verbs};

pub(crate) struct Command {
    pub house: Arc<House>,
    /// Keeps the connection from counting as idle.
    pub busy: Busy,
    pub key: UserKey,
    pub start: Start,
    pub size: watch::Receiver<(u16, u16)>,
    pub input: Outlet,
    pub client: Client,
}

/// Runs the command to its end.
pub(crate) async fn run(command: Command) {
    let Command { house, busy, key, start, size, input, client } = command;
    let for_git = matches!(start, Start::Git { .. } | Start::Refusal { for_git: true, .. });
    // Asked again: the key may have been removed since the login.
    let Some(who) = house.desk.identify(&key).await else {
        return client.refuse(&user_errors::key_revoked(), for_git).await;
    };
    let most = house.config.commands_per_user;
    let Some(place) = house.running.place(&who.user, most) else {
        return client.refuse(&user_errors::too_many(most), for_git).await;
    };
    match start {
        Start::Refusal { user_error, for_git } => client.refuse(&user_error, for_git).await,
        Start::Verb { words, terminal } => {
            let screen = terminal.map(|wish| (wish.term, size));
            verbs::run(house, who, words, screen, input, client).await;
        }
        Start::Git { service, path, protocol } => match house.desk.open(&who, service, &path).await {
            Err(user_error) => {
                tracing::info!(user = %who.user, code = %user_error.code, "a repository was not opened");
                client.refuse(&user_error, true).await;
            }
            Ok(opened) if service == Service::Upload => upload::upload(house, opened.app, protocol, input, client).await,
            Ok(opened) => {
                let (stdout, said) = spool(house.output_limits());
                let (stderr, complained) = spool(house.output_limits());
                let pipes = Pipes { stdin: input, stdout, stderr };
                // A task of its own, with the user's place: it outlives this client.
                let push = house.work.spawn({
                    let house = house.clone();
                    async move {
                        let status = receive::receive(house, who, opened, pipes).await;
                        drop(place);
                        status
                    }
                });
                let carried = tokio::join!(client.carry(To::Stdout, said), client.carry(To::Stderr, complained));
                if carried == (Ok(()), Ok(())) {
                    client.exit(push.await.unwrap_or(1)).await;
                }
            }
        },
    }
    drop(busy);
}
