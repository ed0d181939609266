//! `Client`: one connection of one client, as the parts that serve it share it.
//!
//! Owns the socket and what was learned of the requests on it: arrivals in order, what it waits for and since when. Must
//! never be shared between threads; it lives and dies with its connection's task.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

use crate::config::Times;
use crate::downstream::request_head::{Fault, Glimpse, RequestHead};

/// One request head, in the order in which heads came.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Instant,
    pub(crate) verdict: Result<RequestHead, Refused>,
}

/// A request that no app gets.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) fault: Fault,
    pub(crate) seen: Glimpse,
}

/// What the connection's task is to do when its timer rings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing yet.
    Nothing,
    /// The head did not come in time: answer 408.
    SlowHead,
    /// Discard uses the connection: end it.
    Idle,
    /// The client does not read: cut it off.
    Stalled,
}

#[derive(Debug)]
pub(crate) struct Client {
    /// Borrowed for one call at a time.
    pub(crate) stream: RefCell<TcpStream>,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) arrivals: RefCell<VecDeque<Arrival>>,
    /// Requests being served.
    pub(crate) busy: Cell<u32>,
    /// Requests served.
    pub(crate) served: Cell<u64>,
    pub(crate) idle_since: Cell<Instant>,
    pub(crate) head_since: Cell<Option<Instant>>,
    stalled_since: Cell<Option<Instant>>,
    /// The head is too slow: the filter is to refuse it.
    pub(crate) slow: Cell<bool>,
    /// What was wrong with the body that is being read.
    pub(crate) body_fault: Cell<Option<Fault>>,
    /// The app did not switch protocols: the filter may read the next head.
    pub(crate) stays_http: Cell<bool>,
    /// Wakes the filter out of its wait for that decision: the next head may be buffered already, with nothing more to come from the socket.
    pub(crate) waiting: RefCell<Option<Waker>>,
    /// The client may still be sending when the connection ends.
    pub(crate) unread: Cell<bool>,
}

impl Client {
    pub(crate) fn new(stream: TcpStream, peer: SocketAddr, local: SocketAddr, now: Instant) -> Self {
        Self {
            stream: RefCell::new(stream),
            peer,
            local,
            arrivals: RefCell::default(),
            busy: Cell::new(0),
            served: Cell::new(0),
            idle_since: Cell::new(now),
            head_since: Cell::new(None),
            stalled_since: Cell::new(None),
            slow: Cell::new(false),
            body_fault: Cell::new(None),
            stays_http: Cell::new(false),
            waiting: RefCell::new(None),
            unread: Cell::new(false),
        }
    }

    /// A WebSocket was asked for and refused: the connection goes on as before.
    pub(crate) fn stay_http(&self) {
        self.stays_http.set(true);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// Whether an answer is still owed.
    pub(crate) fn is_asked(&self) -> bool {
        self.busy.get() > 0 || !self.arrivals.borrow().is_empty()
    }

    /// What is overdue at `now`.
    pub(crate) fn due(&self, now: Instant, times: &Times) -> Due {
        let over = |since: Instant, limit| now.saturating_duration_since(since) >= limit;
        if self.stalled_since.get().is_some_and(|since| over(since, times.client_read)) {
            Due::Stalled
        } else if self.head_since.get().is_some_and(|since| over(since, times.head)) {
            Due::SlowHead
        } else if self.busy.get() == 0 && self.head_since.get().is_none() {
            let limit = if self.served.get() == 0 { times.head } else { times.keep_alive };
            if over(self.idle_since.get(), limit) { Due::Idle } else { Due::Nothing }
        } else {
            Due::Nothing
        }
    }

    /// Reads into `buf`; 0: the client has ended its side.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, buf))?;
        Poll::Ready(Ok(buf.filled().len() - before))
    }

    /// Reads to the end of `held`.
    pub(crate) fn poll_read_more(&self, cx: &mut Context<'_>, held: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        poll_read_buf(Pin::new(&mut *self.stream.borrow_mut()), cx, held)
    }

    /// Writes some of `pieces`, and watches how long the client does not read.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let stream = self.stream.borrow();
        loop {
            match stream.poll_write_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => {
                    if self.stalled_since.get().is_none() {
                        self.stalled_since.set(Some(Instant::now()));
                    }
                    return Poll::Pending;
                }
            }
            match stream.try_write_vectored(pieces) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    self.stalled_since.set(None);
                    return Poll::Ready(result);
                }
            }
        }
    }

    /// Tells the client that nothing more will come.
    pub(crate) fn end_write(&self) {
        // Fails only when the client is gone already, which is what it is for.
        let _ = rustix::net::shutdown(&*self.stream.borrow(), rustix::net::Shutdown::Write);
    }
}
