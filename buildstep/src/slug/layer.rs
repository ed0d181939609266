//! `Slug` layers: `/app` as it left a build becomes one deterministic, compressed tar.
//!
//! Equal content gives equal bytes: entries sorted, owners fixed, times made from content. The content is spooled to a file,
//! never held in memory. Blocking code; the caller brings a thread.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path};

use flate2::{Compression, GzBuilder};
use model::Digest;
use sha2::{Digest as _, Sha256};
use tar::{Archive, Builder, EntryType, Header};

use crate::stack::recipe::GID;

/// The first second of 1980, the earliest time that every archive format can write.
const FIRST_SECOND: u64 = 315_532_800;
/// gzip level: higher ones cost more time than the bytes they save.
const LEVEL: u32 = 4;

/// Why a slug could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SlugError {
    /// More bytes than allowed.
    #[error("the slug is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
        /// The largest entries of `/app` so far, with their bytes.
        largest: Vec<(String, u64)>,
    },
    /// More files than allowed.
    #[error("the slug has more than {0} entries")]
    TooMany(usize),
    /// The stream is not a tar.
    #[error("the slug can not be read")]
    Broken(#[source] io::Error),
    /// Reading or writing failed.
    #[error("could not write the slug")]
    Io(#[from] io::Error),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Folder {
        mode: u32,
    },
    File {
        mode: u32,
        at: u64,
        size: u64,
        time: u64,
    },
    Link {
        target: Vec<u8>,
    },
    /// Another name of the file at `to`, a path below `/app`.
    HardLink {
        to: String,
    },
}

/// The content of `/app`, indexed, its files in a spool.
#[derive(Debug)]
pub struct Content {
    nodes: BTreeMap<String, Node>,
    spool: File,
    end: u64,
}

/// A finished layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedLayer {
    /// Digest of the tar.
    pub diff_id: Digest,
    /// Digest of the compressed tar.
    pub digest: Digest,
    /// Bytes of the compressed tar.
    pub size: u64,
    /// Bytes of the tar.
    pub unpacked: u64,
}

/// Most entries of a slug.
const MAX_ENTRIES: usize = 500_000;

impl Content {
    /// Reads a tar whose entries lie below one first folder, as the engine gives them, spooling files into `spool`.
    pub fn read(tar: impl Read, spool: File, limit: u64) -> Result<Self, SlugError> {
        let mut content = Self { nodes: BTreeMap::new(), spool, end: 0 };
        let mut out = BufWriter::with_capacity(1 << 18, content.spool.try_clone()?);
        let mut archive = Archive::new(BufReader::with_capacity(1 << 18, tar));
        for entry in archive.entries()? {
            let mut entry = entry.map_err(SlugError::Broken)?;
            let Some(path) = below_first(&entry.path().map_err(SlugError::Broken)?) else { continue };
            if content.nodes.len() >= MAX_ENTRIES {
                return Err(SlugError::TooMany(MAX_ENTRIES));
            }
            let mode = entry.header().mode().map_err(SlugError::Broken)? & 0o777;
            let node = match entry.header().entry_type() {
                EntryType::Directory => Node::Folder { mode: mode | 0o700 },
                EntryType::Symlink => match entry.link_name_bytes() {
                    Some(target) => Node::Link { target: target.into_owned() },
                    None => continue,
                },
                EntryType::Link => match entry.link_name()?.as_deref().and_then(below_first) {
                    Some(to) => Node::HardLink { to },
                    None => continue,
                },
                EntryType::Regular | EntryType::Continuous => {
                    if content.end + entry.size() > limit {
                        return Err(SlugError::TooLarge { limit, largest: content.largest(5) });
                    }
                    let (size, time) = copy_hashing(&mut entry, &mut out)?;
                    let at = content.end;
                    content.end += size;
                    Node::File { mode: mode | 0o400, at, size, time }
                }
                _ => continue,
            };
            content.nodes.insert(path, node);
        }
        out.flush()?;
        content.resolve_hard_links();
        Ok(content)
    }

    /// Makes the first name, in order, of each hard-linked file the file itself.
    fn resolve_hard_links(&mut self) {
        let links: Vec<(String, String)> = self
            .nodes
            .iter()
            .filter_map(|(path, node)| if let Node::HardLink { to } = node { Some((path.clone(), to.clone())) } else { None })
            .collect();
        for (path, to) in links {
            match self.nodes.get(&to).cloned() {
                Some(file @ Node::File { .. }) if path < to => {
                    self.nodes.insert(path.clone(), file);
                    self.nodes.insert(to, Node::HardLink { to: path });
                }
                Some(Node::HardLink { to: first }) if first != path => {
                    self.nodes.insert(path, Node::HardLink { to: first });
                }
                Some(Node::File { .. }) => {}
                _ => {
                    self.nodes.remove(&path);
                }
            }
        }
    }

    /// The text of a file of at most 64 KiB.
    pub fn text(&self, path: &str) -> Option<String> {
        match self.nodes.get(path)? {
            Node::File { at, size, .. } if *size <= 1 << 16 => {
                let mut bytes = vec![0; usize::try_from(*size).ok()?];
                let mut spool = &self.spool;
                spool.seek(SeekFrom::Start(*at)).ok()?;
                spool.read_exact(&mut bytes).ok()?;
                Some(String::from_utf8_lossy(&bytes).into_owned())
            }
            Node::HardLink { to } if to != path => self.text(&to.clone()),
            _ => None,
        }
    }

    /// Removes a path.
    pub fn remove(&mut self, path: &str) {
        self.nodes.remove(path);
    }

    /// Adds a file, and its folder if that is missing.
    pub fn add(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut spool = &self.spool;
        spool.seek(SeekFrom::Start(self.end))?;
        spool.write_all(bytes)?;
        let time = time_of(Sha256::digest(bytes).into());
        self.nodes.insert(path.to_owned(), Node::File { mode: 0o644, at: self.end, size: bytes.len() as u64, time });
        self.end += bytes.len() as u64;
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.nodes.entry(folder.to_owned()).or_insert(Node::Folder { mode: 0o755 });
        }
        Ok(())
    }

    /// The largest first-level names with their bytes.
    pub fn largest(&self, count: usize) -> Vec<(String, u64)> {
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for (path, node) in &self.nodes {
            if let Node::File { size, .. } = node {
                *sums.entry(path.split_once('/').map_or(path.as_str(), |(first, _)| first)).or_default() += size;
            }
        }
        let mut sums: Vec<(String, u64)> = sums.into_iter().map(|(name, size)| (name.to_owned(), size)).collect();
        sums.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        sums.truncate(count);
        sums
    }

    /// Writes the layer to `out`; everything in it belongs to `uid`.
    pub fn pack(&self, out: File, uid: u32) -> Result<PackedLayer, SlugError> {
        let compressed = Hashing::new(BufWriter::with_capacity(1 << 18, out));
        let gzip = GzBuilder::new().mtime(0).operating_system(255).write(compressed, Compression::new(LEVEL));
        let mut tar = Builder::new(Hashing::new(gzip));
        self.folder(&mut tar, "app/", 0o755, uid)?;
        for (path, node) in &self.nodes {
            let path = format!("app/{path}");
            match node {
                Node::Folder { mode } => self.folder(&mut tar, &format!("{path}/"), *mode, uid)?,
                Node::File { mode, at, size, time } => {
                    let mut header = header(EntryType::Regular, *mode, *time, uid);
                    header.set_size(*size);
                    let mut spool = &self.spool;
                    spool.seek(SeekFrom::Start(*at))?;
                    tar.append_data(&mut header, path, spool.take(*size))?;
                }
                Node::Link { target } => {
                    let target: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(target.as_slice());
                    tar.append_link(&mut header(EntryType::Symlink, 0o777, FIRST_SECOND, uid), path, target)?;
                }
                Node::HardLink { to } => {
                    tar.append_link(&mut header(EntryType::Link, 0o644, FIRST_SECOND, uid), path, format!("app/{to}"))?
                }
            }
        }
        let plain = tar.into_inner()?;
        let (diff_id, unpacked) = plain.digest();
        let compressed = plain.inner.finish()?;
        let (digest, size) = compressed.digest();
        let mut file = compressed.inner;
        file.flush()?;
        Ok(PackedLayer { diff_id, digest, size, unpacked })
    }

    fn folder(&self, tar: &mut Builder<impl Write>, path: &str, mode: u32, uid: u32) -> io::Result<()> {
        let mut header = header(EntryType::Directory, mode, FIRST_SECOND, uid);
        header.set_size(0);
        tar.append_data(&mut header, path, io::empty())
    }
}

fn header(kind: EntryType, mode: u32, time: u64, uid: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(u64::from(uid));
    header.set_gid(u64::from(GID));
    header.set_mtime(time);
    header.set_size(0);
    header
}

/// A path without its first part; none for what leaves it or is not text.
fn below_first(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (parts.len() > 1 && !parts[1..].contains(&".git")).then(|| parts[1..].join("/"))
}

/// A file's time follows from its content: servers of files make cache tags of time and size, and one fixed time for all
/// would tell a browser that a changed file of equal length is the one it has.
fn time_of(hash: [u8; 32]) -> u64 {
    let bits = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) >> 2;
    FIRST_SECOND + u64::from(bits)
}

fn copy_hashing(from: &mut impl Read, to: &mut impl Write) -> io::Result<(u64, u64)> {
    let mut hash = Sha256::new();
    let mut buffer = [0; 1 << 16];
    let mut size = 0;
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok((size, time_of(hash.finalize().into())));
        }
        hash.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
        size += read as u64;
    }
}

/// Hashes and counts what passes.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
    count: u64,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), count: 0 }
    }

    fn digest(&self) -> (Digest, u64) {
        (Digest::from_bytes(self.hash.clone().finalize().into()), self.count)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.count += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tar_of(files: &[(String, Vec<u8>)], time: u64, uid: u64) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (path, bytes) in files {
            let mut header = Header::new_gnu();
            header.set_mode(0o644);
            header.set_mtime(time);
            header.set_uid(uid);
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, format!("app/{path}"), bytes.as_slice()).expect("memory takes all");
        }
        builder.into_inner().expect("memory takes all")
    }

    fn packed(tar: &[u8]) -> (PackedLayer, Vec<u8>) {
        let content = Content::read(tar, tempfile::tempfile().expect("a file"), u64::MAX).expect("a tar");
        let mut out = tempfile::tempfile().expect("a file");
        let packed = content.pack(out.try_clone().expect("a handle"), 200_001).expect("packed");
        let mut bytes = Vec::new();
        out.rewind().expect("a file");
        out.read_to_end(&mut bytes).expect("a file");
        (packed, bytes)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn equal_content_gives_equal_bytes(files in proptest::collection::btree_map("[a-z]{1,6}(/[a-z]{1,4}){0,2}x", proptest::collection::vec(any::<u8>(), 0..300), 0..12), time in 0u64..2_000_000_000, uid in 0u64..70_000) {
            let files: Vec<_> = files.into_iter().collect();
            let mut turned = files.clone();
            turned.reverse();
            let (one, bytes) = packed(&tar_of(&files, 1, 0));
            let (two, _) = packed(&tar_of(&turned, time, uid));
            prop_assert_eq!(&one, &two);
            prop_assert_eq!(Digest::of(&bytes), one.digest);
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).expect("gzip");
            prop_assert_eq!(Digest::of(&plain), one.diff_id);
            prop_assert_eq!(plain.len() as u64, one.unpacked);
        }
    }

    #[test]
    fn a_changed_file_of_equal_length_has_another_time() {
        let time = |text: &str| {
            let content = Content::read(tar_of(&[("a".into(), text.into())], 0, 0).as_slice(), tempfile::tempfile().expect("a file"), 99)
                .expect("a tar");
            match content.nodes["a"] {
                Node::File { time, .. } => time,
                _ => panic!("a file"),
            }
        };
        assert_ne!(time("abc"), time("abd"));
        assert_eq!(time("abc"), time("abc"));
    }

    #[test]
    fn hard_links_stay_one_file_whatever_their_order() {
        let link = |first: &str, second: &str| {
            let mut builder = Builder::new(Vec::new());
            let mut header = header(EntryType::Regular, 0o644, 0, 1);
            header.set_size(3);
            builder.append_data(&mut header, format!("app/{first}"), &b"abc"[..]).expect("memory");
            builder
                .append_link(&mut super::header(EntryType::Link, 0o644, 0, 1), format!("app/{second}"), format!("app/{first}"))
                .expect("memory");
            packed(&builder.into_inner().expect("memory")).0
        };
        assert_eq!(link("a", "b"), link("b", "a"));
    }

    #[test]
    fn a_slug_over_the_limit_names_what_is_large() {
        let tar = tar_of(&[("big/a".into(), vec![0; 60]), ("small".into(), vec![0; 10]), ("z".into(), vec![0; 60])], 0, 0);
        match Content::read(tar.as_slice(), tempfile::tempfile().expect("a file"), 100) {
            Err(SlugError::TooLarge { largest, .. }) => assert_eq!(largest, [("big".to_owned(), 60), ("small".to_owned(), 10)]),
            other => panic!("it should be too large, not {other:?}"),
        }
    }
}
