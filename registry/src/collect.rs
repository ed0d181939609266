//! Garbage collection: removes manifests and blobs that nothing needs, while pushes go on.
//!
//! Owns the order that makes it safe:
//! 1. Idle uploads expire.
//! 2. Each repository is planned and swept under its exclusive lock, so no manifest that relies on removed content is accepted
//!    in between. Reading the manifests, which takes long, happens before the lock and is cached.
//! 3. Blobs that no repository links are removed one by one, each under its exclusive lock and unless it was linked again.
//!
//! Everything younger than `min_age` stays: a client that has pushed its blobs and not yet its manifest is not disturbed, and
//! registries that share an object store, which do not see each other's locks, are kept apart by it, too: run the collection
//! in one of them, with a `min_age` longer than a push lasts.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use chrono::TimeDelta;
use futures_util::TryStreamExt;
use model::Time;

use crate::detached::detached;
use crate::digest::ContentDigest;
use crate::error::RegistryError;
use crate::layout::{self, Entry};
use crate::manifest::ManifestContents;
use crate::name::RepositoryName;
use crate::registry::Registry;
use crate::sweep::{self, Inventory, StoredManifestInfo};
use crate::uploads;

/// The result of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Manifests that no tag, index, subject or pin led to.
    pub manifests: u64,
    /// Blobs that no repository linked any more.
    pub blobs: u64,
    /// Idle uploads that expired.
    pub uploads: u64,
    /// Bytes that were freed.
    pub bytes: u64,
}

impl Registry {
    /// Removes what is older than `min_age` and not needed by a tag or by a `pinned` digest, in any repository. One collection
    /// runs at a time; a failure leaves everything whole, and the next one goes on.
    ///
    /// `min_age` should be an hour or more: a pushing client that is told "this blob is here" relies on it, and only looks at
    /// blobs that were made visible more than ten minutes ago make them young again.
    pub async fn collect(&self, now: Time, min_age: Duration, pinned: &HashSet<ContentDigest>) -> Result<Swept, RegistryError> {
        let (registry, pinned) = (self.handle(), pinned.clone());
        detached(async move { registry.collect_now(now, min_age, &pinned).await }).await
    }

    async fn collect_now(&self, now: Time, min_age: Duration, pinned: &HashSet<ContentDigest>) -> Result<Swept, RegistryError> {
        let _one = self.collecting.lock().await;
        let idle = uploads::idle_since(SystemTime::from(now), min_age.max(self.limits.upload_idle));
        let cutoff = TimeDelta::from_std(min_age).ok().and_then(|age| now.checked_sub_signed(age)).unwrap_or(Time::MIN_UTC);
        let (uploads, bytes) = self.uploads.expire(idle).await?;
        let mut swept = Swept { uploads, bytes, ..Swept::default() };
        let mut cached = HashMap::new();
        for repository in self.storage.repositories().await? {
            self.sweep_repository(&repository, cutoff, pinned, &mut cached, &mut swept).await?;
        }
        *self.manifest_contents.lock().unwrap_or_else(PoisonError::into_inner) = cached;
        let _watch = Watch::begin(self);
        self.sweep_blobs(cutoff, pinned, &mut swept).await?;
        Ok(swept)
    }

    async fn sweep_repository(
        &self,
        repository: &RepositoryName,
        cutoff: Time,
        pinned: &HashSet<ContentDigest>,
        cached: &mut HashMap<ContentDigest, Arc<ManifestContents>>,
        swept: &mut Swept,
    ) -> Result<(), RegistryError> {
        // Without the lock, to have the manifests at hand when it is held.
        self.inventory(repository, cached).await?;
        let _exclusive = self.repository_locks.exclusive(repository).await;
        let (inventory, sizes) = self.inventory(repository, cached).await?;
        let removals = sweep::removals(&inventory, pinned, cutoff);
        for digest in &removals.manifests {
            if let Some(subject) = inventory.manifests[digest].contents.subject {
                self.storage.remove_referrer(repository, &subject, digest).await?;
            }
            self.storage.remove_manifest(repository, digest).await?;
            swept.manifests += 1;
            swept.bytes += sizes.get(digest).copied().unwrap_or_default();
        }
        for digest in &removals.links {
            self.storage.remove_link(repository, digest).await?;
        }
        Ok(())
    }

    /// What a repository holds, and how long its manifests are.
    async fn inventory(
        &self,
        repository: &RepositoryName,
        cached: &mut HashMap<ContentDigest, Arc<ManifestContents>>,
    ) -> Result<(Inventory, HashMap<ContentDigest, u64>), RegistryError> {
        let mut inventory = Inventory::default();
        let mut sizes = HashMap::new();
        for tag in self.storage.tags(repository).await? {
            inventory.tagged.extend(self.storage.tag(repository, &tag).await?);
        }
        let mut entries = std::pin::pin!(self.storage.list(layout::links(repository)));
        while let Some((entry, meta)) = entries.try_next().await? {
            if let Entry::Link(_, digest) = entry {
                inventory.links.insert(digest, meta.last_modified);
            }
        }
        let mut entries = std::pin::pin!(self.storage.list(layout::manifests(repository)));
        while let Some((entry, meta)) = entries.try_next().await? {
            if let Entry::Manifest(_, digest) = entry
                && let Some(contents) = self.contents_of(repository, &digest, cached).await?
            {
                inventory.manifests.insert(digest, StoredManifestInfo { written: meta.last_modified, contents });
                sizes.insert(digest, meta.size);
            }
        }
        Ok((inventory, sizes))
    }

    /// The contents of a manifest; `None` when it has gone meanwhile. One that can not be read stops the collection: what it
    /// needs is not known, so nothing may go.
    async fn contents_of(
        &self,
        repository: &RepositoryName,
        digest: &ContentDigest,
        cached: &mut HashMap<ContentDigest, Arc<ManifestContents>>,
    ) -> Result<Option<Arc<ManifestContents>>, RegistryError> {
        if let Some(contents) = cached.get(digest) {
            return Ok(Some(contents.clone()));
        }
        let before = self.manifest_contents.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned();
        let contents = match before {
            Some(contents) => contents,
            None => {
                let Some(manifest) = self.storage.manifest(repository, digest).await? else { return Ok(None) };
                let damaged = || RegistryError::Damaged { key: layout::manifest(repository, digest).to_string() };
                Arc::new(ManifestContents::read(&manifest.bytes).ok_or_else(damaged)?)
            }
        };
        cached.insert(*digest, contents.clone());
        Ok(Some(contents))
    }

    async fn sweep_blobs(&self, cutoff: Time, pinned: &HashSet<ContentDigest>, swept: &mut Swept) -> Result<(), RegistryError> {
        let mut linked = HashSet::new();
        let mut entries = std::pin::pin!(self.storage.list(layout::repositories()));
        while let Some((entry, _)) = entries.try_next().await? {
            if let Entry::Link(_, digest) = entry {
                linked.insert(digest);
            }
        }
        let mut entries = std::pin::pin!(self.storage.list(layout::blobs()));
        while let Some((entry, meta)) = entries.try_next().await? {
            let Entry::Blob(digest) = entry else { continue };
            if meta.last_modified > cutoff || linked.contains(&digest) || pinned.contains(&digest) {
                continue;
            }
            // It is being linked now, or was since the links were listed.
            let Some(_exclusive) = self.blob_locks.try_exclusive(&digest) else { continue };
            if self.is_fresh(&digest) {
                continue;
            }
            if self.storage.remove_blob(&digest).await? {
                swept.blobs += 1;
                swept.bytes += meta.size;
            }
        }
        Ok(())
    }

    fn is_fresh(&self, digest: &ContentDigest) -> bool {
        let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.as_ref().is_some_and(|fresh| fresh.contains(digest))
    }
}

/// While it lives, the registry records which blobs are linked.
struct Watch<'a>(&'a Registry);

impl<'a> Watch<'a> {
    fn begin(registry: &'a Registry) -> Self {
        *registry.fresh.lock().unwrap_or_else(PoisonError::into_inner) = Some(HashSet::new());
        Self(registry)
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        *self.0.fresh.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
