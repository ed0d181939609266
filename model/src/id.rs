//! Ids: short, readable, made from random bytes that the caller brings.
//!
//! Chance is an input here as everywhere in this crate: `mint` takes the bytes, so that tests and simulations are repeatable.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::InvalidName;

/// Letters of an id: no vowels, so that no words appear, and nothing that is read as something else.
const ALPHABET: &[u8; 32] = b"0123456789bcdfghjkmnpqrstvwxyz-_";
/// Letters of an id that may be a DNS label: the first 30 of the alphabet.
const LETTERS: u8 = 30;

fn spell(bytes: [u8; 10]) -> String {
    bytes.iter().map(|b| char::from(ALPHABET[usize::from(b % LETTERS)])).collect()
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal, $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Makes an id from ten random bytes.
            pub fn mint(random: [u8; 10]) -> Self {
                Self(format!(concat!($prefix, "-{}"), spell(random)))
            }

            /// Reads an id back.
            pub fn parse(text: impl Into<String>) -> Result<Self, InvalidName> {
                let text = text.into();
                let body = text.strip_prefix(concat!($prefix, "-"));
                match body {
                    Some(body) if body.len() == 10 && body.bytes().all(|b| ALPHABET[..LETTERS as usize].contains(&b)) => Ok(Self(text)),
                    _ => Err(InvalidName { kind: $kind, text, why: concat!("it must be `", $prefix, "-` and ten letters or digits") }),
                }
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    )*};
}

ids! {
    /// One run of a template over one source tree.
    BuildId, "b", "a build id";
    /// One running copy of a process type.
    InstanceId, "i", "an instance id";
    /// One recorded change.
    EventId, "e", "an event id";
    /// One git push, from the first byte to the last line.
    PushId, "p", "a push id";
    /// One router process.
    RouterId, "r", "a router id";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_rejects_another_kind() {
        let id = BuildId::mint([0, 1, 29, 30, 255, 7, 8, 9, 10, 11]);
        assert_eq!(BuildId::parse(id.as_str()), Ok(id.clone()));
        assert!(InstanceId::parse(id.as_str()).is_err());
        assert!(BuildId::parse("b-../../etc").is_err());
    }
}
