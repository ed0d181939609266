//! `AccessLine`: one line of the access log, in logfmt.
//!
//! Owns the fields of the line and their escaping. Must never hold a query string, a header value other than the host, or a body:
//! the line is kept and shipped. Pure.

use std::fmt::Display;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use model::Code;

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
pub struct AccessLine<'a> {
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

impl AccessLine<'_> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::request_id::RequestId;

    #[test]
    fn one_line_that_nothing_breaks_out_of() {
        let id = RequestId::new(1 << 64 | 2);
        let line = AccessLine {
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
