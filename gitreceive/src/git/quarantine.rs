//! Objects of a push that git holds back until the pre-receive hook accepts it.

use std::path::PathBuf;

/// The two object directories of a push that is not accepted yet. A process sees the pushed commit only with both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// The directory of the new objects; git removes it when the push is refused.
    pub objects: PathBuf,
    /// The directories of the old objects, in the form of `GIT_ALTERNATE_OBJECT_DIRECTORIES`.
    pub alternates: String,
}
