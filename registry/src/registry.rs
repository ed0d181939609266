//! The registry without its protocol: publishes, links and removes contents.
//!
//! Owns the order of writes and removals, and the locks that keep a collection and a push apart. Must never know HTTP or its
//! callers.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::TryStreamExt;

use crate::detached::detached;
use crate::digest::ContentDigest;
use crate::error::RegistryError;
use crate::layout::{self, Entry};
use crate::locks::Locks;
use crate::manifest::ManifestContents;
use crate::name::{RepositoryName, Tag};
use crate::storage::Storage;
use crate::upload_writer::UploadWriter;
use crate::uploads::Uploads;

/// How much a caller may send, and how long it may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest manifest, in bytes.
    pub manifest_bytes: u64,
    /// Longest blob, in bytes.
    pub blob_bytes: u64,
    /// Uploads that may be open in one repository at once.
    pub uploads_per_repository: usize,
    /// How long a client may send nothing in the middle of a body.
    pub stall: Duration,
    /// Least time that an idle upload is kept.
    pub upload_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest_bytes: 4 << 20,
            blob_bytes: 16 << 30,
            uploads_per_repository: 64,
            stall: Duration::from_secs(60),
            upload_idle: Duration::from_secs(3600),
        }
    }
}

/// Numbers and sizes of what a registry stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Repositories that hold anything.
    pub repositories: u64,
    /// Manifests, in all repositories.
    pub manifests: u64,
    /// Different blobs.
    pub blobs: u64,
    /// Bytes of everything stored, open uploads included.
    pub bytes: u64,
}

/// A registry, served by any number of endpoints.
#[derive(Debug)]
pub struct Registry {
    /// For detached work, which needs a handle of its own.
    me: Weak<Self>,
    pub(crate) storage: Storage,
    pub(crate) uploads: Uploads,
    pub(crate) limits: Limits,
    /// Held shared to link a blob, exclusively to remove it.
    pub(crate) blob_locks: Locks<ContentDigest>,
    /// Held shared to add to a repository, exclusively to remove from it.
    pub(crate) repository_locks: Locks<RepositoryName>,
    /// The blobs that were linked while a collection runs.
    pub(crate) fresh: Mutex<Option<HashSet<ContentDigest>>>,
    /// The contents of manifests, cached from one collection to the next.
    pub(crate) manifest_contents: Mutex<HashMap<ContentDigest, Arc<ManifestContents>>>,
    pub(crate) collecting: tokio::sync::Mutex<()>,
}

impl Registry {
    /// A registry on this storage.
    pub fn open(storage: Storage, limits: Limits) -> Arc<Self> {
        let uploads = Uploads::new(storage.staging());
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            storage,
            uploads,
            limits,
            blob_locks: Locks::default(),
            repository_locks: Locks::default(),
            fresh: Mutex::default(),
            manifest_contents: Mutex::default(),
            collecting: tokio::sync::Mutex::default(),
        })
    }

    /// A registry below one local directory, with the usual limits.
    pub fn on_disk(root: &Path) -> Result<Arc<Self>, RegistryError> {
        Ok(Self::open(Storage::on_disk(root)?, Limits::default()))
    }

    /// Whether a repository holds a manifest.
    pub async fn holds(&self, repository: &RepositoryName, digest: &ContentDigest) -> Result<bool, RegistryError> {
        self.storage.has_manifest(repository, digest).await
    }

    /// A handle of its own for a task.
    pub(crate) fn handle(&self) -> Arc<Self> {
        self.me.upgrade().expect("a registry is only ever made in an Arc, which whoever calls it holds")
    }

    /// Whether a repository holds anything.
    pub(crate) async fn is_known(&self, repository: &RepositoryName) -> Result<bool, RegistryError> {
        for prefix in [layout::manifests(repository), layout::links(repository)] {
            let mut entries = std::pin::pin!(self.storage.list(prefix));
            if entries.try_next().await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes everything of a repository and of those below it; blobs that no other repository links are removed by the next
    /// collection. Returns the number of removed manifests.
    pub async fn remove_within(&self, prefix: &RepositoryName) -> Result<u64, RegistryError> {
        let (registry, prefix) = (self.handle(), prefix.clone());
        detached(async move { registry.remove_all_within(&prefix).await }).await
    }

    async fn remove_all_within(&self, prefix: &RepositoryName) -> Result<u64, RegistryError> {
        let mut removed = 0;
        for repository in self.storage.repositories().await? {
            if !repository.is_within(prefix) {
                continue;
            }
            let _exclusive = self.repository_locks.exclusive(&repository).await;
            for tag in self.storage.tags(&repository).await? {
                self.storage.remove_tag(&repository, &tag).await?;
            }
            for prefix in [layout::all_referrers(&repository), layout::manifests(&repository), layout::links(&repository)] {
                let entries: Vec<_> = self.storage.list(prefix).try_collect().await?;
                for (entry, _) in entries {
                    match entry {
                        Entry::Referrer(_, subject, digest) => self.storage.remove_referrer(&repository, &subject, &digest).await?,
                        Entry::Manifest(_, digest) => {
                            removed += 1;
                            self.storage.remove_manifest(&repository, &digest).await?
                        }
                        Entry::Link(_, digest) => self.storage.remove_link(&repository, &digest).await?,
                        Entry::Blob(_) | Entry::Tag(..) => false,
                    };
                }
            }
        }
        Ok(removed)
    }

    /// Counts what is stored. It lists every object, so it is not for frequent use.
    pub async fn usage(&self) -> Result<Usage, RegistryError> {
        let mut usage = Usage { bytes: self.uploads.bytes().await?, ..Usage::default() };
        let mut names = HashSet::new();
        for top in [layout::blobs(), layout::repositories()] {
            let mut entries = std::pin::pin!(self.storage.list(top));
            while let Some((entry, meta)) = entries.try_next().await? {
                usage.bytes += meta.size;
                match &entry {
                    Entry::Blob(_) => usage.blobs += 1,
                    Entry::Manifest(..) => usage.manifests += 1,
                    Entry::Link(..) | Entry::Tag(..) | Entry::Referrer(..) => {}
                }
                if let Some(name) = entry.repository()
                    && !names.contains(name)
                {
                    names.insert(name.clone());
                }
            }
        }
        usage.repositories = names.len() as u64;
        Ok(usage)
    }

    /// Publishes a sealed upload under its digest, links it into the repository, and ends the upload.
    pub(crate) async fn publish(
        &self,
        writer: UploadWriter,
        repository: &RepositoryName,
        digest: &ContentDigest,
    ) -> Result<(), RegistryError> {
        let _content = self.blob_locks.shared(digest).await;
        self.storage.publish(writer.path(), digest).await?;
        self.add_link(repository, digest).await?;
        self.uploads.close(writer).await;
        Ok(())
    }

    /// Links a stored blob into a repository; `false` when it is not stored.
    pub(crate) async fn link_blob(&self, repository: &RepositoryName, digest: &ContentDigest) -> Result<bool, RegistryError> {
        let _content = self.blob_locks.shared(digest).await;
        if self.storage.blob(digest).await?.is_none() {
            return Ok(false);
        }
        self.add_link(repository, digest).await?;
        Ok(true)
    }

    /// Adds the link. The caller holds the blob's lock.
    async fn add_link(&self, repository: &RepositoryName, digest: &ContentDigest) -> Result<(), RegistryError> {
        let _repository = self.repository_locks.shared(repository).await;
        self.storage.put_link(repository, digest).await?;
        // After the link: a collection that begins to watch later than this finds the link in its list.
        if let Some(fresh) = self.fresh.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            fresh.insert(*digest);
        }
        Ok(())
    }

    /// Removes a manifest with the tags that name it; `false` when there is none.
    pub(crate) async fn remove_manifest(&self, repository: &RepositoryName, digest: &ContentDigest) -> Result<bool, RegistryError> {
        let _exclusive = self.repository_locks.exclusive(repository).await;
        let Some(manifest) = self.storage.manifest(repository, digest).await? else { return Ok(false) };
        for tag in self.storage.tags(repository).await? {
            if self.storage.tag(repository, &tag).await? == Some(*digest) {
                self.storage.remove_tag(repository, &tag).await?;
            }
        }
        if let Some(subject) = ManifestContents::read(&manifest.bytes).and_then(|contents| contents.subject) {
            self.storage.remove_referrer(repository, &subject, digest).await?;
        }
        self.storage.remove_manifest(repository, digest).await
    }

    /// Removes a tag; `false` when there is none.
    pub(crate) async fn remove_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<bool, RegistryError> {
        let _exclusive = self.repository_locks.exclusive(repository).await;
        let known = self.storage.tag(repository, tag).await?.is_some();
        Ok(known && self.storage.remove_tag(repository, tag).await?)
    }

    /// Removes a blob's link from a repository; `false` when there is none.
    pub(crate) async fn unlink_blob(&self, repository: &RepositoryName, digest: &ContentDigest) -> Result<bool, RegistryError> {
        let _exclusive = self.repository_locks.exclusive(repository).await;
        let known = self.storage.link(repository, digest).await?.is_some();
        Ok(known && self.storage.remove_link(repository, digest).await?)
    }
}
