//! `TreeStats`: what lies in a tree, as far as it matters before it is built.

/// What a tree holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeStats {
    /// Files and links, counted as often as they would be written.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// A few of the largest files with their sizes, largest first.
    pub largest: Vec<(String, u64)>,
    /// Paths of submodules, as many as are worth naming: their files are not part of a push.
    pub submodules: Vec<String>,
    /// Paths of git-lfs pointers, as many as are worth naming: the contents behind them are not part of a push.
    pub lfs_pointers: Vec<String>,
}
