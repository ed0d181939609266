//! The source on its way into a build: a tar of a commit becomes a tar of `/app`.
//!
//! Takes the app's folder only, leaves out what a slug never holds, gives everything to the app's uid, and lets nothing pass
//! that could reach outside: no absolute paths, no `..`, no devices.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use tar::{Archive, Builder, EntryType, Header};

use crate::slug::slugignore::SlugIgnore;
use crate::stack::recipe::GID;

/// Which part of a source is taken, and where it goes.
#[derive(Debug, Clone, Default)]
pub struct SourceFilter {
    /// The app's folder; empty for the whole.
    pub root: String,
    /// The folder that it becomes.
    pub to: PathBuf,
    /// The uid that everything belongs to.
    pub uid: u32,
    /// Paths that the slug does not need.
    pub ignore: SlugIgnore,
    /// Most bytes of files.
    pub max_bytes: u64,
}

/// The size of what was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceSize {
    /// Number of files.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// The source is larger than allowed.
#[derive(Debug, thiserror::Error)]
#[error("the source has more than {0} bytes of files")]
pub struct TooLarge(pub u64);

impl SourceFilter {
    /// Copies entries from `from` to a tar that is being written.
    pub fn copy(&self, from: impl Read, out: &mut Builder<impl Write>) -> io::Result<SourceSize> {
        let mut taken = SourceSize::default();
        // The folder that it becomes is there already, and belongs to the stack.
        let mut folders: HashSet<PathBuf> = self.to.ancestors().map(Path::to_path_buf).collect();
        let mut archive = Archive::new(from);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let kind = entry.header().entry_type();
            let Some(path) = self.place(&entry.path()?, kind.is_dir()) else { continue };
            // Folders that the tar does not name would be made by the engine, and belong to root.
            let parents: Vec<&Path> = path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()).collect();
            for parent in parents.into_iter().rev() {
                folder(out, parent, self.uid, &mut folders)?;
            }
            let mut header = owned(kind, self.uid);
            match kind {
                EntryType::Directory => folder(out, &path, self.uid, &mut folders)?,
                EntryType::Symlink => {
                    let Some(target) = entry.link_name()?.map(|target| target.into_owned()) else { continue };
                    header.set_mode(0o777);
                    header.set_size(0);
                    out.append_link(&mut header, path, target)?;
                }
                EntryType::Regular | EntryType::Continuous => {
                    taken.files += 1;
                    taken.bytes += entry.size();
                    if taken.bytes > self.max_bytes {
                        return Err(io::Error::other(TooLarge(self.max_bytes)));
                    }
                    header.set_entry_type(EntryType::Regular);
                    header.set_mode(if entry.header().mode()? & 0o100 == 0 { 0o644 } else { 0o755 });
                    header.set_size(entry.size());
                    out.append_data(&mut header, path, &mut entry)?;
                }
                // Hard links, devices, fifos: no commit holds one.
                _ => {}
            }
        }
        Ok(taken)
    }

    /// Where an entry goes, if anywhere.
    fn place(&self, path: &Path, is_folder: bool) -> Option<PathBuf> {
        let mut parts = Vec::new();
        for component in path.components() {
            match component {
                Component::Normal(part) => parts.push(part.to_str()?),
                Component::CurDir => {}
                _ => return None,
            }
        }
        let root: Vec<&str> = self.root.split('/').filter(|part| !part.is_empty()).collect();
        let below = parts.strip_prefix(root.as_slice())?;
        let first = below.first()?;
        if below.contains(&".git") || *first == ".slipway" || self.ignore.covers(&below.join("/"), is_folder) {
            return None;
        }
        Some(self.to.join(below.iter().collect::<PathBuf>()))
    }
}

/// A header of what belongs to the app's user.
fn owned(kind: EntryType, uid: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_uid(u64::from(uid));
    header.set_gid(u64::from(GID));
    header.set_mtime(0);
    header.set_entry_type(kind);
    header
}

/// Writes a folder's entry, once.
fn folder(out: &mut Builder<impl Write>, path: &Path, uid: u32, named: &mut HashSet<PathBuf>) -> io::Result<()> {
    if !named.insert(path.to_path_buf()) {
        return Ok(());
    }
    let mut header = owned(EntryType::Directory, uid);
    header.set_mode(0o755);
    header.set_size(0);
    out.append_data(&mut header, path, io::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (path, kind, content) in entries {
            let mut header = Header::new_old();
            // Written by hand: the library refuses the hostile paths that are meant here.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o4755);
            header.set_size(if *kind == EntryType::Regular { content.len() as u64 } else { 0 });
            if *kind == EntryType::Symlink {
                header.set_link_name_literal(content).expect("it fits");
            }
            header.set_cksum();
            let data = if *kind == EntryType::Regular { content.as_bytes() } else { b"" };
            builder.append(&header, data).expect("memory takes all");
        }
        builder.into_inner().expect("memory takes all")
    }

    fn taken(filter: &SourceFilter, entries: &[(&str, EntryType, &str)]) -> Vec<(String, u32, u64)> {
        let mut out = Builder::new(Vec::new());
        filter.copy(source(entries).as_slice(), &mut out).expect("it copies");
        let out = out.into_inner().expect("memory takes all");
        let mut archive = Archive::new(out.as_slice());
        let read = |entry: tar::Entry<'_, &[u8]>| {
            (
                entry.path().expect("a path").display().to_string(),
                entry.header().mode().expect("a mode"),
                entry.header().uid().expect("a uid"),
            )
        };
        archive.entries().expect("a tar").map(|entry| read(entry.expect("an entry"))).collect()
    }

    #[test]
    fn nothing_reaches_outside() {
        let filter = SourceFilter { uid: 7, max_bytes: 100, ..SourceFilter::default() };
        let entries = [
            ("/etc/passwd", EntryType::Regular, "x"),
            ("../up", EntryType::Regular, "x"),
            ("a/../../up", EntryType::Regular, "x"),
            (".git/config", EntryType::Regular, "x"),
            ("sub/.git", EntryType::Regular, "x"),
            (".slipway/processes", EntryType::Regular, "x"),
            ("dev", EntryType::Block, ""),
            ("app.py", EntryType::Regular, "x"),
        ];
        assert_eq!(taken(&filter, &entries), [("app.py".to_owned(), 0o755, 7)]);
    }

    #[test]
    fn a_sub_folder_becomes_the_app() {
        let filter = SourceFilter { root: "backend".into(), to: "app".into(), uid: 7, ignore: SlugIgnore::parse("*.psd"), max_bytes: 100 };
        let entries = [
            ("backend/", EntryType::Directory, ""),
            ("backend/go.mod", EntryType::Regular, "x"),
            ("backend/logo.psd", EntryType::Regular, "x"),
            ("backend/link", EntryType::Symlink, "go.mod"),
            ("backend/cmd/web/main.go", EntryType::Regular, "x"),
            ("backendx/y", EntryType::Regular, "x"),
            ("README", EntryType::Regular, "x"),
        ];
        let names: Vec<_> = taken(&filter, &entries).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names, ["app/go.mod", "app/link", "app/cmd", "app/cmd/web", "app/cmd/web/main.go"]);
    }

    #[test]
    fn a_source_over_the_limit_is_refused() {
        let filter = SourceFilter { max_bytes: 3, ..SourceFilter::default() };
        let error =
            filter.copy(source(&[("a", EntryType::Regular, "1234")]).as_slice(), &mut Builder::new(io::sink())).expect_err("too large");
        assert!(error.get_ref().is_some_and(|inner| inner.is::<TooLarge>()));
    }
}
