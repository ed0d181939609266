//! `Record`: what one request was, from its arrival to its last byte; written as one access line when it is dropped.
//!
//! Owns the words of the line and that each request has exactly one, whatever way it ends. Must never hold a query string, a
//! header value other than the host, or a body: the line is kept and shipped.

use std::fmt::Display;
use std::io::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use model::Code;

use crate::backend::{Backend, Lease};
use crate::client::Client;
use crate::table::Rule;
use crate::worker::Worker;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With its whole answer.
    Whole,
    /// The client left.
    Left,
    /// The app broke off inside the answer.
    Broken,
    /// The app stopped sending inside the answer.
    Late,
}

impl End {
    fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Left => "client-left",
            Self::Broken => "app-broke-off",
            Self::Late => "app-too-slow",
        }
    }
}

/// The values of one access line.
pub struct Line<'a> {
    /// The instant of arrival, as RFC 3339.
    pub at: &'a str,
    /// The request's id.
    pub id: &'a str,
    /// Its method.
    pub method: &'a str,
    /// Its host, as understood.
    pub host: &'a str,
    /// Its path without the query.
    pub path: &'a str,
    /// The answer's status; 0: none.
    pub status: u16,
    /// Bytes of body received and sent.
    pub bytes: (u64, u64),
    /// Whose app.
    pub tenant: Option<&'a str>,
    /// App, environment, release, instance and zone.
    pub app: Option<[&'a dyn Display; 5]>,
    /// The client's address.
    pub client: SocketAddr,
    /// Time held, to connect, to the first byte, in all.
    pub times: [Duration; 4],
    /// How often it was sent again.
    pub retries: u32,
    /// The code of a page of ours.
    pub code: Option<Code>,
    /// How it ended.
    pub end: End,
}

impl Line<'_> {
    /// Writes the line in logfmt.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut print = |text: std::fmt::Arguments<'_>| out.write_fmt(text).expect("writing to memory can not fail");
        print(format_args!(
            "at={} id={} method={} host={} path=\"{}\" status={}",
            self.at,
            self.id,
            self.method,
            Escaped(self.host),
            Escaped(self.path),
            self.status
        ));
        print(format_args!(" bytes_in={} bytes={}", self.bytes.0, self.bytes.1));
        if let Some(tenant) = self.tenant {
            print(format_args!(" tenant={tenant}"));
        }
        if let Some([app, env, release, instance, zone]) = self.app {
            print(format_args!(" app={app} env={env} release={release} instance={instance} zone={zone}"));
        }
        let [queue, connect, first, all] = self.times.map(|time| time.as_micros());
        print(format_args!(" client={} queue_ms={} connect_ms={}", self.client, Millis(queue), Millis(connect)));
        print(format_args!(" first_byte_ms={} duration_ms={} retries={}", Millis(first), Millis(all), self.retries));
        if let Some(code) = self.code {
            print(format_args!(" code={code}"));
        }
        print(format_args!(" end={}\n", self.end.as_str()));
    }
}

/// Microseconds, shown as milliseconds.
struct Millis(u128);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// Text that can not break out of its field.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(|c: char| !c.is_ascii_graphic() || matches!(c, '"' | '\\')) {
            f.write_str(&rest[..at])?;
            let c = rest[at..].chars().next().expect("found at this place");
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                other => write!(f, "{}", other.escape_unicode())?,
            }
            rest = &rest[at + c.len_utf8()..];
        }
        f.write_str(rest)
    }
}

/// The id of one request: 96 bits of chance, in hexadecimal.
#[derive(Debug, Clone, Copy)]
pub struct RequestId([u8; 24]);

impl RequestId {
    /// Makes one from two random numbers.
    pub fn new(high: u64, low: u64) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let bits = u128::from(high) << 64 | u128::from(low);
        let mut text = [0; 24];
        for (at, digit) in text.iter_mut().enumerate() {
            *digit = DIGITS[(bits >> (at * 4)) as usize & 15];
        }
        Self(text)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }
}

#[derive(Debug)]
pub(crate) struct Record {
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

impl Record {
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

    fn write(&self, now: Instant) {
        let Self { rule, backend, .. } = self;
        let duration = now.saturating_duration_since(self.arrived);
        self.worker.meter().request(self.status, duration, self.retries, (self.received, self.sent), self.code.is_some());
        self.worker.log(duration, |at, out| {
            let app = match (rule, backend) {
                (Some(rule), Some(backend)) => {
                    Some([&rule.app.app as &dyn Display, &rule.app.env, &backend.release, &backend.id, &backend.zone])
                }
                (Some(rule), None) => Some([&rule.app.app as &dyn Display, &rule.app.env, &"-", &"-", &"-"]),
                _ => None,
            };
            let line = Line {
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

impl Drop for Record {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_that_nothing_breaks_out_of() {
        let id = RequestId::new(1, 2);
        let line = Line {
            at: "2026-01-02T03:04:05.678Z",
            id: id.as_str(),
            method: "GET",
            host: "shop.acme.localhost",
            path: "/a\"b\\c\nd",
            status: 200,
            bytes: (1, 2),
            tenant: Some("acme"),
            app: Some([&"shop", &"prod", &"v3", &"i-1", &"a"]),
            client: "10.0.0.1:99".parse().expect("an address"),
            times: [0, 250, 1500, 2000].map(Duration::from_micros),
            retries: 1,
            code: Some(Code::BadAnswer),
            end: End::Whole,
        };
        let mut out = Vec::new();
        line.write(&mut out);
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "at=2026-01-02T03:04:05.678Z id=200000000000000010000000 method=GET host=shop.acme.localhost path=\"/a\\\"b\\\\c\\u{a}d\" status=200 bytes_in=1 bytes=2 \
             tenant=acme app=shop env=prod release=v3 instance=i-1 zone=a client=10.0.0.1:99 queue_ms=0.000 connect_ms=0.250 first_byte_ms=1.500 \
             duration_ms=2.000 retries=1 code=SW-H502 end=whole\n"
        );
    }
}
