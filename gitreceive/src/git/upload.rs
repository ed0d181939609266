//! One clone or fetch: `git upload-pack`, with the client's speed as its speed, and its end as its end.

use std::process::Stdio;
use std::sync::Arc;

use model::{AppEnv, PushId, UserError};
use tokio::io::AsyncWriteExt;

use crate::git::process;
use crate::random;
use crate::server_state::ServerState;
use crate::spool::SpoolReader;
use crate::ssh::client::{Client, OutputStream};

/// Runs a fetch to its end and ends the channel.
pub(crate) async fn upload(state: Arc<ServerState>, app: AppEnv, protocol: Option<&'static str>, mut input: SpoolReader, client: Client) {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        let id = PushId::mint(random::bytes());
        tracing::error!(%app, %id, error, "a fetch failed");
        UserError::internal(id)
    };
    let repositories = state.repositories.clone();
    let app_ref = app.app_ref();
    let path = match tokio::task::spawn_blocking(move || repositories.ensure(&app_ref)).await {
        Ok(Ok(path)) => path,
        Ok(Err(error)) => return client.refuse(&failed(&error), true).await,
        Err(error) => return client.refuse(&failed(&error), true).await,
    };
    let mut command = state.git.command();
    command.args(["upload-pack", "--strict"]).arg(&path).env("GIT_NAMESPACE", app.env.as_str()).stdin(Stdio::piped());
    if let Some(protocol) = protocol {
        command.env("GIT_PROTOCOL", protocol);
    }
    let mut child = match command.spawn().and_then(|child| state.git.limit(&child).map(|()| child)) {
        Ok(child) => child,
        Err(error) => return client.refuse(&failed(&error), true).await,
    };
    let mut stdin = child.stdin.take().expect("stdin was asked for as a pipe");
    let stdout = child.stdout.take().expect("stdout was asked for as a pipe");
    let stderr = child.stderr.take().expect("stderr was asked for as a pipe");
    let feeding = tokio::spawn(async move {
        while let Some(Ok(bytes)) = input.next().await {
            if stdin.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let carrying =
        async { tokio::try_join!(client.copy_pipe(OutputStream::Stdout, stdout), client.copy_pipe(OutputStream::Stderr, stderr)) };
    let carried = tokio::select! {
        carried = carrying => carried.is_ok(),
        () = tokio::time::sleep(state.config.upload_timeout) => false,
        () = state.abort.cancelled() => false,
    };
    if !carried {
        process::end_group(&child);
    }
    let status = match child.wait().await {
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
        Err(_) => 1,
    };
    feeding.abort();
    tracing::info!(%app, status, "fetch ends");
    client.exit(status).await;
}
