//! The git half: repositories, the rules of refs, and the git processes that serve pushes and fetches.

pub(crate) mod commit_source;
pub(crate) mod housekeeping;
pub(crate) mod pid_files;
pub(crate) mod process;
pub(crate) mod pushes;
pub(crate) mod quarantine;
pub(crate) mod receive;
pub(crate) mod refs;
pub(crate) mod repositories;
pub(crate) mod shallow_negotiation;
pub(crate) mod tree_stats;
pub(crate) mod upload;
