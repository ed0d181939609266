//! A tree for roles in other processes of this machine: whoever may open the socket reads and writes it.
//!
//! Each connection is answered in the order in which it asks; its sessions and watches end with it.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::wire::{Answer, Ask, Reply, Request, receive, send};
use super::{Coordination, Life, LiveError, Op, Session};

/// Answers that wait for a slow reader. A watch that rings meanwhile rings once.
const WAITING: usize = 64;

/// Serves `tree` until `stop`.
pub async fn serve(listener: UnixListener, tree: Arc<dyn Coordination>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(converse(stream, tree.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a role could not connect to coordination");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// What one connection has open.
struct Connection {
    tree: Arc<dyn Coordination>,
    replies: mpsc::Sender<Reply>,
    sessions: HashMap<u64, Session>,
    watches: HashMap<u64, AbortHandle>,
    ringing: JoinSet<()>,
}

async fn converse(stream: UnixStream, tree: Arc<dyn Coordination>) {
    let (mut from, mut to) = stream.into_split();
    let (replies, mut outgoing) = mpsc::channel::<Reply>(WAITING);
    let mut connection = Connection { tree, replies, sessions: HashMap::new(), watches: HashMap::new(), ringing: JoinSet::new() };
    let writing = async {
        while let Some(reply) = outgoing.recv().await {
            send(&mut to, &reply).await?;
        }
        Ok(())
    };
    let reading = async {
        loop {
            let Request { id, ask } = receive(&mut from).await?;
            if let Some(answer) = connection.answer(id, ask).await
                && connection.replies.send(Reply { id, answer }).await.is_err()
            {
                return Ok(());
            }
        }
    };
    let ended: std::io::Result<()> = tokio::select! {
        ended = writing => ended,
        ended = reading => ended,
    };
    if let Err(error) = ended
        && error.kind() != std::io::ErrorKind::UnexpectedEof
    {
        tracing::debug!(%error, "a role's connection to coordination broke");
    }
}

impl Connection {
    async fn answer(&mut self, id: u64, ask: Ask) -> Option<Answer> {
        let result = match ask {
            Ask::Scan(prefix) => self.tree.scan(&prefix).await.map(Answer::Nodes),
            Ask::Get(path) => self.tree.get(&path).await.map(|node| Answer::Nodes(node.into_iter().collect())),
            Ask::Commit(ops) => match self.translated(ops) {
                Ok(ops) => self.tree.commit(ops).await.map(|()| Answer::Done),
                Err(error) => Err(error),
            },
            Ask::Session => self.tree.session().await.map(|session| {
                self.sessions.insert(id, session);
                Answer::Done
            }),
            Ask::Watch(prefixes) => {
                self.watch(id, &prefixes);
                return None;
            }
            Ask::Forget(what) => {
                self.sessions.remove(&what);
                self.watches.remove(&what).into_iter().for_each(|ringing| ringing.abort());
                return None;
            }
        };
        Some(result.unwrap_or_else(|error| Answer::Fault(error.into())))
    }

    /// The other side knows its sessions by its own numbers.
    fn translated(&self, mut ops: Vec<Op>) -> Result<Vec<Op>, LiveError> {
        for op in &mut ops {
            if let Op::Put { life: life @ Life::Session(_), .. } = op {
                let Life::Session(theirs) = *life else { continue };
                *life = self.sessions.get(&theirs).ok_or(LiveError::SessionEnded)?.life();
            }
        }
        Ok(ops)
    }

    fn watch(&mut self, id: u64, prefixes: &[String]) {
        let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
        let (mut watch, replies) = (self.tree.watch(&prefixes), self.replies.clone());
        let ringing = self.ringing.spawn(async move {
            loop {
                watch.changed().await;
                if replies.send(Reply { id, answer: Answer::Rang }).await.is_err() {
                    return;
                }
            }
        });
        self.watches.insert(id, ringing);
    }
}
