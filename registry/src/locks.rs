//! A readers-writer lock for each key, made on demand and freed when unused.
//!
//! Additions to one repository or blob share its lock; a removal holds it exclusively. Must never be held over a wait for a
//! client. Order, where both are needed: the blob first, then the repository.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// The locks by key.
#[derive(Debug)]
pub(crate) struct Locks<K> {
    known: Mutex<HashMap<K, Weak<RwLock<()>>>>,
}

impl<K> Default for Locks<K> {
    fn default() -> Self {
        Self { known: Mutex::default() }
    }
}

impl<K: Clone + Eq + Hash> Locks<K> {
    /// Waits until nobody holds the key alone.
    pub(crate) async fn shared(&self, key: &K) -> OwnedRwLockReadGuard<()> {
        self.of(key).read_owned().await
    }

    /// Waits until nobody holds the key.
    pub(crate) async fn exclusive(&self, key: &K) -> OwnedRwLockWriteGuard<()> {
        self.of(key).write_owned().await
    }

    /// The key alone, unless somebody holds it now.
    pub(crate) fn try_exclusive(&self, key: &K) -> Option<OwnedRwLockWriteGuard<()>> {
        self.of(key).try_write_owned().ok()
    }

    fn of(&self, key: &K) -> Arc<RwLock<()>> {
        // The map stays whole through a panic: every step on it is a single call.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = known.get(key).and_then(Weak::upgrade) {
            return lock;
        }
        if known.len() == known.capacity() {
            known.retain(|_, lock| lock.strong_count() > 0);
        }
        let lock = Arc::default();
        known.insert(key.clone(), Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readers_share_and_writers_do_not() {
        let locks = Locks::default();
        let (one, two) = (locks.shared(&1).await, locks.shared(&1).await);
        assert!(locks.try_exclusive(&1).is_none());
        assert!(locks.try_exclusive(&2).is_some(), "another key is another lock");
        drop((one, two));
        let exclusive = locks.try_exclusive(&1).expect("nobody holds it");
        assert!(locks.try_exclusive(&1).is_none());
        drop(exclusive);
    }

    #[tokio::test]
    async fn unused_locks_go() {
        let locks = Locks::default();
        for key in 0..10_000 {
            drop(locks.shared(&key).await);
        }
        assert!(locks.known.lock().expect("not poisoned").len() < 100);
    }
}
