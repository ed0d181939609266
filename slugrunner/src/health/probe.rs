//! One probe, and what its failure means in words.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use model::Code;
use model::health::Probe;
use tokio::net::TcpStream;

use super::listening::is_open;
use super::{Cause, Target};

/// How much of an answer is looked at.
const BODY: usize = 64 * 1024;
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
            Probe::Tcp => TcpStream::connect(target.address).await.map(drop).map_err(|_| Fault::Refused),
            Probe::Http { path, status, text, host } => {
                let host = host.as_ref().map_or("localhost", |host| host.as_str());
                get(target.address, host, path, *status, text.as_deref()).await
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

async fn get(address: SocketAddr, host: &str, path: &str, wanted: (u16, u16), text: Option<&str>) -> Result<(), Fault> {
    let stream = TcpStream::connect(address).await.map_err(|_| Fault::Refused)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|_| Fault::Broken)?;
    let request = http::Request::get(path)
        .header(http::header::HOST, host)
        .header(http::header::USER_AGENT, "slipway-health")
        .header(http::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| Fault::Broken)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|_| Fault::Broken)?;
        let status = response.status().as_u16();
        let accepted = (wanted.0..=wanted.1).contains(&status);
        if accepted && text.is_none() {
            return Ok(());
        }
        let mut body = response.into_body();
        let mut bytes = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data() {
                let room = BODY.saturating_sub(bytes.len());
                bytes.extend_from_slice(&data[..data.len().min(room)]);
                if bytes.len() >= BODY {
                    break;
                }
            }
        }
        let body = String::from_utf8_lossy(&bytes);
        match text {
            _ if !accepted => Err(Fault::Status { path: path.into(), status, body: shown(&body) }),
            Some(text) if !body.contains(text) => Err(Fault::NoText { path: path.into(), text: text.into() }),
            _ => Ok(()),
        }
    };
    // The connection is only driven: its end must not hide an answer that came just before.
    let driven = async {
        drop(connection.await);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = exchange => result,
        () = driven => Err(Fault::Broken),
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
