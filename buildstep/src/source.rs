//! `SourceTree`: the files of an app, as the builder looks at them to decide.
//!
//! A view of `manager::Source`: the folder that is the app, and nothing above it. Pure for whoever uses it.

use std::sync::Arc;

use manager::Source;
pub use manager::source::{Entry, EntryKind};

/// The files of an app. Paths are relative, with `/`.
pub trait SourceTree: Send + Sync {
    /// The entries of a folder, the root being the empty path; none when there is no such folder.
    fn list(&self, folder: &str) -> Option<Vec<Entry>>;

    /// A file's content; none when there is no such file or it is too large to decide by.
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

/// A folder of a source.
pub struct Folder {
    source: Arc<dyn Source>,
    folder: String,
}

impl Folder {
    /// The folder `folder` of `source`; empty for the whole.
    pub fn new(source: Arc<dyn Source>, folder: &str) -> Self {
        Self { source, folder: folder.trim_matches('/').to_owned() }
    }

    fn path(&self, below: &str) -> String {
        match (self.folder.is_empty(), below.is_empty()) {
            (true, _) => below.to_owned(),
            (false, true) => self.folder.clone(),
            (false, false) => format!("{}/{below}", self.folder),
        }
    }
}

impl SourceTree for Folder {
    fn list(&self, folder: &str) -> Option<Vec<Entry>> {
        self.source.list(&self.path(folder))
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.source.read(&self.path(path))
    }
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
