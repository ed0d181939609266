//! Sealing of secrets: ChaCha20-Poly1305 under a named master key that lives in a file outside SQL.
//!
//! A sealed text is `<key id>:<nonce>:<ciphertext>` in hex; the context (whose config it is) is authenticated, so that a
//! sealed value moved to another row does not open. Old keys stay in the file for opening; the first one seals.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};

use model::Sealed;

use crate::random;

/// Why a key file or a sealed value can not be used.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key file can not be read or written.
    #[error("could not use the master key file {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The key file is not one of ours.
    #[error("the master key file {} is damaged", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The value was sealed under a key that is not in the file.
    #[error("the master key `{key}` is not in the key file")]
    UnknownKey {
        /// The missing key.
        key: String,
    },
    /// The value was changed, or belongs to something else.
    #[error("a sealed value of {context} does not open")]
    Broken {
        /// What it should belong to.
        context: String,
    },
}

#[derive(Serialize, Deserialize)]
struct KeyFile {
    current: String,
    keys: BTreeMap<String, String>,
}

/// The master keys in memory.
pub struct Keyring {
    current: String,
    keys: BTreeMap<String, LessSafeKey>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring(current {})", self.current)
    }
}

impl Keyring {
    /// Reads the key file, or makes it (mode 0600) when there is none.
    pub fn open(path: &Path) -> Result<Self, SealError> {
        let fail = |source| SealError::File { path: path.into(), source };
        let damaged = || SealError::Damaged { path: path.into() };
        if !path.exists() {
            let file = KeyFile { current: "k1".into(), keys: BTreeMap::from([("k1".into(), hex::encode(random::bytes::<32>()))]) };
            let text = serde_json::to_vec_pretty(&file).map_err(|_| damaged())?;
            crate::atomic_file::replace(path, &text).map_err(fail)?;
        }
        let text = std::fs::read(path).map_err(fail)?;
        let file: KeyFile = serde_json::from_slice(&text).map_err(|_| damaged())?;
        let mut keys = BTreeMap::new();
        for (id, digits) in file.keys {
            let bytes = hex::decode(digits).map_err(|_| damaged())?;
            let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes).map_err(|_| damaged())?;
            keys.insert(id, LessSafeKey::new(key));
        }
        if !keys.contains_key(&file.current) {
            return Err(damaged());
        }
        Ok(Self { current: file.current, keys })
    }

    /// Seals a text that belongs to `context`.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Sealed {
        let nonce = random::bytes::<12>();
        let key = &self.keys[&self.current];
        let mut data = plain.to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context.as_bytes()), &mut data)
            .expect("a value in memory is shorter than the cipher's limit");
        Sealed(format!("{}:{}:{}", self.current, hex::encode(nonce), hex::encode(data)))
    }

    /// Opens what `seal` made for the same context.
    pub fn open_sealed(&self, context: &str, sealed: &Sealed) -> Result<Vec<u8>, SealError> {
        let broken = || SealError::Broken { context: context.into() };
        let mut parts = sealed.0.splitn(3, ':');
        let (Some(id), Some(nonce), Some(data)) = (parts.next(), parts.next(), parts.next()) else { return Err(broken()) };
        let key = self.keys.get(id).ok_or_else(|| SealError::UnknownKey { key: id.into() })?;
        let mut bytes = [0; 12];
        hex::decode_to_slice(nonce, &mut bytes).map_err(|_| broken())?;
        let mut data = hex::decode(data).map_err(|_| broken())?;
        let plain =
            key.open_in_place(Nonce::assume_unique_for_key(bytes), Aad::from(context.as_bytes()), &mut data).map_err(|_| broken())?;
        Ok(plain.to_vec())
    }

    /// Seals a map of variables.
    pub fn seal_map(&self, context: &str, map: &BTreeMap<String, String>) -> Sealed {
        self.seal(context, &serde_json::to_vec(map).expect("a map of strings is always JSON"))
    }

    /// Opens a map of variables.
    pub fn open_map(&self, context: &str, sealed: &Sealed) -> Result<BTreeMap<String, String>, SealError> {
        let plain = self.open_sealed(context, sealed)?;
        serde_json::from_slice(&plain).map_err(|_| SealError::Broken { context: context.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_only_where_it_belongs() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("master.key");
        let sealed = Keyring::open(&path).expect("a new key").seal("acme/shop/dev", b"s3cret");
        let keys = Keyring::open(&path).expect("the same key");
        assert_eq!(keys.open_sealed("acme/shop/dev", &sealed).expect("it opens"), b"s3cret");
        assert!(matches!(keys.open_sealed("acme/other/dev", &sealed), Err(SealError::Broken { .. })));
        assert!(!format!("{sealed:?}").contains(&sealed.0));
        let foreign = Keyring::open(&dir.path().join("other.key")).expect("another key");
        assert!(foreign.open_sealed("acme/shop/dev", &sealed).is_err());
    }
}
