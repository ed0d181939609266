//! What goes wrong below the endpoint: the object store and the staging directory.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A failure of the registry itself, never of the caller.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The object store refused or failed.
    #[error("{doing} `{key}` in the object store")]
    Objects {
        /// The operation, as a verb.
        doing: &'static str,
        /// The key of the object.
        key: String,
        /// The error of the object store.
        #[source]
        source: object_store::Error,
    },
    /// A file or directory of the registry can not be used.
    #[error("use {}", .path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// Another process serves from the same directory.
    #[error("lock {}, another registry serves from there", .path.display())]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// A stored object does not parse as what was written.
    #[error("read `{key}`, it is damaged")]
    Damaged {
        /// The key of the object.
        key: String,
    },
    /// The address is in use, or does not belong to this machine.
    #[error("listen on {address}")]
    Bind {
        /// The address to listen on.
        address: SocketAddr,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
}

impl RegistryError {
    /// Whether there is no room left to store anything.
    pub fn is_full(&self) -> bool {
        let mut cause: Option<&(dyn Error + 'static)> = Some(self);
        while let Some(error) = cause {
            let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
            if matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) {
                return true;
            }
            cause = error.source();
        }
        false
    }
}
