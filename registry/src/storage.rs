//! Storage: every read and write of an object, by its meaning.
//!
//! Owns the object store and the staging directory. Decides nothing: access, removals and their order are up to its callers.
//! Every write is atomic: an object exists in full, or not at all.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::digest::ContentDigest;
use crate::error::RegistryError;
use crate::layout::{self, Entry};
use crate::name::{RepositoryName, Tag};

/// Where a registry keeps its content.
#[derive(Debug)]
pub struct Storage {
    objects: Arc<dyn ObjectStore>,
    /// The same objects, but a write does not wait for the disk; `settle_links` does so later.
    lazy: Arc<dyn ObjectStore>,
    staging: PathBuf,
    /// The directory that the objects are files of, if they are.
    root: Option<PathBuf>,
    /// Held as long as this process serves from here.
    _lock: File,
}

/// A manifest as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct StoredManifest {
    pub(crate) media_type: String,
    pub(crate) bytes: Bytes,
}

/// The line in front of a stored manifest.
#[derive(Serialize, Deserialize)]
struct ManifestHead {
    #[serde(rename = "mediaType")]
    media_type: String,
}

/// Size of the parts in which a staged file is sent to a remote store.
const PIECE: usize = 8 << 20;

impl Storage {
    /// Everything below one local directory. An acknowledged write has reached the disk.
    pub fn on_disk(root: &FsPath) -> Result<Self, RegistryError> {
        let staging = root.join(layout::UPLOADS);
        private_dirs(&staging)?;
        let lazy = LocalFileSystem::new_with_prefix(root).map_err(failed("open", &Path::default()))?;
        let objects = lazy.clone().with_fsync(true);
        let lock = lock(&root.join("lock"))?;
        Ok(Self { objects: Arc::new(objects), lazy: Arc::new(lazy), staging, root: Some(root.into()), _lock: lock })
    }

    /// Content in any object store; uploads wait in a local directory until they are whole.
    pub fn in_objects(objects: Arc<dyn ObjectStore>, staging: &FsPath) -> Result<Self, RegistryError> {
        private_dirs(staging)?;
        let lock = lock(&staging.join("lock"))?;
        Ok(Self { lazy: objects.clone(), objects, staging: staging.into(), root: None, _lock: lock })
    }

    pub(crate) fn staging(&self) -> &FsPath {
        &self.staging
    }

    /// Makes a whole, verified, synced staged file the content of `digest`, and removes it from the staging directory.
    pub(crate) async fn publish(&self, staged: &FsPath, digest: &ContentDigest) -> Result<(), RegistryError> {
        let key = layout::blob(digest);
        if let Some(root) = &self.root {
            let (from, to) = (staged.to_path_buf(), root.join(key.as_ref()));
            // Over an older copy of the same content, if there is one, so that its age starts anew.
            return blocking(to.clone(), move || {
                let parent = to.parent().unwrap_or(&to);
                if let Err(error) = std::fs::rename(&from, &to) {
                    if error.kind() != io::ErrorKind::NotFound || parent.exists() {
                        return Err(error);
                    }
                    std::fs::create_dir_all(parent)?;
                    std::fs::rename(&from, &to)?;
                    sync_up(parent, 2)?;
                }
                File::open(parent)?.sync_all()
            })
            .await;
        }
        if self.head(&key).await?.is_none() {
            self.send(staged, &key).await?;
        }
        tokio::fs::remove_file(staged).await.map_err(|source| RegistryError::File { path: staged.into(), source })
    }

    async fn send(&self, staged: &FsPath, key: &Path) -> Result<(), RegistryError> {
        let file_failed = |source| RegistryError::File { path: staged.into(), source };
        let mut file = tokio::fs::File::open(staged).await.map_err(file_failed)?;
        let mut writer = BufWriter::with_capacity(self.objects.clone(), key.clone(), PIECE).with_max_concurrency(2);
        let sent: Result<(), RegistryError> = async {
            loop {
                let mut piece = Vec::with_capacity(PIECE);
                (&mut file).take(PIECE as u64).read_to_end(&mut piece).await.map_err(file_failed)?;
                if piece.is_empty() {
                    return Ok(());
                }
                writer.put(piece.into()).await.map_err(failed("write", key))?;
            }
        }
        .await;
        match sent {
            Ok(()) => writer.shutdown().await.map_err(|error| failed("write", key)(generic(error))),
            Err(error) => {
                // Parts that stay behind cost space only; the first failure is the one to report.
                let _ = writer.abort().await;
                Err(error)
            }
        }
    }

    /// Length and age of a blob's content.
    pub(crate) async fn blob(&self, digest: &ContentDigest) -> Result<Option<ObjectMeta>, RegistryError> {
        self.head(&layout::blob(digest)).await
    }

    /// The content of a blob, whole or in part.
    pub(crate) async fn open_blob(&self, digest: &ContentDigest, options: GetOptions) -> Result<Option<GetResult>, RegistryError> {
        let key = layout::blob(digest);
        present(self.objects.get_opts(&key, options).await, "read", &key)
    }

    pub(crate) async fn remove_blob(&self, digest: &ContentDigest) -> Result<bool, RegistryError> {
        self.remove(&layout::blob(digest)).await
    }

    /// When a blob was made visible in a repository.
    pub(crate) async fn link(&self, repository: &RepositoryName, digest: &ContentDigest) -> Result<Option<ObjectMeta>, RegistryError> {
        self.head(&layout::link(repository, digest)).await
    }

    pub(crate) async fn put_link(&self, repository: &RepositoryName, digest: &ContentDigest) -> Result<(), RegistryError> {
        let key = layout::link(repository, digest);
        self.lazy.put(&key, Bytes::new().into()).await.map(drop).map_err(failed("write", &key))
    }

    /// Waits until the links of a repository have reached the disk.
    pub(crate) async fn settle_links(&self, repository: &RepositoryName) -> Result<(), RegistryError> {
        let Some(root) = &self.root else { return Ok(()) };
        let links = root.join(layout::links(repository).as_ref());
        let depth = repository.as_str().split('/').count() + 2;
        blocking(links.clone(), move || {
            for algorithm in std::fs::read_dir(&links).into_iter().flatten() {
                File::open(algorithm?.path())?.sync_all()?;
            }
            // The directories above are new, too, when this is the first manifest.
            if links.exists() { sync_up(&links, depth) } else { Ok(()) }
        })
        .await
    }

    pub(crate) async fn remove_link(&self, repository: &RepositoryName, digest: &ContentDigest) -> Result<bool, RegistryError> {
        self.remove(&layout::link(repository, digest)).await
    }

    pub(crate) async fn has_manifest(&self, repository: &RepositoryName, digest: &ContentDigest) -> Result<bool, RegistryError> {
        Ok(self.head(&layout::manifest(repository, digest)).await?.is_some())
    }

    pub(crate) async fn manifest(
        &self,
        repository: &RepositoryName,
        digest: &ContentDigest,
    ) -> Result<Option<StoredManifest>, RegistryError> {
        let key = layout::manifest(repository, digest);
        let Some(mut bytes) = self.get(&key).await? else { return Ok(None) };
        let damaged = || RegistryError::Damaged { key: key.to_string() };
        let end = bytes.iter().position(|&b| b == b'\n').ok_or_else(damaged)?;
        let head = bytes.split_to(end + 1);
        let head: ManifestHead = serde_json::from_slice(&head).map_err(|_| damaged())?;
        Ok(Some(StoredManifest { media_type: head.media_type, bytes }))
    }

    pub(crate) async fn put_manifest(
        &self,
        repository: &RepositoryName,
        digest: &ContentDigest,
        manifest: &StoredManifest,
    ) -> Result<(), RegistryError> {
        let head = ManifestHead { media_type: manifest.media_type.clone() };
        let mut record = serde_json::to_vec(&head).expect("a string is always JSON");
        record.push(b'\n');
        record.extend_from_slice(&manifest.bytes);
        self.put(&layout::manifest(repository, digest), record.into()).await
    }

    pub(crate) async fn remove_manifest(&self, repository: &RepositoryName, digest: &ContentDigest) -> Result<bool, RegistryError> {
        self.remove(&layout::manifest(repository, digest)).await
    }

    /// The manifest a tag names.
    pub(crate) async fn tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<Option<ContentDigest>, RegistryError> {
        let key = layout::tag(repository, tag);
        let Some(bytes) = self.get(&key).await? else { return Ok(None) };
        let digest = std::str::from_utf8(&bytes).ok().and_then(|text| ContentDigest::parse(text).ok());
        digest.map(Some).ok_or_else(|| RegistryError::Damaged { key: key.to_string() })
    }

    pub(crate) async fn put_tag(&self, repository: &RepositoryName, tag: &Tag, digest: &ContentDigest) -> Result<(), RegistryError> {
        self.put(&layout::tag(repository, tag), digest.to_string().into()).await
    }

    pub(crate) async fn remove_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<bool, RegistryError> {
        self.remove(&layout::tag(repository, tag)).await
    }

    /// All tags of a repository, in order.
    pub(crate) async fn tags(&self, repository: &RepositoryName) -> Result<BTreeSet<Tag>, RegistryError> {
        let entries = self.list(layout::tags(repository));
        let tag = |(entry, _)| match entry {
            Entry::Tag(_, tag) => Some(tag),
            _ => None,
        };
        entries.try_filter_map(|entry| std::future::ready(Ok(tag(entry)))).try_collect().await
    }

    pub(crate) async fn referrer(
        &self,
        repository: &RepositoryName,
        subject: &ContentDigest,
        digest: &ContentDigest,
    ) -> Result<Option<Bytes>, RegistryError> {
        self.get(&layout::referrer(repository, subject, digest)).await
    }

    pub(crate) async fn put_referrer(
        &self,
        repository: &RepositoryName,
        subject: &ContentDigest,
        digest: &ContentDigest,
        descriptor: Bytes,
    ) -> Result<(), RegistryError> {
        self.put(&layout::referrer(repository, subject, digest), descriptor).await
    }

    pub(crate) async fn remove_referrer(
        &self,
        repository: &RepositoryName,
        subject: &ContentDigest,
        digest: &ContentDigest,
    ) -> Result<bool, RegistryError> {
        self.remove(&layout::referrer(repository, subject, digest)).await
    }

    /// The manifests that refer to a subject, in order.
    pub(crate) async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &ContentDigest,
    ) -> Result<BTreeSet<ContentDigest>, RegistryError> {
        let entries = self.list(layout::referrers(repository, subject));
        let referrer = |(entry, _)| match entry {
            Entry::Referrer(_, _, digest) => Some(digest),
            _ => None,
        };
        entries.try_filter_map(|entry| std::future::ready(Ok(referrer(entry)))).try_collect().await
    }

    /// Every repository that holds anything.
    pub(crate) async fn repositories(&self) -> Result<BTreeSet<RepositoryName>, RegistryError> {
        let mut entries = std::pin::pin!(self.list(layout::repositories()));
        let mut names = BTreeSet::new();
        while let Some((entry, _)) = entries.try_next().await? {
            if let Some(name) = entry.repository()
                && !names.contains(name)
            {
                names.insert(name.clone());
            }
        }
        Ok(names)
    }

    /// Everything of ours below a prefix. What vanishes meanwhile is left out.
    pub(crate) fn list(&self, prefix: Path) -> impl Stream<Item = Result<(Entry, ObjectMeta), RegistryError>> + use<> {
        let listing = self.objects.list(Some(&prefix));
        listing.filter_map(move |found| {
            std::future::ready(match found {
                Ok(meta) => Entry::read(&meta.location).map(|entry| Ok((entry, meta))),
                Err(object_store::Error::NotFound { .. }) => None,
                Err(source) => Some(Err(failed("list", &prefix)(source))),
            })
        })
    }

    async fn head(&self, key: &Path) -> Result<Option<ObjectMeta>, RegistryError> {
        present(self.objects.head(key).await, "look at", key)
    }

    async fn get(&self, key: &Path) -> Result<Option<Bytes>, RegistryError> {
        let Some(found) = present(self.objects.get(key).await, "read", key)? else { return Ok(None) };
        present(found.bytes().await, "read", key)
    }

    async fn put(&self, key: &Path, bytes: Bytes) -> Result<(), RegistryError> {
        self.objects.put(key, bytes.into()).await.map(drop).map_err(failed("write", key))
    }

    /// Removes an object; `false` when there is none, as far as the store reports it.
    async fn remove(&self, key: &Path) -> Result<bool, RegistryError> {
        Ok(present(self.objects.delete(key).await, "remove", key)?.is_some())
    }
}

fn failed(doing: &'static str, key: &Path) -> impl Fn(object_store::Error) -> RegistryError {
    move |source| RegistryError::Objects { doing, key: key.to_string(), source }
}

fn generic(error: io::Error) -> object_store::Error {
    object_store::Error::Generic { store: "staging", source: error.into() }
}

fn present<T>(result: object_store::Result<T>, doing: &'static str, key: &Path) -> Result<Option<T>, RegistryError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(source) => Err(failed(doing, key)(source)),
    }
}

/// Makes the entries of a directory, and of this many above it, last.
fn sync_up(dir: &FsPath, above: usize) -> io::Result<()> {
    dir.ancestors().take(above + 1).try_for_each(|dir| File::open(dir)?.sync_all())
}

/// Runs blocking file work on a thread for it.
async fn blocking(path: PathBuf, work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<(), RegistryError> {
    let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|source| RegistryError::File { path, source })
}

/// Makes a directory that other users of the machine can not read.
fn private_dirs(path: &FsPath) -> Result<(), RegistryError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| RegistryError::File { path: path.into(), source })
}

/// Two processes on one directory would not see each other's locks, and collect what the other just wrote.
fn lock(path: &FsPath) -> Result<File, RegistryError> {
    let opened = File::options().create(true).append(true).open(path);
    let file = opened.map_err(|source| RegistryError::File { path: path.into(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RegistryError::InUse { path: path.into() }),
        Err(TryLockError::Error(source)) => Err(RegistryError::File { path: path.into(), source }),
    }
}
