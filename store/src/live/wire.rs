//! What crosses the socket between a tree and a role in another process: JSON, each piece with its length before it.
//!
//! The number in the socket's name is that of this format: two that do not speak it do not meet.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{LiveError, Node, Op};

/// The name of the socket, in the folder of the server's sockets.
pub const SOCKET: &str = "coordination-1.sock";
/// Longest piece: all of a large tree.
const MOST: usize = 256 << 20;

/// What is asked. The id of a watch or a session is that of the request that opened it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    Scan(String),
    Get(String),
    Commit(Vec<Op>),
    Watch(Vec<String>),
    Session,
    /// Ends a watch or a session.
    Forget(u64),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) id: u64,
    pub(super) ask: Ask,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Nodes(Vec<Node>),
    Done,
    /// A watch rings.
    Rang,
    Fault(Fault),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) id: u64,
    pub(super) answer: Answer,
}

/// A [`LiveError`] on its way.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Fault {
    Conflict(String),
    SessionEnded,
    TooLarge(String),
    Unreachable(String),
}

impl From<LiveError> for Fault {
    fn from(error: LiveError) -> Self {
        match error {
            LiveError::Conflict { path } => Self::Conflict(path),
            LiveError::SessionEnded => Self::SessionEnded,
            LiveError::TooLarge { path } => Self::TooLarge(path),
            LiveError::Damaged { .. } | LiveError::Unreachable(_) => Self::Unreachable(error.to_string()),
        }
    }
}

impl From<Fault> for LiveError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Conflict(path) => Self::Conflict { path },
            Fault::SessionEnded => Self::SessionEnded,
            Fault::TooLarge(path) => Self::TooLarge { path },
            Fault::Unreachable(why) => Self::Unreachable(why.into()),
        }
    }
}

/// Writes one piece.
pub(super) async fn send(to: &mut (impl AsyncWrite + Unpin), piece: &impl Serialize) -> std::io::Result<()> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, piece)?;
    let length = bytes.len() - 4;
    if length > MOST {
        return Err(std::io::Error::other("a piece is too long"));
    }
    bytes[..4].copy_from_slice(&(length as u32).to_be_bytes());
    to.write_all(&bytes).await
}

/// Reads one piece. An error is the end of the connection.
pub(super) async fn receive<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<T> {
    let length = from.read_u32().await? as usize;
    if length > MOST {
        return Err(std::io::Error::other("a piece is too long"));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Bytes as text.
pub(super) mod bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}
