//! The registry: an OCI distribution endpoint (specification 1.1) for slug images and any other artefact.
//!
//! Owns blobs, manifests, tags and referrers, and who may see which. Must never know what an app, a build or a release is: an
//! [`Authenticator`] says what a caller may do, and the digests given to [`Registry::collect`] say which images must stay.
//!
//! # Storage
//!
//! Everything is an object in an `object_store`, on disk a file below one directory:
//!
//! ```text
//! blobs/<algorithm>/<hex>                                the content of a blob, once, for all repositories
//! repositories/<name>/_blobs/<algorithm>/<hex>           empty: the blob is visible in this repository
//! repositories/<name>/_manifests/<algorithm>/<hex>       a line of JSON with the media type, then the manifest byte by byte
//! repositories/<name>/_tags/<tag>                        the digest that the tag names
//! repositories/<name>/_referrers/<algorithm>/<hex of the subject>/<algorithm>/<hex>
//!                                                        the descriptor of a manifest that refers to the subject
//! uploads/<id>, uploads/<id>.repository                  an open upload, and its repository (always on a local disk)
//! lock                                                   held by the one process that serves from this directory
//! ```
//!
//! # Invariants
//!
//! - An object exists in full or not at all: a blob appears under its digest by a rename (or by the completion of a multipart
//!   upload), after its bytes were hashed and have reached the disk.
//! - A blob can be read only through a repository that links it: contents are shared, access is not.
//! - A manifest is accepted only while everything it needs is visible in its repository, and nothing can be removed from the
//!   repository meanwhile.
//! - What was acknowledged is on disk: the bytes of a blob with its upload, its link with the manifest that needs it.
//! - Several registries may serve from one object store, each with its own staging directory; an upload then has to go on
//!   where it began, and one of them collects (see [`Registry::collect`] for the grace).
//! - Memory does not grow with the length of a blob: about two batches of 1 MiB for each running upload.

mod authenticator;
mod collect;
mod detached;
mod digest;
mod error;
mod http;
mod layout;
mod locks;
mod manifest;
mod name;
mod oci_error;
mod registry;
mod storage;
mod sweep;
mod upload_writer;
mod uploads;

pub use authenticator::{Authentication, Authenticator, Credentials, Grant, Rights, Scope};
pub use collect::Swept;
pub use digest::{Algorithm, BadDigest, ContentDigest};
pub use error::RegistryError;
pub use http::server::Server;
pub use name::{BadName, BadReference, Reference, RepositoryName, Tag};
pub use registry::{Limits, Registry, Usage};
pub use storage::Storage;
