//! `SourceTree`: the files of one commit, as the builder looks at them.
//!
//! Whoever keeps the source implements it. Paths are relative, with `/`, and never leave the tree.

use std::sync::Arc;

use tokio::io::AsyncRead;

/// What a path of the tree is.
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

/// Largest file that the builder reads to decide anything, in bytes.
pub const MAX_READ: usize = 1 << 20;

/// The files of one commit.
pub trait SourceTree: Send + Sync {
    /// The entries of a folder, the root being the empty path; none when there is no such folder.
    fn list(&self, folder: &str) -> Option<Vec<Entry>>;

    /// A file's content; none when there is no such file or it is larger than `MAX_READ`.
    fn read(&self, path: &str) -> Option<Vec<u8>>;

    /// A file's content as text.
    fn text(&self, path: &str) -> Option<String> {
        self.read(path).map(|bytes| String::from_utf8_lossy(&bytes).trim_start_matches('\u{feff}').to_owned())
    }

    /// What is at a path.
    fn kind(&self, path: &str) -> Option<EntryKind> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.list(folder)?.into_iter().find(|entry| entry.name == name).map(|entry| entry.kind)
    }
}

/// A folder of a tree, seen as a tree.
pub struct Subtree {
    tree: Arc<dyn SourceTree>,
    folder: String,
}

impl Subtree {
    /// The folder `folder` of `tree`.
    pub fn new(tree: Arc<dyn SourceTree>, folder: &str) -> Self {
        Self { tree, folder: folder.trim_matches('/').to_owned() }
    }

    fn path(&self, below: &str) -> String {
        match (self.folder.is_empty(), below.is_empty()) {
            (true, _) => below.to_owned(),
            (false, true) => self.folder.clone(),
            (false, false) => format!("{}/{below}", self.folder),
        }
    }
}

impl SourceTree for Subtree {
    fn list(&self, folder: &str) -> Option<Vec<Entry>> {
        self.tree.list(&self.path(folder))
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.tree.read(&self.path(path))
    }
}

/// A stream of a tar of the whole tree.
pub type TarStream = Box<dyn AsyncRead + Send + Unpin>;

/// Opens a tar of a source; asked once per run.
#[async_trait::async_trait]
pub trait SourceTar: Send + Sync {
    /// A fresh stream from the start.
    async fn open(&self) -> std::io::Result<TarStream>;
}

#[cfg(test)]
pub(crate) mod memory {
    //! A tree in memory.
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// Paths and contents.
    #[derive(Default)]
    pub struct Memory(pub BTreeMap<String, Vec<u8>>);

    impl Memory {
        /// A tree of these files.
        pub fn of(files: &[(&str, &str)]) -> Self {
            Self(files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect())
        }
    }

    impl SourceTree for Memory {
        fn list(&self, folder: &str) -> Option<Vec<Entry>> {
            let lead = if folder.is_empty() { String::new() } else { format!("{folder}/") };
            let mut names = BTreeSet::new();
            for path in self.0.keys() {
                if let Some(rest) = path.strip_prefix(&lead) {
                    match rest.split_once('/') {
                        Some((name, _)) => names.insert((name.to_owned(), false)),
                        None => names.insert((rest.to_owned(), true)),
                    };
                }
            }
            let entry = |(name, file)| Entry { name, kind: if file { EntryKind::File } else { EntryKind::Folder } };
            (!names.is_empty() || folder.is_empty()).then(|| names.into_iter().map(entry).collect())
        }

        fn read(&self, path: &str) -> Option<Vec<u8>> {
            self.0.get(path).cloned()
        }
    }
}
