//! One verb over SSH: the backend runs it, its three streams are connected to the client here.

use std::sync::Arc;

use futures_util::stream;
use tokio::sync::watch;
use tokio_util::io::StreamReader;

use crate::backend::{Identity, Terminal, VerbCall};
use crate::server_state::ServerState;
use crate::spool::SpoolReader;
use crate::ssh::client::{Client, OutputStream};

/// Most bytes that a verb may write ahead of the client.
const BUFFERED: usize = 64 * 1024;

/// The client's `TERM`, and the columns and rows of its terminal.
pub(crate) type TerminalStream = (String, watch::Receiver<(u16, u16)>);

/// Runs a verb to its end and ends the channel.
pub(crate) async fn run(
    state: Arc<ServerState>,
    who: Identity,
    words: Vec<String>,
    terminal: Option<TerminalStream>,
    input: SpoolReader,
    client: Client,
) {
    let verb = words.first().cloned().unwrap_or_default();
    let (stdout, out) = tokio::io::duplex(BUFFERED);
    let (stderr, err) = tokio::io::duplex(BUFFERED);
    let bytes = Box::pin(stream::unfold(input, |mut input| async move { input.next().await.map(|bytes| (bytes, input)) }));
    let user = who.user.clone();
    let call = VerbCall {
        who,
        words,
        terminal: terminal.map(|(term, size)| Terminal { term, size }),
        stdin: Box::pin(StreamReader::new(bytes)),
        stdout: Box::pin(stdout),
        stderr: Box::pin(stderr),
        gone: client.gone().clone(),
    };
    // Both copies end with the verb or with the client; in the second case the verb sees broken pipes and may go on.
    let (status, _, _) =
        tokio::join!(state.backend.verb(call), client.copy_pipe(OutputStream::Stdout, out), client.copy_pipe(OutputStream::Stderr, err));
    tracing::info!(%user, verb, status, "verb ends");
    client.exit(status).await;
}
