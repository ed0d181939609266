//! `AccessRecord`: what one request was, from its arrival to its last byte; written as one access line when it is dropped.
//!
//! Owns the words of the line and that each request has exactly one, whatever way it ends. Must never hold a query string, a
//! header value other than the host, or a body: the line is kept and shipped.

use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use model::Code;

use crate::downstream::client::Client;
use crate::downstream::request_head::Glimpse;
use crate::observe::access_line::{AccessLine, End};
use crate::observe::request_id::RequestId;
use crate::routing::backend::{Backend, Lease};
use crate::routing::table::Rule;
use crate::worker::Worker;

#[derive(Debug)]
pub(crate) struct AccessRecord {
    worker: Rc<Worker>,
    client: Rc<Client>,
    pub(crate) id: RequestId,
    arrived: Instant,
    pub(crate) method: Method,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) rule: Option<Arc<Rule>>,
    /// The instance it was sent to last.
    pub(crate) backend: Option<Arc<Backend>>,
    /// It is in flight there.
    pub(crate) lease: Option<Lease>,
    pub(crate) queue: Duration,
    pub(crate) connect: Duration,
    pub(crate) first_byte: Duration,
    pub(crate) retries: u32,
    pub(crate) code: Option<Code>,
    pub(crate) end: End,
}

impl AccessRecord {
    pub(crate) fn new(worker: &Rc<Worker>, client: &Rc<Client>, arrived: Instant, method: Method) -> Self {
        client.busy.set(client.busy.get() + 1);
        Self {
            worker: Rc::clone(worker),
            client: Rc::clone(client),
            id: worker.request_id(),
            arrived,
            method,
            host: String::new(),
            path: String::new(),
            status: 0,
            received: 0,
            sent: 0,
            rule: None,
            backend: None,
            lease: None,
            queue: Duration::ZERO,
            connect: Duration::ZERO,
            first_byte: Duration::ZERO,
            retries: 0,
            code: None,
            end: End::Left,
        }
    }

    /// The request was refused: this much of it was read. hyper has seen a stand-in.
    pub(crate) fn seen(&mut self, seen: Glimpse) {
        self.method = seen.method.unwrap_or_else(|| Method::from_bytes(b"-").expect("a hyphen is a token"));
        (self.host, self.path) = (seen.host, seen.path);
    }

    fn write(&self, now: Instant) {
        let Self { rule, backend, .. } = self;
        let duration = now.saturating_duration_since(self.arrived);
        self.worker.metrics().request(self.status, duration, self.retries, (self.received, self.sent), self.code.is_some());
        self.worker.log(duration, |at, out| {
            let app = match (rule, backend) {
                (Some(rule), Some(backend)) => {
                    Some([&rule.app.app as &dyn Display, &rule.app.env, &backend.release, &backend.id, &backend.zone])
                }
                (Some(rule), None) => Some([&rule.app.app as &dyn Display, &rule.app.env, &"-", &"-", &"-"]),
                _ => None,
            };
            let line = AccessLine {
                at,
                id: self.id.as_str(),
                method: self.method.as_str(),
                host: &self.host,
                path: &self.path,
                status: self.status,
                bytes: (self.received, self.sent),
                tenant: rule.as_ref().map(|rule| rule.app.tenant.as_str()),
                app,
                client: self.client.peer,
                times: [self.queue, self.connect, self.first_byte, duration],
                retries: self.retries,
                code: self.code,
                end: self.end,
            };
            line.write(out);
        });
    }
}

impl Drop for AccessRecord {
    fn drop(&mut self) {
        let now = Instant::now();
        self.client.busy.set(self.client.busy.get() - 1);
        self.client.served.set(self.client.served.get() + 1);
        self.client.idle_since.set(now);
        self.write(now);
        self.lease = None;
        self.worker.request_ended();
    }
}
