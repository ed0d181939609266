//! Proofs of domains: TXT records, asked of the name servers of this machine.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use manager::DomainProof;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// How long one name server may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The name servers of `/etc/resolv.conf`, read at each look-up.
pub struct SystemDns {
    resolv_conf: std::path::PathBuf,
    port: u16,
}

impl Default for SystemDns {
    fn default() -> Self {
        Self { resolv_conf: "/etc/resolv.conf".into(), port: 53 }
    }
}

#[async_trait]
impl DomainProof for SystemDns {
    async fn has_txt(&self, name: &str, value: &str) -> bool {
        match self.txt(name).await {
            Ok(records) => records.iter().any(|record| record == value),
            Err(error) => {
                tracing::warn!(name, error = format!("{error:#}"), "a proof of a domain could not be looked up");
                false
            }
        }
    }
}

impl SystemDns {
    /// The TXT records of a name, by the first name server that answers.
    async fn txt(&self, name: &str) -> Result<Vec<String>> {
        let text = tokio::fs::read_to_string(&self.resolv_conf).await.context("could not read the name servers of this machine")?;
        let servers = text.lines().filter_map(|line| line.strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok());
        let mut last = anyhow::anyhow!("this machine has no name server");
        for server in servers {
            match tokio::time::timeout(TIMEOUT, ask(SocketAddr::new(server, self.port), name)).await {
                Ok(Ok(records)) => return Ok(records),
                Ok(Err(error)) => last = error,
                Err(_) => last = anyhow::anyhow!("{server} did not answer in {} s", TIMEOUT.as_secs()),
            }
        }
        Err(last)
    }
}

async fn ask(server: SocketAddr, name: &str) -> Result<Vec<String>> {
    let id = u16::from_be_bytes(store::random::bytes::<2>());
    let mut query = Packet::new_query(id);
    query.set_flags(PacketFlag::RECURSION_DESIRED);
    query.questions.push(Question::new(Name::new(name)?, QTYPE::TYPE(TYPE::TXT), QCLASS::CLASS(CLASS::IN), false));
    let query = query.build_bytes_vec()?;
    // A port of its own for each question, beside the id: an answer can not be guessed.
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(&query).await?;
    let mut answer = vec![0; 4096];
    let length = socket.recv(&mut answer).await?;
    answer.truncate(length);
    if Packet::parse(&answer)?.has_flags(PacketFlag::TRUNCATION) {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_u16(u16::try_from(query.len())?).await?;
        stream.write_all(&query).await?;
        answer = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut answer).await?;
    }
    let answer = Packet::parse(&answer)?;
    if answer.id() != id || !answer.has_flags(PacketFlag::RESPONSE) {
        bail!("{server} answered another question");
    }
    if !matches!(answer.rcode(), RCODE::NoError | RCODE::NameError) {
        bail!("{server} answered {:?}", answer.rcode());
    }
    let texts = answer.answers.iter().filter_map(|record| match &record.rdata {
        RData::TXT(text) => String::try_from(text.clone()).ok(),
        _ => None,
    });
    Ok(texts.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::TXT;
    use tokio::net::TcpListener;

    /// A name server for one question; over UDP it says that the answer is too long, when there is a TCP listener for it.
    async fn serve(udp: UdpSocket, tcp: Option<TcpListener>, text: &'static str) {
        let mut query = vec![0; 512];
        let (length, from) = udp.recv_from(&mut query).await.expect("a query");
        udp.send_to(&answer(&query[..length], text, tcp.is_some()), from).await.expect("an answer");
        if let Some(tcp) = tcp {
            let (mut stream, _) = tcp.accept().await.expect("a connection");
            let mut query = vec![0; stream.read_u16().await.expect("a length").into()];
            stream.read_exact(&mut query).await.expect("a query");
            let answer = answer(&query, text, false);
            stream.write_u16(answer.len() as u16).await.expect("a length");
            stream.write_all(&answer).await.expect("an answer");
        }
    }

    fn answer(query: &[u8], text: &'static str, truncated: bool) -> Vec<u8> {
        let query = Packet::parse(query).expect("a query");
        let mut answer = Packet::new_reply(query.id());
        answer.set_flags(PacketFlag::RESPONSE);
        answer.questions = query.questions.clone();
        if truncated {
            answer.set_flags(PacketFlag::TRUNCATION);
        } else {
            let txt = TXT::new().with_string("v=spf1 -all").expect("a text");
            let name = query.questions[0].qname.clone();
            answer.answers.push(ResourceRecord::new(name.clone(), CLASS::IN, 60, RData::TXT(txt)));
            let txt = TXT::new().with_string(text).expect("a text");
            answer.answers.push(ResourceRecord::new(name, CLASS::IN, 60, RData::TXT(txt)));
        }
        answer.build_bytes_vec().expect("a packet")
    }

    /// A port that is free for both: the one that UDP gets may be taken for TCP by another program.
    async fn sockets_of_one_port() -> (UdpSocket, TcpListener) {
        for _ in 0..100 {
            let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().expect("an address")).await {
                return (udp, tcp);
            }
        }
        panic!("no port was free for both UDP and TCP in 100 tries");
    }

    #[tokio::test]
    async fn a_record_is_found_over_udp_and_over_tcp() {
        let dir = tempfile::tempdir().expect("a directory");
        let resolv_conf = dir.path().join("resolv.conf");
        std::fs::write(&resolv_conf, "search example.com\nnameserver 127.0.0.1\n").expect("a file");
        for over_tcp in [false, true] {
            let (udp, tcp) = sockets_of_one_port().await;
            let address = udp.local_addr().expect("an address");
            let tcp = over_tcp.then_some(tcp);
            let server = tokio::spawn(serve(udp, tcp, "slipway=abc"));
            let dns = SystemDns { resolv_conf: resolv_conf.clone(), port: address.port() };
            let records = dns.txt("_slipway.www.example.com").await.expect("an answer");
            assert_eq!(records, ["v=spf1 -all", "slipway=abc"]);
            server.await.expect("the name server");
        }
        let nobody = UdpSocket::bind("127.0.0.1:0").await.expect("a socket").local_addr().expect("an address");
        let dns = SystemDns { resolv_conf, port: nobody.port() };
        assert!(!dns.has_txt("_slipway.www.example.com", "slipway=abc").await, "without a name server nothing is proven");
    }
}
