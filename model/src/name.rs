//! Names: the strict grammars that everything typed by a person must pass before it travels.
//!
//! One grammar for all of them, the DNS label: names become host names, repository paths, image repositories and labels, and
//! none of those may ever need quoting. A raw `String` never stands where one of these could.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not a name. The `Display` is the fragment that users read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not {kind}: {why}", shown(.text))]
pub struct InvalidName {
    /// What was expected, with its article: "an app name".
    pub kind: &'static str,
    /// The text as it was given.
    pub text: String,
    /// The rule that it breaks.
    pub why: &'static str,
}

/// A hostile text is shown short and printable: it ends up in terminals and pages.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().count() > 60 { format!("{short}…") } else { short }
}

/// Checks a DNS label of at most `max` bytes.
fn check_label(text: &str, max: usize) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Err("only lower-case letters, digits and hyphens are allowed");
    }
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err("it must start with a letter");
    }
    if text.ends_with('-') {
        return Err("it must not end with a hyphen");
    }
    if text.len() > max {
        return Err("it is too long");
    }
    if text.starts_with("xn--") {
        return Err("it must not look like an encoded international name");
    }
    Ok(())
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $kind:literal, $max:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Longest allowed name, in bytes.
            pub const MAX: usize = $max;

            /// Checks `text` against the grammar.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
                let text = text.into();
                match check_label(&text, $max) {
                    Ok(()) => Ok(Self(text)),
                    Err(why) => Err(InvalidName { kind: $kind, text, why }),
                }
            }

            /// The name as text.
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

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    )*};
}

names! {
    /// The isolation boundary: its own names, network, quota, members.
    TenantName, "a tenant name", 30;
    /// A group of users inside a tenant.
    TeamName, "a team name", 30;
    /// A person or robot with keys.
    UserName, "a user name", 30;
    /// One repository and what runs from it, inside a tenant.
    AppName, "an app name", 30;
    /// A named stage of an app: `dev`, `prod`.
    EnvName, "an environment name", 20;
    /// A named command of an app: `web`, `worker`.
    ProcessName, "a process name", 30;
    /// One machine that runs instances.
    HostName, "a host name", 63;
    /// A failure domain inside a cluster.
    ZoneName, "a zone name", 30;
    /// A recipe in `templates/`.
    TemplateName, "a template name", 30;
}

impl ProcessName {
    /// The process type that receives requests.
    pub fn web() -> Self {
        Self("web".into())
    }

    /// Whether requests are routed to this process type.
    pub fn is_web(&self) -> bool {
        self.0 == "web"
    }
}

impl EnvName {
    /// The environment whose app owns the short host name.
    pub fn prod() -> Self {
        Self("prod".into())
    }

    /// The environment pushed to first.
    pub fn dev() -> Self {
        Self("dev".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_names_pass_and_broken_ones_say_why() {
        assert_eq!(AppName::new("shop-2").expect("a valid name").as_str(), "shop-2");
        let refused = |text: &str| AppName::new(text).expect_err(text).why;
        assert_eq!(refused(""), "it is empty");
        assert_eq!(refused("Shop"), "only lower-case letters, digits and hyphens are allowed");
        assert_eq!(refused("a;id"), "only lower-case letters, digits and hyphens are allowed");
        assert_eq!(refused("-o"), "it must start with a letter");
        assert_eq!(refused("a-"), "it must not end with a hyphen");
        assert_eq!(refused("xn--abc"), "it must not look like an encoded international name");
        assert_eq!(refused(&"a".repeat(31)), "it is too long");
    }

    #[test]
    fn the_error_shows_hostile_text_printable_and_short() {
        let error = AppName::new(format!("\x1b[31m{}", "x".repeat(500))).expect_err("a control character");
        let text = error.to_string();
        assert!(!text.contains('\x1b') && text.len() < 200, "{text}");
    }

    proptest! {
        #[test]
        fn no_accepted_name_needs_quoting(text in "\\PC{0,40}") {
            if let Ok(name) = AppName::new(text) {
                prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
                prop_assert!(!name.as_str().starts_with('-'));
            }
        }
    }
}
