//! The registry itself, without its protocol: content that becomes visible, stays, and goes.
//!
//! Owns the order of writes and removals, and the locks that keep a collection and a push apart. Must never know HTTP, nor who
//! asks.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::Router;
use futures_util::TryStreamExt;

use crate::digest::ContentDigest;
use crate::endpoint;
use crate::error::RegistryError;
use crate::grant::Doorkeeper;
use crate::layout::{self, Entry};
use crate::locks::Locks;
use crate::manifest::Points;
use crate::name::{RepositoryName, Tag};
use crate::server::Server;
use crate::storage::Storage;
use crate::undisturbed::undisturbed;
use crate::upload::{Uploads, Writing};

/// How much a caller may send, and how long it may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest manifest, in bytes.
    pub manifest_bytes: u64,
    /// Longest blob, in bytes.
    pub blob_bytes: u64,
    /// Uploads that may be open in one repository at once.
    pub uploads_per_repository: usize,
    /// How long a client that sends may be silent.
    pub stall: Duration,
    /// How long an upload that nobody continues is kept at least.
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

/// What a registry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Repositories that hold anything.
    pub repositories: u64,
    /// Manifests, in all repositories.
    pub manifests: u64,
    /// Different blobs.
    pub blobs: u64,
    /// Bytes of all that is stored, uploads on their way included.
    pub bytes: u64,
}

/// A registry, served by any number of endpoints.
#[derive(Debug)]
pub struct Registry {
    /// For work that goes on when its caller does not.
    me: Weak<Self>,
    pub(crate) storage: Storage,
    pub(crate) uploads: Uploads,
    pub(crate) limits: Limits,
    /// Shared by whoever makes a content visible, alone for whoever removes it.
    pub(crate) contents: Locks<ContentDigest>,
    /// Shared by whoever adds to a repository, alone for whoever removes from it.
    pub(crate) repositories: Locks<RepositoryName>,
    /// What became visible while a collection runs.
    pub(crate) fresh: Mutex<Option<HashSet<ContentDigest>>>,
    /// What manifests point at, remembered from one collection to the next.
    pub(crate) points: Mutex<HashMap<ContentDigest, Arc<Points>>>,
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
            contents: Locks::default(),
            repositories: Locks::default(),
            fresh: Mutex::default(),
            points: Mutex::default(),
            collecting: tokio::sync::Mutex::default(),
        })
    }

    /// A registry below one local directory, with the usual limits.
    pub fn on_disk(root: &Path) -> Result<Arc<Self>, RegistryError> {
        Ok(Self::open(Storage::on_disk(root)?, Limits::default()))
    }

    /// The endpoint, to be served by somebody else's listener.
    pub fn router(self: &Arc<Self>, doorkeeper: Arc<dyn Doorkeeper>) -> Router {
        endpoint::router(self.clone(), doorkeeper)
    }

    /// Listens for callers; port 0 takes a free one.
    pub async fn bind(self: &Arc<Self>, address: SocketAddr, doorkeeper: Arc<dyn Doorkeeper>) -> Result<Server, RegistryError> {
        Server::bind(address, self.router(doorkeeper)).await
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
        for shelf in [layout::manifests(repository), layout::links(repository)] {
            let mut entries = std::pin::pin!(self.storage.list(shelf));
            if entries.try_next().await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes everything that a repository, and those below it, hold; contents that nobody else shows go with the next
    /// collection. Says how many manifests went.
    pub async fn remove_within(&self, prefix: &RepositoryName) -> Result<u64, RegistryError> {
        let (registry, prefix) = (self.handle(), prefix.clone());
        undisturbed(async move { registry.remove_all_within(&prefix).await }).await
    }

    async fn remove_all_within(&self, prefix: &RepositoryName) -> Result<u64, RegistryError> {
        let mut removed = 0;
        for repository in self.storage.repositories().await? {
            if !repository.is_within(prefix) {
                continue;
            }
            let _alone = self.repositories.alone(&repository).await;
            for tag in self.storage.tags(&repository).await? {
                self.storage.remove_tag(&repository, &tag).await?;
            }
            for shelf in [layout::all_referrers(&repository), layout::manifests(&repository), layout::links(&repository)] {
                let entries: Vec<_> = self.storage.list(shelf).try_collect().await?;
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

    /// Counts what is stored. Looks at every object, so not for every second.
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

    /// Makes a sealed upload the content of its digest, shows it in the repository, and ends the upload.
    pub(crate) async fn shelve(&self, writing: Writing, repository: &RepositoryName, digest: &ContentDigest) -> Result<(), RegistryError> {
        let _content = self.contents.shared(digest).await;
        self.storage.publish(writing.path(), digest).await?;
        self.show(repository, digest).await?;
        self.uploads.close(writing).await;
        Ok(())
    }

    /// Shows a content that is stored already in a repository; says whether it was stored.
    pub(crate) async fn attach(&self, repository: &RepositoryName, digest: &ContentDigest) -> Result<bool, RegistryError> {
        let _content = self.contents.shared(digest).await;
        if self.storage.blob(digest).await?.is_none() {
            return Ok(false);
        }
        self.show(repository, digest).await?;
        Ok(true)
    }

    /// The content must be held when this is called.
    async fn show(&self, repository: &RepositoryName, digest: &ContentDigest) -> Result<(), RegistryError> {
        let _repository = self.repositories.shared(repository).await;
        self.storage.put_link(repository, digest).await?;
        // After the link: a collection that begins to watch later than this finds the link in its list.
        if let Some(fresh) = self.fresh.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            fresh.insert(*digest);
        }
        Ok(())
    }

    /// Removes a manifest with the tags that name it; says whether it was there.
    pub(crate) async fn remove_manifest(&self, repository: &RepositoryName, digest: &ContentDigest) -> Result<bool, RegistryError> {
        let _alone = self.repositories.alone(repository).await;
        let Some(manifest) = self.storage.manifest(repository, digest).await? else { return Ok(false) };
        for tag in self.storage.tags(repository).await? {
            if self.storage.tag(repository, &tag).await? == Some(*digest) {
                self.storage.remove_tag(repository, &tag).await?;
            }
        }
        if let Some(subject) = Points::read(&manifest.bytes).and_then(|points| points.subject) {
            self.storage.remove_referrer(repository, &subject, digest).await?;
        }
        self.storage.remove_manifest(repository, digest).await
    }

    /// Removes a tag; says whether it was there.
    pub(crate) async fn remove_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<bool, RegistryError> {
        let _alone = self.repositories.alone(repository).await;
        let known = self.storage.tag(repository, tag).await?.is_some();
        Ok(known && self.storage.remove_tag(repository, tag).await?)
    }

    /// Hides a blob from a repository; says whether it was there.
    pub(crate) async fn hide(&self, repository: &RepositoryName, digest: &ContentDigest) -> Result<bool, RegistryError> {
        let _alone = self.repositories.alone(repository).await;
        let known = self.storage.link(repository, digest).await?.is_some();
        Ok(known && self.storage.remove_link(repository, digest).await?)
    }
}
