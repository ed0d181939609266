//! Statistics of a whole tree before it is built: number and size of files, submodules, LFS pointers, the largest files.
//!
//! Each directory object is visited once, so a tree that repeats itself (the "git bomb", 10^10 files in ten objects) is counted
//! without being walked.

use std::collections::HashMap;
use std::path::Path;

use git2::{Odb, Oid, Repository as Bare};
use model::TreeStats;

use crate::git::commit_source::{CommitSource, EntryKind, kind};
use crate::git::repositories::RepositoryError;

/// The first bytes of a git-lfs pointer file.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";
/// Pointer files are about 130 bytes; nothing larger is looked into.
const LFS_MOST: usize = 1024;
/// Most paths kept per kind.
const PATHS: usize = 20;

impl CommitSource {
    /// The statistics of the tree under `root`. `None` when there is no such directory.
    pub fn tree_stats(&self, root: &Path) -> Result<Option<TreeStats>, RepositoryError> {
        let bare = self.open()?;
        let Some(tree) = self.tree(&bare, root)? else { return Ok(None) };
        let odb = bare.odb().map_err(RepositoryError::git("objects"))?;
        let mut walk = Walk { bare: &bare, odb: &odb, known: HashMap::new(), found: TreeStats::default() };
        let (files, bytes) = walk.directory(tree.id(), "", 0)?;
        Ok(Some(TreeStats { files, bytes, ..walk.found }))
    }
}

struct Walk<'a> {
    bare: &'a Bare,
    odb: &'a Odb<'a>,
    /// Files and bytes of directories already counted.
    known: HashMap<Oid, (u64, u64)>,
    found: TreeStats,
}

impl Walk<'_> {
    fn directory(&mut self, id: Oid, path: &str, depth: usize) -> Result<(u64, u64), RepositoryError> {
        if let Some(known) = self.known.get(&id) {
            return Ok(*known);
        }
        if depth > 500 {
            return Err(RepositoryError::git("a directory")(git2::Error::from_str("directories are nested too deeply")));
        }
        let tree = self.bare.find_tree(id).map_err(RepositoryError::git("a directory"))?;
        let (mut files, mut bytes) = (0_u64, 0_u64);
        for entry in tree.iter() {
            let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
            let path = if path.is_empty() { name } else { format!("{path}/{name}") };
            match kind(entry.filemode()) {
                EntryKind::Directory => {
                    let (inner_files, inner_bytes) = self.directory(entry.id(), &path, depth + 1)?;
                    files = files.saturating_add(inner_files);
                    bytes = bytes.saturating_add(inner_bytes);
                }
                EntryKind::Submodule => keep(&mut self.found.submodules, path),
                EntryKind::Link => files = files.saturating_add(1),
                EntryKind::File { .. } => {
                    let (size, _) = self.odb.read_header(entry.id()).map_err(RepositoryError::git("a file"))?;
                    files = files.saturating_add(1);
                    bytes = bytes.saturating_add(size as u64);
                    if (LFS.len()..LFS_MOST).contains(&size) && self.is_pointer(entry.id())? {
                        keep(&mut self.found.lfs_pointers, path.clone());
                    }
                    self.rank(path, size as u64);
                }
            }
        }
        self.known.insert(id, (files, bytes));
        Ok((files, bytes))
    }

    fn is_pointer(&self, id: Oid) -> Result<bool, RepositoryError> {
        let object = self.odb.read(id).map_err(RepositoryError::git("a file"))?;
        Ok(object.data().starts_with(LFS))
    }

    fn rank(&mut self, path: String, size: u64) {
        let largest = &mut self.found.largest;
        let place = largest.partition_point(|(_, other)| *other >= size);
        if place < 5 {
            largest.insert(place, (path, size));
            largest.truncate(5);
        }
    }
}

fn keep(paths: &mut Vec<String>, path: String) {
    if paths.len() < PATHS {
        paths.push(path);
    }
}
