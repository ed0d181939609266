//! One verb over SSH: the desk runs it, this file only connects its three streams to the client.

use std::sync::Arc;

use futures_util::stream;
use tokio::sync::watch;
use tokio_util::io::StreamReader;

use crate::client::{Client, To};
use crate::desk::{Identity, Terminal, VerbCall};
use crate::house::House;
use crate::spool::Outlet;

/// How much a verb may write ahead of the client.
const AHEAD: usize = 64 * 1024;

/// A terminal and where its size is announced.
pub(crate) type Screen = Option<(String, watch::Receiver<(u16, u16)>)>;

/// Runs a verb to its end and ends the channel.
pub(crate) async fn run(house: Arc<House>, who: Identity, words: Vec<String>, screen: Screen, input: Outlet, client: Client) {
    let verb = words.first().cloned().unwrap_or_default();
    let (stdout, out) = tokio::io::duplex(AHEAD);
    let (stderr, err) = tokio::io::duplex(AHEAD);
    let bytes = Box::pin(stream::unfold(input, |mut input| async move { input.next().await.map(|bytes| (bytes, input)) }));
    let user = who.user.clone();
    let call = VerbCall {
        who,
        words,
        terminal: screen.map(|(term, size)| Terminal { term, size }),
        stdin: Box::pin(StreamReader::new(bytes)),
        stdout: Box::pin(stdout),
        stderr: Box::pin(stderr),
        gone: client.gone().clone(),
    };
    // Both pumps end with the verb, or with the client; in the second case the verb sees broken pipes and goes on as it likes.
    let (status, _, _) = tokio::join!(house.desk.verb(call), client.carry_pipe(To::Stdout, out), client.carry_pipe(To::Stderr, err));
    tracing::info!(%user, verb, status, "verb ends");
    client.exit(status).await;
}
