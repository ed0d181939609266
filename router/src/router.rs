//! `Router`: binds the listeners, runs one worker thread per core, swaps tables under them.
//!
//! Owns the life of the process part that serves requests. Must never know where tables come from, nor about signals.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::{AppEnv, Hostname, InstanceId};
use tokio::sync::{oneshot, watch};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::downstream::client::Client;
use crate::downstream::connection;
use crate::observe::access_log::LogSink;
use crate::observe::metrics::{Metrics, WorkerMetrics};
use crate::routing::drain::{DrainState, Drains};
use crate::routing::table::Table;
use crate::routing::trace::{Trace, trace};
use crate::worker::{Shared, Worker};

/// Connections that wait in the kernel per listener.
const BACKLOG: i32 = 4096;
/// How often a worker looks after its buffers, queues and idle connections.
const TICK: Duration = Duration::from_millis(100);

/// Why a router could not be started.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address could not be bound.
    #[error("could not listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A thread could not be started.
    #[error("could not start a thread")]
    Thread(#[source] io::Error),
}

/// A router that listens and does not serve yet: connections already queue.
#[derive(Debug)]
pub struct Router {
    addresses: Vec<SocketAddr>,
    /// Per worker, one listener per address.
    listeners: Vec<Vec<TcpListener>>,
    handle: Handle,
    writer: Option<std::thread::JoinHandle<()>>,
}

/// What the rest of the process does with a running router.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    changed: Arc<watch::Sender<u64>>,
}

impl Handle {
    /// The present table.
    pub fn table(&self) -> Arc<Table> {
        self.shared.table.load_full()
    }

    /// Swaps in `table`, which must be made from the present one by the only caller that swaps. Requests that were picked keep
    /// their instance; instances that left begin to drain.
    pub fn swap(&self, table: Table) {
        let generation = table.generation();
        let table = Arc::new(table);
        let before = self.shared.table.swap(Arc::clone(&table));
        self.shared.drains.departed(generation, before.departed(&table));
        self.changed.send_replace(generation);
    }

    /// How far an instance is from quiet in this router.
    pub fn drain_state(&self, app: &AppEnv, id: &InstanceId) -> DrainState {
        let serving = self.table().pool(app).is_some_and(|pool| pool.backends.iter().any(|backend| backend.id == *id));
        if serving { DrainState::Serving } else { self.shared.drains.state(id) }
    }

    /// Whether no worker sends anything new to an instance.
    pub fn is_unrouted(&self, app: &AppEnv, id: &InstanceId) -> bool {
        self.drain_state(app, id) != DrainState::Serving && self.shared.drains.is_unrouted(id)
    }

    /// Waits until no worker sends anything new to an instance that has left the table.
    pub async fn unrouted(&self, id: &InstanceId) {
        self.shared.drains.unrouted(id).await;
    }

    /// Waits until nothing is in flight to an instance that has left the table, WebSockets included. The caller sets a
    /// deadline.
    pub async fn drained(&self, id: &InstanceId) {
        self.shared.drains.drained(id).await;
    }

    /// Waits until every worker uses the table of this generation or a newer one.
    pub async fn seen(&self, generation: u64) {
        self.shared.drains.seen(generation).await;
    }

    /// What was counted since the start, over all workers.
    pub fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::of(&self.shared.worker_metrics);
        metrics.connections = self.shared.connections.load(Ordering::Relaxed);
        metrics.held = self.shared.held.total();
        metrics.dropped_lines = self.shared.sink.as_ref().map_or(0, LogSink::dropped);
        metrics
    }

    /// Which way a request for `host` would take.
    pub fn trace(&self, host: &Hostname) -> Trace {
        trace(&self.table(), host, &self.shared.config.times)
    }
}

impl Router {
    /// Listens on all addresses, once per worker. Access lines go to `log`; none: there are none.
    pub fn bind(config: Config, log: Option<Box<dyn Write + Send>>) -> Result<Self, BindError> {
        let workers = config.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
        let mut listeners: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        for wanted in &config.listen {
            let failed = |source| BindError::Listen { address: *wanted, source };
            if wanted.port() != 0 {
                // Shared ports would let a second router take half of the connections in silence.
                socket(*wanted, false).map_err(failed)?;
            }
            let mut address = *wanted;
            for listeners in &mut listeners {
                let listener = listen(address).map_err(failed)?;
                // Port 0 is decided by the first.
                address = listener.local_addr().map_err(failed)?;
                listeners.push(listener);
            }
            addresses.push(address);
        }
        let (sink, writer) = match log {
            Some(log) => LogSink::start(log).map(|(sink, writer)| (Some(sink), Some(writer))).map_err(BindError::Thread)?,
            None => (None, None),
        };
        let shared = Shared {
            config,
            table: arc_swap::ArcSwap::default(),
            drains: Drains::new(workers),
            held: Default::default(),
            sink,
            worker_metrics: (0..workers).map(|_| WorkerMetrics::default()).collect(),
            connections: AtomicU64::new(0),
        };
        let handle = Handle { shared: Arc::new(shared), changed: Arc::new(watch::Sender::new(0)) };
        Ok(Self { addresses, listeners, handle, writer })
    }

    /// The addresses it listens on, in the order of the config.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// For swapping tables and asking for drains.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves until `shutdown`, then stops accepting, finishes what is in flight within the configured time, and returns.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), BindError> {
        let Self { listeners, handle, writer, .. } = self;
        let mut ended = Vec::new();
        for (number, listeners) in listeners.into_iter().enumerate() {
            let (done, end) = oneshot::channel();
            let (shared, changed, shutdown) = (Arc::clone(&handle.shared), handle.changed.subscribe(), shutdown.clone());
            let run = move || {
                let result = work(number, listeners, &shared, changed, shutdown);
                shared.drains.retire(number);
                // Discard waits any more when the whole router was dropped.
                let _ = done.send(result);
            };
            std::thread::Builder::new().name(format!("router-{number}")).spawn(run).map_err(BindError::Thread)?;
            ended.push(end);
        }
        for end in ended {
            match end.await {
                Ok(result) => result.map_err(BindError::Thread)?,
                Err(_) => return Err(BindError::Thread(io::Error::other("a worker panicked"))),
            }
        }
        if let (Some(sink), Some(writer)) = (&handle.shared.sink, writer) {
            let sink = sink.clone();
            let written = tokio::task::spawn_blocking(move || {
                sink.close();
                writer.join()
            });
            if !matches!(written.await, Ok(Ok(()))) {
                tracing::error!("the writer of the access log panicked");
            }
        }
        Ok(())
    }
}

/// A listener that shares its port with those of the other workers.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address, true)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<std::os::fd::OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, shared)?;
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}

/// One worker, on its own thread.
fn work(
    number: usize,
    listeners: Vec<TcpListener>,
    shared: &Arc<Shared>,
    mut changed: watch::Receiver<u64>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let worker = Worker::new(Arc::clone(shared), number);
        let closing = CancellationToken::new();
        let mut accepting = Vec::new();
        for listener in listeners {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            accepting.push(tokio::task::spawn_local(accept(Rc::clone(&worker), listener, closing.clone(), shutdown.clone())));
        }
        // Tables that were swapped in before this worker listened for them.
        shared.drains.acknowledge(number, worker.table_changed());
        let mut tick = tokio::time::interval(TICK);
        let mut deadline = None;
        loop {
            tokio::select! {
                Ok(()) = changed.changed() => {
                    shared.drains.acknowledge(number, worker.table_changed());
                }
                _ = tick.tick() => worker.tick(),
                () = shutdown.cancelled(), if deadline.is_none() => {
                    deadline = Some(Instant::now() + shared.config.times.shutdown);
                    for task in accepting.drain(..) {
                        // It ends by itself when the kernel's queue is empty; a panic in it was reported by the runtime.
                        let _ = task.await;
                    }
                    closing.cancel();
                }
            }
            if deadline.is_some_and(|deadline| worker.connections.get() == 0 || deadline <= Instant::now()) {
                worker.tick();
                return Ok(());
            }
        }
    })
}

/// Accepts until shutdown, then what the kernel has queued already: those clients believe that they are connected.
async fn accept(worker: Rc<Worker>, listener: tokio::net::TcpListener, closing: CancellationToken, shutdown: CancellationToken) {
    let mut tick = tokio::time::interval(TICK);
    loop {
        let full = worker.connections.get() >= worker.shared.config.max_connections;
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept(), if !full => accepted,
            () = shutdown.cancelled() => return,
            _ = tick.tick(), if full => continue,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Small answers must not wait for acknowledgements; a socket that refuses the option works, only slower.
                let _ = stream.set_nodelay(true);
                let Ok(local) = stream.local_addr() else { continue };
                // A dual-stack socket shows IPv4 peers as IPv4-mapped IPv6 addresses.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                let client = Rc::new(Client::new(stream, peer, local, Instant::now()));
                let counted = Counted::new(&worker);
                let (worker, closing) = (Rc::clone(&worker), closing.clone());
                tokio::task::spawn_local(async move {
                    connection::serve(worker, client, closing).await;
                    drop(counted);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                // Most likely no file descriptor is left: trying at once would only burn time.
                tick.reset();
                tick.tick().await;
            }
        }
    }
}

/// A connection that is counted, out as well when its task panics.
struct Counted(Rc<Worker>);

impl Counted {
    fn new(worker: &Rc<Worker>) -> Self {
        worker.connections.set(worker.connections.get() + 1);
        worker.shared.connections.fetch_add(1, Ordering::Relaxed);
        Self(Rc::clone(worker))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
        self.0.shared.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
