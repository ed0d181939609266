//! `ContainerNames`: the names of containers that this builder uses now.
//!
//! A name is claimed before its container is made and given up after it was removed, so that whatever carries this builder's label
//! and no claim is a leftover: of a call that the engine answered too late, or of a removal that it did not do.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// All container_names of a builder; clones share them.
#[derive(Debug, Clone, Default)]
pub struct ContainerNames(Arc<Mutex<BTreeSet<String>>>);

/// One name; given up when dropped.
#[derive(Debug)]
pub struct ClaimedName {
    name: String,
    container_names: ContainerNames,
}

impl ContainerNames {
    fn names(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Claims a name.
    pub fn claim(&self, name: &str) -> ClaimedName {
        self.names().insert(name.to_owned());
        ClaimedName { name: name.to_owned(), container_names: self.clone() }
    }

    /// Whether a name is in use.
    pub fn holds(&self, name: &str) -> bool {
        self.names().contains(name)
    }
}

impl Drop for ClaimedName {
    fn drop(&mut self) {
        self.container_names.names().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_held_for_as_long_as_its_claim() {
        let container_names = ContainerNames::default();
        let claim = container_names.claim("slipway-b-1");
        assert!(container_names.holds("slipway-b-1") && !container_names.holds("slipway-b-2"));
        drop(claim);
        assert!(!container_names.holds("slipway-b-1"));
    }
}
