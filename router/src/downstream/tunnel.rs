//! `Tunnel`: a WebSocket, byte for byte, after the app has answered 101.
//!
//! Owns both connections until one of them ends, nothing happens for too long, or the instance leaves the table: then both
//! sides are told 1001 between two frames, spread over the drain's time so that not all clients come back at once. Must never
//! look into frames.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::downstream::client::Client;
use crate::downstream::websocket_frames::{Frames, GOING_AWAY, GOING_AWAY_MASKED};
use crate::observe::access_line::End;
use crate::observe::access_record::AccessRecord;
use crate::read_buffer::ReadBuffer;
use crate::upstream::upstream_conn::UpstreamConn;
use crate::worker::Worker;

/// How long one side may linger after the other has ended, or after it was told to go.
const LINGER: Duration = Duration::from_secs(2);

/// Where an exchange leaves the tunnel for its connection's task, which runs it once hyper has let go of the socket.
pub(crate) type TunnelSlot = RefCell<Option<Tunnel>>;

#[derive(Debug)]
pub(crate) struct Tunnel {
    conn: UpstreamConn,
    record: AccessRecord,
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    pending: Bytes,
    frames: Frames,
    /// The sender has ended.
    ended: bool,
    /// The receiver was told so.
    shut: bool,
    /// The closing frame is on its way: nothing more of the sender passes.
    closing: bool,
    passed: u64,
}

impl Way {
    /// Moves what can be moved; true: something did.
    fn go(
        &mut self,
        cx: &mut Context<'_>,
        read_buffer: &ReadBuffer,
        from: &mut TcpStream,
        to: &TcpStream,
        close: Option<&'static [u8]>,
    ) -> io::Result<bool> {
        let mut moved = false;
        loop {
            if let (Some(frame), false, true) = (close, self.closing, self.pending.is_empty() && self.frames.is_between()) {
                self.pending = Bytes::from_static(frame);
                self.closing = true;
            }
            while !self.pending.is_empty() {
                let Poll::Ready(ready) = to.poll_write_ready(cx) else { return Ok(moved) };
                ready?;
                match to.try_write(&self.pending) {
                    Ok(len) => {
                        self.pending.advance(len);
                        self.passed += len as u64;
                        moved = true;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            if self.ended {
                if !self.shut {
                    self.shut = true;
                    // Fails only when that side is gone, which its own direction finds out.
                    let _ = rustix::net::shutdown(to, rustix::net::Shutdown::Write);
                }
                return Ok(moved);
            }
            let Poll::Ready(more) = read_buffer.poll_read(cx, from) else { return Ok(moved) };
            let more = more?;
            self.ended = more.is_empty();
            moved = true;
            if !self.closing {
                self.take(more, close.is_some());
            }
        }
    }

    /// Queues what was read; when the tunnel is to end, only up to the end of the present frame.
    fn take(&mut self, more: Bytes, ending: bool) {
        let mut copy = self.frames.clone();
        match copy.finish_frame(&more).filter(|_| ending) {
            Some(at) => {
                self.frames = copy;
                self.pending = more.slice(..at);
            }
            None => {
                self.frames.pass(&more);
                self.pending = more;
            }
        }
    }
}

impl Tunnel {
    pub(crate) fn new(conn: UpstreamConn, mut record: AccessRecord) -> Self {
        record.lease = record.lease.take().map(crate::routing::backend::Lease::into_tunnel);
        Self { conn, record }
    }

    /// Runs to the end. `rest` is what the client sent before the app answered.
    pub(crate) async fn run(self, worker: &Rc<Worker>, client: &Client, rest: Vec<u8>) {
        let Self { mut conn, mut record } = self;
        let times = &worker.shared.config.times;
        let (mut up, mut down) = (Way::default(), Way::default());
        up.take(Bytes::from(rest), false);
        down.take(std::mem::take(&mut conn.input), false);
        let leaving = record.backend.as_ref().map(|backend| backend.leaving().clone()).unwrap_or_default();
        let mut leaving = pin!(leaving.cancelled_owned());
        let mut timer = pin!(sleep_until(Instant::now() + times.quiet));
        let (mut last, mut close_at, mut end_at) = (Instant::now(), None, None);
        let mut told = false;
        let result = poll_fn(|cx| {
            loop {
                if close_at.is_none() && leaving.as_mut().poll(cx).is_ready() {
                    close_at = Some(Instant::now() + times.tunnel_drain.mul_f64(worker.fraction()));
                }
                let now = Instant::now();
                told |= close_at.is_some_and(|at: Instant| at <= now);
                let moved_up =
                    up.go(cx, &worker.read_buffer, &mut client.stream.borrow_mut(), &conn.stream, told.then_some(GOING_AWAY_MASKED))?;
                let moved_down = down.go(cx, &worker.read_buffer, &mut conn.stream, &client.stream.borrow(), told.then_some(GOING_AWAY))?;
                if moved_up || moved_down {
                    last = now;
                }
                if up.shut && down.shut {
                    return Poll::Ready(Ok(()));
                }
                if up.ended || down.ended || told {
                    end_at.get_or_insert(now + LINGER);
                }
                let next =
                    [Some(last + times.quiet), close_at.filter(|_| !told), end_at].into_iter().flatten().min().expect("one is always set");
                if next <= now && (end_at.is_some_and(|at| at <= now) || last + times.quiet <= now) {
                    return Poll::Ready(Ok(()));
                }
                timer.as_mut().reset(next);
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await;
        let result: io::Result<()> = result;
        record.end = if result.is_ok() { End::Whole } else { End::Broken };
        (record.received, record.sent) = (up.passed, down.passed);
    }
}
