//! What the supervisor needs of whatever runs containers: one small trait, one implementation (`docker`).
//!
//! No type of an engine appears in the trait.

use std::collections::HashMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use model::{Resources, Time};
use tokio::io::AsyncWrite;

use crate::config::{Credentials, NetworkConfig};

/// Why the engine did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The registry does not have it.
    #[error("the registry does not have `{image}`")]
    NoSuchImage {
        /// The image, as it was asked for.
        image: String,
    },
    /// The image could not be fetched.
    #[error("`{image}` could not be pulled: {message}")]
    PullFailed {
        /// The image, as it was asked for.
        image: String,
        /// The engine's message.
        message: String,
    },
    /// There is no such container.
    #[error("no such container")]
    NoSuchContainer,
    /// A name or address is in use.
    #[error("the engine has a conflict: {message}")]
    Conflict {
        /// The engine's message.
        message: String,
    },
    /// The engine refused.
    #[error("the engine refused with {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The engine's message.
        message: String,
    },
    /// The engine can not be reached.
    #[error("the container engine can not be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A container, as the engine names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(pub String);

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get(..12).unwrap_or(&self.0))
    }
}

/// Whether a container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// Created and never started.
    Created,
    /// Its first process runs.
    Running,
    /// Its first process has ended.
    Exited,
}

/// A container in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The engine's id.
    pub id: ContainerId,
    /// Labels by key.
    pub labels: HashMap<String, String>,
    /// Whether it runs.
    pub state: RunState,
    /// When it was made.
    pub created: Time,
    /// The image it runs, by the engine's own id.
    pub image: String,
}

/// The details of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Whether it runs.
    pub state: RunState,
    /// Its first process on the host, while it runs.
    pub pid: Option<u32>,
    /// Exit code of its first process; 0 while it runs.
    pub exit_code: i64,
    /// Whether the kernel ended it for memory.
    pub oom: bool,
    /// When it ended, when it has.
    pub finished: Option<Time>,
    /// Where on the host lies what it wrote to its own disk, when the engine has a folder for that.
    pub layer: Option<PathBuf>,
}

/// What to make a container of. What is not here is the same for all: no capabilities, no new privileges, the
/// platform's seccomp profile, an init process, no host paths, no published ports, no restart by the engine.
#[derive(Debug, Clone)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// Program and arguments, in place of the image's.
    pub argv: Vec<String>,
    /// Variables; not shown by `Debug` of this crate's logs, as they hold secrets.
    pub env: Secret<Vec<String>>,
    /// Labels by key.
    pub labels: HashMap<String, String>,
    /// Memory, CPU and process limits.
    pub resources: Resources,
    /// Which network it joins.
    pub network: String,
    /// Its address there.
    pub address: Ipv4Addr,
    /// The name it sees itself by.
    pub hostname: String,
    /// Whether it gets standard input.
    pub stdin: bool,
    /// Whether it gets a terminal.
    pub tty: bool,
}

/// A value that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(pub T);

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A signal to the first process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: end in an orderly way.
    Term,
    /// SIGKILL.
    Kill,
}

/// An image in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The engine's own id.
    pub id: String,
    /// `registry/repository@digest`.
    pub by_digest: Vec<String>,
    /// `registry/repository:tag`.
    pub by_tag: Vec<String>,
    /// When it was made.
    pub created: Time,
}

/// Which part of a container's output is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogQuery {
    /// From this second of the epoch on; 0 is everything.
    pub since: i64,
    /// Only the last entries.
    pub tail: Option<u32>,
    /// Whether to go on with new entries as they come.
    pub follow: bool,
}

/// One piece of output as the engine stored it: a line, or a part of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// When, in nanoseconds of the epoch.
    pub at: i64,
    /// The bytes; the line is complete when they end with a newline.
    pub bytes: Bytes,
}

/// OutputChunk of an attached container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputChunk {
    /// Standard output, or everything with a terminal.
    Stdout(Bytes),
    /// Standard error.
    Stderr(Bytes),
}

/// A stream of something that may break off.
pub type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, RuntimeError>> + Send>>;

/// Both ends of an attached container.
pub struct Attached {
    /// What it prints; ends when it ends.
    pub output: Streamed<OutputChunk>,
    /// What it reads; dropping it is the end of its input.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// Runs containers on this host.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Makes a network that isolates its containers from each other, unless it is there.
    async fn ensure_network(&self, network: &NetworkConfig) -> Result<(), RuntimeError>;
    /// The user of an image that is here; none when the image is not.
    async fn image_user(&self, image: &str) -> Result<Option<String>, RuntimeError>;
    /// Fetches an image.
    async fn pull(&self, image: &str, credentials: Option<&Credentials>) -> Result<(), RuntimeError>;
    /// Images that are here.
    async fn images(&self) -> Result<Vec<Image>, RuntimeError>;
    /// Removes one name of an image, and with the last name the image; refused while a container uses it.
    async fn remove_image(&self, name: &str) -> Result<(), RuntimeError>;
    /// Makes a container.
    async fn create(&self, spec: &ContainerSpec) -> Result<ContainerId, RuntimeError>;
    /// Starts it.
    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError>;
    /// Signals its first process; one that has ended is no error.
    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError>;
    /// Removes it, ending it first if need be; one that is not there is no error.
    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError>;
    /// All containers with a label, ended ones too.
    async fn list(&self, key: &str, value: &str) -> Result<Vec<Container>, RuntimeError>;
    /// The details of one container.
    async fn inspect(&self, id: &ContainerId) -> Result<Inspection, RuntimeError>;
    /// Its output.
    fn logs(&self, id: &ContainerId, query: LogQuery) -> Streamed<LogEntry>;
    /// Runs a program inside and returns its exit code and the beginning of its output.
    async fn exec(&self, id: &ContainerId, argv: Vec<String>) -> Result<(i64, String), RuntimeError>;
    /// Attaches to all of its streams; done before its start, so that nothing is lost.
    async fn attach(&self, id: &ContainerId) -> Result<Attached, RuntimeError>;
    /// Sets the size of its terminal.
    async fn resize(&self, id: &ContainerId, columns: u16, rows: u16) -> Result<(), RuntimeError>;
    /// Yields whenever a container with a label was made, ended or removed, and which.
    fn events(&self, key: &str, value: &str) -> Streamed<ContainerId>;
}
