//! `Remote`: the tree of a server on this machine, for a role in a process of its own.
//!
//! One task owns the connection and makes it again when it breaks. Until then every call is `Unreachable`; sessions ended with the
//! connection; watches are opened again and ring, as nobody knows what they missed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{mpsc, oneshot, watch};

use super::wire::{Answer, Ask, Reply, Request, receive, send};
use super::{Coordination, LiveError, Node, Op, Session, Watch};

/// How often a server that is away is looked for.
const RETRY: Duration = Duration::from_millis(50);

enum Call {
    Ask(Ask, oneshot::Sender<Result<Answer, LiveError>>),
    Watch(Vec<String>, watch::Sender<u64>),
    Forget(u64),
}

/// The backend.
#[derive(Debug)]
pub struct Remote {
    calls: mpsc::UnboundedSender<(u64, Call)>,
    /// Numbers of requests. They never come again, so that a session of an earlier connection is none of this one.
    next: Arc<AtomicU64>,
}

impl Remote {
    /// Connects to the server behind a socket, or goes on trying in the background.
    pub async fn open(socket: &Path) -> Self {
        let (calls, incoming) = mpsc::unbounded_channel();
        let stream = UnixStream::connect(socket).await.ok();
        let keeper = Keeper { socket: socket.to_owned(), calls: incoming, pending: HashMap::new(), watches: HashMap::new() };
        tokio::spawn(keeper.run(stream));
        Self { calls, next: Arc::new(AtomicU64::new(1)) }
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    async fn ask(&self, id: u64, ask: Ask) -> Result<Answer, LiveError> {
        let (answer, waiting) = oneshot::channel();
        let _ = self.calls.send((id, Call::Ask(ask, answer)));
        match waiting.await.unwrap_or_else(|_| Err(away("the connection broke")))? {
            Answer::Fault(fault) => Err(fault.into()),
            answer => Ok(answer),
        }
    }
}

fn away(why: &str) -> LiveError {
    LiveError::Unreachable(why.into())
}

fn nodes(answer: Answer) -> Result<Vec<Node>, LiveError> {
    match answer {
        Answer::Nodes(nodes) => Ok(nodes),
        _ => Err(away("the answer is another than what was asked")),
    }
}

#[async_trait]
impl Coordination for Remote {
    async fn scan(&self, prefix: &str) -> Result<Vec<Node>, LiveError> {
        nodes(self.ask(self.number(), Ask::Scan(prefix.to_owned())).await?)
    }

    async fn get(&self, path: &str) -> Result<Option<Node>, LiveError> {
        Ok(nodes(self.ask(self.number(), Ask::Get(path.to_owned())).await?)?.pop())
    }

    async fn commit(&self, ops: Vec<Op>) -> Result<(), LiveError> {
        self.ask(self.number(), Ask::Commit(ops)).await.map(drop)
    }

    fn watch(&self, prefixes: &[&str]) -> Watch {
        let (bell, receiver) = watch::channel(0);
        let prefixes = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
        let _ = self.calls.send((self.number(), Call::Watch(prefixes, bell)));
        Watch(receiver)
    }

    async fn session(&self) -> Result<Session, LiveError> {
        let (id, calls) = (self.number(), self.calls.clone());
        self.ask(id, Ask::Session).await?;
        Ok(Session { id, end: Some(Box::new(move || drop(calls.send((id, Call::Forget(id)))))) })
    }
}

/// Owns the connection.
struct Keeper {
    socket: PathBuf,
    calls: mpsc::UnboundedReceiver<(u64, Call)>,
    pending: HashMap<u64, oneshot::Sender<Result<Answer, LiveError>>>,
    watches: HashMap<u64, (Vec<String>, watch::Sender<u64>)>,
}

impl Keeper {
    /// Until nobody can call any more.
    async fn run(mut self, mut stream: Option<UnixStream>) {
        loop {
            if let Some(stream) = stream.take() {
                match self.connected(stream).await {
                    Ok(()) => return,
                    Err(error) => tracing::debug!(%error, "the connection to coordination broke"),
                }
                for (_, waiting) in self.pending.drain() {
                    let _ = waiting.send(Err(away("the connection broke")));
                }
            }
            let retry = tokio::time::sleep(RETRY);
            tokio::pin!(retry);
            loop {
                let call = tokio::select! {
                    () = &mut retry => break,
                    call = self.calls.recv() => call,
                };
                match call {
                    None => return,
                    Some((_, Call::Ask(_, waiting))) => drop(waiting.send(Err(away("no server answers")))),
                    Some((id, Call::Watch(prefixes, bell))) => drop(self.watches.insert(id, (prefixes, bell))),
                    // It went with the connection.
                    Some((_, Call::Forget(_))) => {}
                }
            }
            stream = UnixStream::connect(&self.socket).await.ok();
        }
    }

    /// Passes calls and answers on until the connection breaks, or until nobody can call.
    async fn connected(&mut self, stream: UnixStream) -> std::io::Result<()> {
        let (mut from, mut to) = stream.into_split();
        self.watches.retain(|_, (_, bell)| bell.receiver_count() > 0);
        for (id, (prefixes, bell)) in &self.watches {
            send(&mut to, &Request { id: *id, ask: Ask::Watch(prefixes.clone()) }).await?;
            bell.send_modify(|count| *count += 1);
        }
        // Read by a task of its own: a reading that is given up in the middle of a piece would lose the rest of it. What is read is
        // never held back, else both sides could wait for each other; there is no more of it than calls.
        let (read, mut replies) = mpsc::unbounded_channel::<std::io::Result<Reply>>();
        let mut reading = tokio::task::JoinSet::new();
        reading.spawn(async move {
            loop {
                let reply = receive(&mut from).await;
                let is_end = reply.is_err();
                if read.send(reply).is_err() || is_end {
                    return;
                }
            }
        });
        loop {
            tokio::select! {
                call = self.calls.recv() => match call {
                    None => return Ok(()),
                    Some((id, call)) => self.call(&mut to, id, call).await?,
                },
                reply = replies.recv() => match reply {
                    Some(reply) => self.take(&mut to, reply?).await?,
                    None => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                },
            }
        }
    }

    async fn call(&mut self, to: &mut OwnedWriteHalf, id: u64, call: Call) -> std::io::Result<()> {
        let ask = match call {
            Call::Ask(ask, waiting) => {
                self.pending.insert(id, waiting);
                ask
            }
            Call::Watch(prefixes, bell) => {
                self.watches.insert(id, (prefixes.clone(), bell));
                Ask::Watch(prefixes)
            }
            Call::Forget(what) => Ask::Forget(what),
        };
        send(to, &Request { id, ask }).await
    }

    async fn take(&mut self, to: &mut OwnedWriteHalf, reply: Reply) -> std::io::Result<()> {
        if let Answer::Rang = reply.answer {
            let is_heard = self.watches.get(&reply.id).is_some_and(|(_, bell)| {
                bell.send_modify(|count| *count += 1);
                bell.receiver_count() > 0
            });
            if !is_heard {
                self.watches.remove(&reply.id);
                return send(to, &Request { id: reply.id, ask: Ask::Forget(reply.id) }).await;
            }
        } else if let Some(waiting) = self.pending.remove(&reply.id) {
            let _ = waiting.send(Ok(reply.answer));
        }
        Ok(())
    }
}
