//! What the builder says to the engine and hears from it, in its own words. Nothing here knows bollard.

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;

/// Bytes from the engine.
pub type Bytestream = Pin<Box<dyn Stream<Item = Result<Bytes, std::io::Error>> + Send>>;

/// ContainerOutput of a container; the flag tells standard error.
pub type ContainerOutput = Pin<Box<dyn Stream<Item = Result<(bool, Bytes), std::io::Error>> + Send>>;

/// Input of a container.
pub type Input = Pin<Box<dyn tokio::io::AsyncWrite + Send>>;

/// A container to create.
#[derive(Debug, Clone, Default)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// The image to run.
    pub image: String,
    /// The command.
    pub command: Vec<String>,
    /// Environment, `NAME=value`.
    pub env: Vec<String>,
    /// User and group, `uid:gid`; empty for that of the image.
    pub user: String,
    /// Working directory.
    pub workdir: String,
    /// Labels.
    pub labels: HashMap<String, String>,
    /// The network, or `container:<id>` for that of another container; none for the engine's default one.
    pub network: Option<String>,
    /// Named volumes by mount point.
    pub volumes: Vec<(String, String)>,
    /// Whether it is given something to read. It ends with what [`super::Engine::attach`] writes.
    pub reads: bool,
    /// What it may use; none for the platform's own work.
    pub walls: Option<Walls>,
}

/// Limits of a container that runs foreign code.
#[derive(Debug, Clone, Copy)]
pub struct Walls {
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
pub struct ImageFacts {
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// Its size in bytes, all layers.
    pub size: u64,
}

/// A container in a list.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// When it was made, in seconds since the epoch.
    pub created: i64,
}

/// An image in a list.
#[derive(Debug, Clone)]
pub struct ListedImage {
    /// Its id.
    pub id: String,
    /// Its names; none for one that lost them.
    pub names: Vec<String>,
    /// When it was made, in seconds since the epoch.
    pub created: i64,
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Exit code.
    pub code: i64,
    /// Whether anything in it was killed for memory.
    pub out_of_memory: bool,
}

/// Where a container's files lie on this machine, if the engine says so.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The writable layer.
    pub layer: Option<PathBuf>,
    /// The volumes.
    pub volumes: Vec<PathBuf>,
}

/// What a stack layer says to those who run it.
#[derive(Debug, Clone, Default)]
pub struct LayerConfig {
    /// User and group.
    pub user: String,
    /// Environment.
    pub env: Vec<String>,
    /// Working directory.
    pub workdir: String,
    /// Labels.
    pub labels: HashMap<String, String>,
}
