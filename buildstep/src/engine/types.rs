//! What goes to the engine and comes from it, in types of this crate. Nothing here knows bollard.

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;

/// Bytes from the engine.
pub type Bytestream = Pin<Box<dyn Stream<Item = Result<Bytes, std::io::Error>> + Send>>;

/// Output of a container; `true` marks standard error.
pub type ContainerOutput = Pin<Box<dyn Stream<Item = Result<(bool, Bytes), std::io::Error>> + Send>>;

/// Standard input of a container.
pub type Input = Pin<Box<dyn tokio::io::AsyncWrite + Send>>;

/// A container to create.
#[derive(Debug, Clone, Default)]
pub struct ContainerSpec {
    /// Its name in the engine.
    pub name: String,
    /// The image to run.
    pub image: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment, `NAME=value`.
    pub env: Vec<String>,
    /// User and group, `uid:gid`; empty for that of the image.
    pub user: String,
    /// Working directory.
    pub workdir: String,
    /// Labels by key.
    pub labels: HashMap<String, String>,
    /// The network, or `container:<id>` for that of another container; none for the engine's default one.
    pub network: Option<String>,
    /// Named volumes by mount point.
    pub volumes: Vec<(String, String)>,
    /// Whether standard input is open. It ends when what [`super::Engine::attach`] returned is closed.
    pub reads: bool,
    /// Limits and isolation; none for the platform's own work.
    pub resources: Option<ResourceLimits>,
}

/// Limits of a container that runs foreign code.
#[derive(Debug, Clone, Copy)]
pub struct ResourceLimits {
    /// Memory in bytes; there is no swap on top.
    pub memory: u64,
    /// Thousandths of a core.
    pub cpu_millis: u32,
    /// Processes and threads.
    pub pids: u32,
    /// Largest single file in bytes.
    pub file_size: u64,
}

/// What an image says about itself.
#[derive(Debug, Clone)]
pub struct ImageInfo {
    /// Labels by key.
    pub labels: HashMap<String, String>,
    /// Its size in bytes, all layers.
    pub size: u64,
}

/// A container in a list.
#[derive(Debug, Clone)]
pub struct ListedContainer {
    /// The engine's id.
    pub id: String,
    /// Its name in the engine.
    pub name: String,
    /// Labels by key.
    pub labels: HashMap<String, String>,
    /// When it was made, in seconds since the epoch.
    pub created: i64,
}

/// An image in a list.
#[derive(Debug, Clone)]
pub struct ListedImage {
    /// The engine's id.
    pub id: String,
    /// Its names; none for one that lost them.
    pub names: Vec<String>,
    /// Labels by key.
    pub labels: HashMap<String, String>,
    /// When it was made, in seconds since the epoch.
    pub created: i64,
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContainerExit {
    /// Exit code.
    pub code: i64,
    /// Whether anything in it was killed for memory.
    pub out_of_memory: bool,
}

/// Where a container's files lie on this machine, as far as the engine reports it.
#[derive(Debug, Clone, Default)]
pub struct ContainerDirs {
    /// The writable layer.
    pub layer: Option<PathBuf>,
    /// The mounted volumes.
    pub volumes: Vec<PathBuf>,
}

/// The image configuration of a stack layer.
#[derive(Debug, Clone, Default)]
pub struct LayerConfig {
    /// User and group.
    pub user: String,
    /// Environment.
    pub env: Vec<String>,
    /// Working directory.
    pub workdir: String,
    /// Labels by key.
    pub labels: HashMap<String, String>,
}
