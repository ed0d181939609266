//! `Source`: the files of one commit, for whoever keeps repositories to provide and whoever builds to read.

use async_trait::async_trait;
use model::TreeStats;
use tokio::io::AsyncRead;

/// What a name in a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, or a submodule.
    Other,
}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The last part of its path.
    pub name: String,
    /// What it is.
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
    /// A look over all that lies in a folder. Takes as long as there are folders and files.
    fn tree_stats(&self, folder: &str) -> Option<TreeStats>;
    /// A tar of the whole tree.
    async fn tar(&self) -> std::io::Result<TarStream>;
}
