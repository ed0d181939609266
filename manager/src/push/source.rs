//! The files of one commit: a trait that the git role implements and the builder reads from.

use async_trait::async_trait;
use model::TreeStats;
use tokio::io::AsyncRead;

/// The kind of a folder's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, or a submodule.
    Other,
}

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The last part of its path.
    pub name: String,
    /// File, folder or other.
    pub kind: EntryKind,
}

/// A tar of a tree, as it streams.
pub type TarStream = Box<dyn AsyncRead + Send + Unpin>;

/// The files of one commit. Paths are relative, with `/`, and never leave the tree.
#[async_trait]
pub trait Source: Send + Sync {
    /// The object id of the tree of a folder, the root being the empty path.
    fn tree_id(&self, folder: &str) -> Option<String>;
    /// The entries of a folder.
    fn list(&self, folder: &str) -> Option<Vec<Entry>>;
    /// A file of at most 1 MiB.
    fn read(&self, path: &str) -> Option<Vec<u8>>;
    /// Statistics of everything in a folder. Takes time in proportion to its files.
    fn tree_stats(&self, folder: &str) -> Option<TreeStats>;
    /// A tar of the whole tree.
    async fn tar(&self) -> std::io::Result<TarStream>;
}
