//! One probe, and what its failure means in words.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use model::health::Probe;
use model::{Code, Hostname, ReleaseNumber};
use tokio::net::TcpStream;

use super::listening::is_open;
use super::{Cause, Target};

/// How much of an answer is looked at.
const BODY: usize = 64 * 1024;
/// What the default check of web processes asks for.
const WEB_PATH: &str = "/";
/// What to do about a web process that is not meant to speak HTTP.
const NOT_HTTP: &str = "one that is not meant to says `health: tcp` in app.yaml";
/// How much of a wrong answer is shown.
const SHOWN: usize = 200;

/// How a probe failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing accepts connections.
    Refused,
    /// No answer in time.
    TimedOut(Duration),
    /// The connection broke or the answer was not HTTP.
    Broken,
    /// A web process that declares no check answered in something else than HTTP.
    NotHttp,
    /// It closed the connection before the end of an answer.
    Closed,
    /// It took the connection and did not answer in its time.
    NoAnswer(Duration),
    /// It failed at what those that serve meanwhile do.
    Worse {
        /// The status of its answer.
        status: u16,
        /// The beginning of its answer.
        body: String,
        /// The release that serves.
        release: ReleaseNumber,
        /// The status of that one's answer.
        serving: u16,
    },
    /// Another status than wanted.
    Status {
        /// The path.
        path: String,
        /// What came.
        status: u16,
        /// The beginning of the answer.
        body: String,
    },
    /// The wanted text is not in the answer.
    NoText {
        /// The path.
        path: String,
        /// What was wanted.
        text: String,
    },
    /// The command did not exit with 0.
    Exit {
        /// Its code.
        code: i64,
        /// The beginning of its output.
        output: String,
    },
    /// The engine could not run the command.
    NotRun,
}

/// Probes once.
pub(super) async fn run(target: &Target, probe: &Probe, limit: Duration) -> Result<(), Fault> {
    let attempt = async {
        match probe {
            // Once healthy; its start is asked for its page by `web`.
            Probe::Tcp | Probe::Web { .. } => TcpStream::connect(target.address).await.map(drop).map_err(|_| Fault::Refused),
            Probe::Http { path, status, text, host } => {
                let host = host.as_ref().map_or("localhost", |host| host.as_str());
                let is_enough = |got| text.is_none() && (status.0..=status.1).contains(&got);
                match get(target.address, host, path, is_enough).await {
                    Ok(answer) => judge(&answer, path, *status, text.as_deref()),
                    Err(HttpFault::Refused) => Err(Fault::Refused),
                    Err(HttpFault::NotHttp | HttpFault::Closed) => Err(Fault::Broken),
                }
            }
            Probe::Exec { command } => {
                let argv = ["sh", "-c", command].map(str::to_owned).to_vec();
                match target.runtime.exec(&target.container, argv).await {
                    Ok((0, _)) => Ok(()),
                    Ok((code, output)) => Err(Fault::Exit { code, output: shown(&output) }),
                    Err(_) => Err(Fault::NotRun),
                }
            }
        }
    };
    tokio::time::timeout(limit, attempt).await.unwrap_or(Err(Fault::TimedOut(limit)))
}

/// Asks a starting web process for its first page.
pub(super) async fn web(target: &Target, host: Option<&Hostname>, limit: Duration) -> Result<(), Fault> {
    let host = host.map_or("localhost", |host| host.as_str());
    let asking = get(target.address, host, WEB_PATH, |_| false);
    let answer = match tokio::time::timeout(limit, asking).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(HttpFault::Refused)) => return Err(Fault::Refused),
        Ok(Err(HttpFault::NotHttp)) => return Err(Fault::NotHttp),
        Ok(Err(HttpFault::Closed)) => return Err(Fault::Closed),
        Err(_) => return Err(Fault::NoAnswer(limit)),
    };
    if answer.status < 500 {
        return Ok(());
    }
    match target.serving.status(host, WEB_PATH).await {
        Some((release, serving)) if serving < 500 => {
            Err(Fault::Worse { status: answer.status, body: shown(&String::from_utf8_lossy(&answer.body)), release, serving })
        }
        // An app whose first page fails anyway, or that is not served by anything better.
        _ => Ok(()),
    }
}

/// The status with which an instance answers `GET path`; none when it does not, within a second.
pub(super) async fn status_of(address: SocketAddr, host: &str, path: &str) -> Option<u16> {
    Some(tokio::time::timeout(Duration::from_secs(1), get(address, host, path, |_| true)).await.ok()?.ok()?.status)
}

/// An answer: its status, and the beginning of its body, read to its end or to `BODY` bytes.
struct Answer {
    status: u16,
    body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HttpFault {
    Refused,
    /// What came is not HTTP.
    NotHttp,
    /// The connection was closed before the end of an answer.
    Closed,
}

/// Asks for a page; its body is read unless its status is enough.
async fn get(address: SocketAddr, host: &str, path: &str, is_enough: impl Fn(u16) -> bool) -> Result<Answer, HttpFault> {
    // A server that speaks first is unexpected rather than unreadable.
    let is_end = |error: &hyper::Error| {
        let is_io = std::error::Error::source(error).is_some_and(|cause| cause.is::<std::io::Error>());
        error.is_incomplete_message() || error.is_closed() || error.is_canceled() || is_io
    };
    let fault = |error: hyper::Error| if is_end(&error) { HttpFault::Closed } else { HttpFault::NotHttp };
    let stream = TcpStream::connect(address).await.map_err(|_| HttpFault::Refused)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(fault)?;
    let request = http::Request::get(path)
        .header(http::header::HOST, host)
        .header(http::header::USER_AGENT, "slipway-health")
        .header(http::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| HttpFault::NotHttp)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(fault)?;
        let status = response.status().as_u16();
        let (mut incoming, mut body) = (response.into_body(), Vec::new());
        if is_enough(status) {
            return Ok(Answer { status, body });
        }
        while let Some(frame) = incoming.frame().await {
            if let Ok(data) = frame.map_err(fault)?.into_data() {
                let room = BODY.saturating_sub(body.len());
                body.extend_from_slice(&data[..data.len().min(room)]);
                if body.len() >= BODY {
                    break;
                }
            }
        }
        Ok(Answer { status, body })
    };
    let (mut exchange, mut connection) = (std::pin::pin!(exchange), std::pin::pin!(connection));
    tokio::select! {
        // Its end must not hide an answer that came just before, and it alone knows why there is none.
        biased;
        ended = &mut connection => match (exchange.await, ended) {
            (Ok(answer), _) => Ok(answer),
            (Err(_), Err(error)) => Err(fault(error)),
            (Err(error), Ok(())) => Err(error),
        },
        result = &mut exchange => result,
    }
}

/// Whether an answer is what an explicit check wants.
fn judge(answer: &Answer, path: &str, wanted: (u16, u16), text: Option<&str>) -> Result<(), Fault> {
    let body = String::from_utf8_lossy(&answer.body);
    match text {
        _ if !(wanted.0..=wanted.1).contains(&answer.status) => {
            Err(Fault::Status { path: path.into(), status: answer.status, body: shown(&body) })
        }
        Some(text) if !body.contains(text) => Err(Fault::NoText { path: path.into(), text: text.into() }),
        _ => Ok(()),
    }
}

/// One printable line of what came back.
fn shown(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = line.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    if line.chars().count() > SHOWN { format!("{short}…") } else { short }
}

impl Fault {
    /// The words, with what listens in the container when that is known.
    pub fn explain(&self, port: u16, bound: Option<&[SocketAddr]>, age: Duration) -> Cause {
        let after = format!("{} s after its start", age.as_secs());
        let cause = |code, reason| Cause { code, reason };
        match (self, bound) {
            (Self::Refused, Some([])) => {
                let what = format!("nothing listens on port {port} {after}; the app must listen on 0.0.0.0:$PORT");
                cause(Code::NotListening, what)
            }
            (Self::Refused, Some(bound)) => {
                let (open, closed): (Vec<&SocketAddr>, Vec<&SocketAddr>) = bound.iter().partition(|address| is_open(address));
                let here = |list: &[&SocketAddr]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let ports = |list: &[&SocketAddr]| list.iter().map(|a| a.port().to_string()).collect::<Vec<_>>().join(", ");
                if closed.iter().any(|address| address.port() == port) && !open.iter().any(|address| address.port() == port) {
                    let what = format!("it listens on {} only, which nothing outside can reach; listen on 0.0.0.0:{port}", here(&closed));
                    cause(Code::WrongPort, what)
                } else if open.iter().any(|address| address.port() == port) {
                    cause(Code::NotListening, format!("it listens on port {port} and does not accept connections"))
                } else if open.is_empty() {
                    cause(Code::WrongPort, format!("it listens on {} only; listen on 0.0.0.0:$PORT, which is {port}", here(&closed)))
                } else {
                    cause(Code::WrongPort, format!("it listens on {}, not on $PORT, which is {port}", ports(&open)))
                }
            }
            (Self::Refused, None) => cause(Code::NotListening, format!("port {port} refuses connections {after}")),
            (Self::TimedOut(limit), _) => cause(Code::Unhealthy, format!("its health check had no answer within {} s", limit.as_secs())),
            (Self::Broken, _) => cause(Code::Unhealthy, format!("it answered on port {port}, but not in HTTP")),
            (Self::NotHttp, _) => cause(Code::Unhealthy, format!("it answers on port {port}, but not in HTTP; {NOT_HTTP}")),
            (Self::Closed, _) => cause(
                Code::Unhealthy,
                format!("it takes connections on port {port} and closes them without an answer to GET {WEB_PATH}; {NOT_HTTP}"),
            ),
            (Self::NoAnswer(limit), _) => {
                let what = format!(
                    "it takes connections on port {port}, but has not answered GET {WEB_PATH} within {} s; {NOT_HTTP}",
                    limit.as_secs()
                );
                cause(Code::Unhealthy, what)
            }
            (Self::Worse { status, body, release, serving }, _) => {
                let what = format!("GET {WEB_PATH} answered {status}, where {release} answers {serving}: {body}");
                cause(Code::Unhealthy, what.trim_end_matches(": ").into())
            }
            (Self::Status { path, status, body }, _) if body.is_empty() => {
                cause(Code::Unhealthy, format!("GET {path} answered {status} with an empty body"))
            }
            (Self::Status { path, status, body }, _) => cause(Code::Unhealthy, format!("GET {path} answered {status}: {body}")),
            (Self::NoText { path, text }, _) => cause(Code::Unhealthy, format!("the answer to GET {path} does not hold `{text}`")),
            (Self::Exit { code, output }, _) => {
                cause(Code::Unhealthy, format!("its health command exited with {code}: {output}").trim_end_matches(": ").into())
            }
            (Self::NotRun, _) => cause(Code::Unhealthy, "its health command could not be run".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(bound: &[&str]) -> (Code, String) {
        let bound: Vec<SocketAddr> = bound.iter().map(|text| text.parse().expect("an address")).collect();
        let cause = Fault::Refused.explain(8080, Some(&bound), Duration::from_secs(60));
        (cause.code, cause.reason)
    }

    #[test]
    fn a_refused_connection_says_what_listens_instead() {
        assert_eq!(say(&[]).0, Code::NotListening);
        assert_eq!(say(&["0.0.0.0:5000"]), (Code::WrongPort, "it listens on 5000, not on $PORT, which is 8080".into()));
        let (code, words) = say(&["127.0.0.1:8080"]);
        assert!(code == Code::WrongPort && words.starts_with("it listens on 127.0.0.1:8080 only"), "{words}");
        let (code, words) = say(&["127.0.0.1:3000"]);
        assert!(code == Code::WrongPort && words.starts_with("it listens on 127.0.0.1:3000 only"), "{words}");
    }
}
