//! `Worker`: the state of one router thread: its view of the table, its upstreams, its queues, its log buffer.
//!
//! Owns everything that a request touches without a lock. Must never be shared between threads, and no borrow of its cells
//! may live across an await.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::{ArcSwap, Guard};
use bytes::{Bytes, BytesMut};
use model::Hostname;
use tokio::net::TcpStream;

use crate::config::Config;
use crate::hold::admission::{self, Admission, admission};
use crate::hold::hold_queue::{HeldCounts, HoldQueues};
use crate::observe::access_log::{LogBuffer, LogSink};
use crate::observe::metrics::WorkerMetrics;
use crate::observe::request_id::RequestId;
use crate::read_buffer::ReadBuffer;
use crate::routing::backend::{Backend, Lease};
use crate::routing::drain::Drains;
use crate::routing::table::{Pool, Table};
use crate::upstream::load_balancer::{self, Candidate};
use crate::upstream::retry::Budget;
use crate::upstream::upstream_state::UpstreamState;

/// What all workers of a router share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) table: ArcSwap<Table>,
    pub(crate) drains: Drains,
    pub(crate) held: HeldCounts,
    pub(crate) sink: Option<LogSink>,
    /// One per worker.
    pub(crate) worker_metrics: Vec<WorkerMetrics>,
    /// Client connections that are open, over all workers.
    pub(crate) connections: AtomicU64,
}

/// Backend keys are small numbers that nobody outside chooses: they are their own hash.
#[derive(Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// By the key of the backend.
type UpstreamStates = HashMap<u64, (Arc<Backend>, UpstreamState), BuildHasherDefault<KeyHasher>>;

#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    number: usize,
    pub(crate) read_buffer: ReadBuffer,
    pub(crate) hold_queues: HoldQueues,
    pub(crate) connections: Cell<usize>,
    upstreams: RefCell<UpstreamStates>,
    random: RefCell<fastrand::Rng>,
    budget: RefCell<Budget>,
    buffer: RefCell<LogBuffer>,
    heads: RefCell<Vec<u8>>,
    head_arena: RefCell<BytesMut>,
    started: Instant,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, number: usize) -> Rc<Self> {
        let buffer = RefCell::new(LogBuffer::new(shared.sink.clone()));
        Rc::new(Self {
            shared,
            number,
            read_buffer: ReadBuffer::default(),
            hold_queues: HoldQueues::default(),
            connections: Cell::new(0),
            upstreams: RefCell::default(),
            random: RefCell::new(fastrand::Rng::new()),
            budget: RefCell::default(),
            buffer,
            heads: RefCell::default(),
            head_arena: RefCell::default(),
            started: Instant::now(),
        })
    }

    /// The present table. Not to be kept over an await: what is decided with it is decided at once.
    pub(crate) fn table(&self) -> Guard<Arc<Table>> {
        self.shared.table.load()
    }

    pub(crate) fn request_id(&self) -> RequestId {
        let mut random = self.random.borrow_mut();
        RequestId::new(random.u128(..))
    }

    /// A number from 0 to 1.
    pub(crate) fn fraction(&self) -> f64 {
        self.random.borrow_mut().f64()
    }

    /// Picks a backend and counts the request in, in one step.
    pub(crate) fn pick(&self, pool: &Pool, tried: &[u64]) -> Option<Lease> {
        let (now, clock) = (Instant::now(), SystemTime::now());
        let upstreams = self.upstreams.borrow();
        let look = |at: usize| {
            let backend: &Backend = &pool.backends[at];
            let known = upstreams.get(&backend.key).map(|(_, known)| known);
            Candidate {
                in_flight: backend.load().requests(),
                latency_ms: known.and_then(|known| known.latency.at(now)),
                age: clock.duration_since(backend.since.into()).unwrap_or_default(),
                ejected: known.is_some_and(|known| known.failures.ejected(now)),
                tried: tried.contains(&backend.key),
            }
        };
        let at = load_balancer::pick(pool.backends.len(), look, &mut self.random.borrow_mut())?;
        Some(pool.backends[at].lease())
    }

    /// Notes something of a backend, unless it has left in the meantime.
    fn note(&self, backend: &Arc<Backend>, what: impl FnOnce(&mut UpstreamState)) {
        if !backend.is_gone() {
            let mut upstreams = self.upstreams.borrow_mut();
            what(&mut upstreams.entry(backend.key).or_insert_with(|| (Arc::clone(backend), UpstreamState::default())).1);
        }
    }

    /// An idle connection to the backend that was used within `max_idle`.
    pub(crate) fn checkout(&self, backend: &Backend, max_idle: Duration) -> Option<TcpStream> {
        let max_idle = max_idle.min(self.shared.config.times.idle);
        self.upstreams.borrow_mut().get_mut(&backend.key)?.1.checkout(Instant::now(), max_idle)
    }

    /// Keeps a connection for the next request.
    pub(crate) fn give_back(&self, backend: &Arc<Backend>, stream: TcpStream) {
        self.note(backend, |one| one.checkin(stream, Instant::now()));
    }

    pub(crate) fn connected(&self, backend: &Arc<Backend>) {
        self.note(backend, |one| one.failures.succeeded());
    }

    pub(crate) fn not_connected(&self, backend: &Arc<Backend>) {
        self.note(backend, |one| one.failures.failed(Instant::now()));
    }

    pub(crate) fn answered(&self, backend: &Arc<Backend>, took: Duration) {
        self.note(backend, |one| one.latency.add(took, Instant::now()));
    }

    pub(crate) fn count_request(&self) {
        self.budget.borrow_mut().request(self.started.elapsed().as_secs() + 60);
    }

    /// Takes one retry from the budget.
    pub(crate) fn may_retry(&self) -> bool {
        self.budget.borrow_mut().take(self.started.elapsed().as_secs() + 60)
    }

    /// Builds a head in this worker's buffer.
    pub(crate) fn head(&self, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        let mut text = self.heads.borrow_mut();
        text.clear();
        write(&mut text);
        let mut arena = self.head_arena.borrow_mut();
        if arena.capacity() - arena.len() < text.len() && !arena.try_reclaim(text.len()) {
            *arena = BytesMut::with_capacity(text.len().max(16 * 1024));
        }
        arena.extend_from_slice(&text);
        arena.split().freeze()
    }

    /// Where this worker counts.
    pub(crate) fn metrics(&self) -> &WorkerMetrics {
        &self.shared.worker_metrics[self.number]
    }

    /// Adds an access line.
    pub(crate) fn log(&self, ago: Duration, write: impl FnOnce(&str, &mut Vec<u8>)) {
        self.buffer.borrow_mut().add(ago, write);
    }

    /// A request has ended: someone who is held may have room now.
    pub(crate) fn request_ended(&self) {
        if !self.hold_queues.is_empty() {
            self.release();
        }
    }

    /// Lets go whom the table lets go.
    pub(crate) fn release(&self) {
        let table = self.table();
        self.hold_queues.release(|host| self.may_go(&table, host));
    }

    fn may_go(&self, table: &Table, host: &Hostname) -> usize {
        let Some(rule) = table.find(host) else { return usize::MAX };
        let pool = table.pool(&rule.app);
        let availability = pool.map_or(crate::routing::table::Availability::Missing, |pool| pool.availability);
        match admission(rule.state, availability, &self.shared.config.times) {
            Admission::Go => pool.map_or(0, |pool| admission::room(pool)),
            Admission::Hold(..) => 0,
            Admission::Refuse(_) => usize::MAX,
        }
    }

    /// The table has changed: forgets who left, and their idle connections with them; lets go whom it can.
    pub(crate) fn table_changed(&self) -> u64 {
        let generation = self.table().generation();
        self.upstreams.borrow_mut().retain(|_, (backend, _)| !backend.is_gone());
        self.release();
        generation
    }

    /// What is due a few times a second.
    pub(crate) fn tick(&self) {
        self.buffer.borrow_mut().flush();
        self.request_ended();
        let (now, max_idle) = (Instant::now(), self.shared.config.times.idle);
        self.upstreams.borrow_mut().values_mut().for_each(|(_, one)| one.sweep(now, max_idle));
    }
}
