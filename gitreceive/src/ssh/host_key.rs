//! The host key: one Ed25519 key, made once, stored in a file that only the server can read.
//!
//! The server never replaces it: a changed host key looks like an attack to every client.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{Algorithm, HashAlg, PrivateKey};

use crate::random;

/// Why there is no host key.
#[derive(Debug, thiserror::Error)]
pub enum HostKeyError {
    /// The file can not be read or made.
    #[error("the host key {} can not be read or made", .path.display())]
    File {
        /// The file of the key.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// The file exists, but holds no usable Ed25519 key.
    #[error("the host key {} is not an Ed25519 key in OpenSSH's form: {why}", .path.display())]
    NotAKey {
        /// The file of the key.
        path: PathBuf,
        /// The parser's error, or the kind of key found instead.
        why: String,
    },
    /// Other users may read the file.
    #[error("the host key {} is open to others (mode {mode:o}); run chmod 600 on it", .path.display())]
    Open {
        /// The file of the key.
        path: PathBuf,
        /// The permission bits found.
        mode: u32,
    },
}

/// Reads the key, or makes it when there is none.
pub fn load_or_create(path: &Path) -> Result<PrivateKey, HostKeyError> {
    let file = |source| HostKeyError::File { path: path.to_owned(), source };
    match std::fs::read_to_string(path) {
        Ok(text) => read(path, &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create(path).map_err(file)?;
            read(path, &std::fs::read_to_string(path).map_err(file)?)
        }
        Err(error) => Err(file(error)),
    }
}

/// The fingerprint that users compare on their first connection.
pub fn fingerprint(key: &PrivateKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

fn read(path: &Path, text: &str) -> Result<PrivateKey, HostKeyError> {
    let meta = std::fs::metadata(path).map_err(|source| HostKeyError::File { path: path.to_owned(), source })?;
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(HostKeyError::Open { path: path.to_owned(), mode });
    }
    let not = |why: String| HostKeyError::NotAKey { path: path.to_owned(), why };
    let key = PrivateKey::from_openssh(text).map_err(|error| not(error.to_string()))?;
    match key.algorithm() {
        Algorithm::Ed25519 if !key.is_encrypted() => Ok(key),
        other => Err(not(format!("it is {other}{}", if key.is_encrypted() { ", encrypted" } else { "" }))),
    }
}

/// Writes a new key beside its place, then links it there: two servers that start at once agree on the first one.
fn create(path: &Path) -> io::Result<()> {
    let pair = Ed25519Keypair::from_seed(&random::bytes::<32>());
    let key = PrivateKey::new(KeypairData::Ed25519(pair), "slipway").map_err(io::Error::other)?;
    let text = key.to_openssh(LineEnding::LF).map_err(io::Error::other)?;
    let aside = path.with_extension(format!("new-{}", random::hex::<8>()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&aside, path);
    std::fs::remove_file(&aside)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("host_ed25519");
        let first = load_or_create(&path).expect("a new key");
        let second = load_or_create(&path).expect("the same key");
        assert_eq!(fingerprint(&first), fingerprint(&second));
        assert_eq!(std::fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).expect("the directory").count(), 1);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("chmod");
        assert!(matches!(load_or_create(&path), Err(HostKeyError::Open { mode: 0o644, .. })));
    }

    #[test]
    fn a_broken_file_is_never_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("host_ed25519");
        std::fs::write(&path, "not a key").expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
        assert!(matches!(load_or_create(&path), Err(HostKeyError::NotAKey { .. })));
        assert_eq!(std::fs::read_to_string(&path).expect("the file"), "not a key");
    }
}
