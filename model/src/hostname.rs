//! Host names by which apps are reached, in one canonical form.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::app_env::AppEnv;
use crate::name::{EnvName, InvalidName};

/// A canonical host name: lower case, no port, no trailing dot, ASCII letters, digits, hyphens and dots only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(String);

impl Hostname {
    /// Brings `text` into canonical form, or says why it is not a host name. International names must arrive encoded, and
    /// encoded names are refused until their twins can be told apart.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let bad = |why| InvalidName { kind: "a host name", text: text.into(), why };
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.is_empty() || name.len() > 253 {
            return Err(bad("it must have 1 to 253 letters"));
        }
        for label in name.split('.') {
            if label.is_empty() || label.len() > 63 {
                return Err(bad("each part between dots must have 1 to 63 letters"));
            }
            if !label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
                return Err(bad("only letters, digits, hyphens and dots are allowed"));
            }
            if label.starts_with('-') || label.ends_with('-') {
                return Err(bad("no part may start or end with a hyphen"));
            }
            if label.starts_with("xn--") {
                return Err(bad("encoded international names are not supported yet"));
            }
        }
        if name.split('.').next_back().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
            return Err(bad("an address is not a host name"));
        }
        Ok(Self(name))
    }

    /// The platform's own name for an app: `shop.acme.<domain>` in prod, `shop-dev.acme.<domain>` elsewhere.
    pub fn of_app(app: &AppEnv, domain: &Hostname) -> Self {
        if app.env == EnvName::prod() {
            Self(format!("{}.{}.{domain}", app.app, app.tenant))
        } else {
            Self(format!("{}-{}.{}.{domain}", app.app, app.env, app.tenant))
        }
    }

    /// Whether this is `domain` or stands under it.
    pub fn is_within(&self, domain: &Hostname) -> bool {
        self == domain || self.0.strip_suffix(&domain.0).is_some_and(|rest| rest.ends_with('.'))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Hostname {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

impl TryFrom<String> for Hostname {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::new(&text)
    }
}

impl From<Hostname> for String {
    fn from(name: Hostname) -> String {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_canonical_form() {
        assert_eq!(Hostname::new("Shop.Example.COM.").expect("a name").as_str(), "shop.example.com");
        for bad in ["", ".", "a..b", "-a.b", "a_b.c", "1.2.3.4", "a b", "xn--bcher-kva.de", "a/b", "é.de"] {
            assert!(Hostname::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn prod_has_the_short_name() {
        let domain = Hostname::new("localhost").expect("a name");
        let name = |path: &str| Hostname::of_app(&path.parse().expect("a path"), &domain).to_string();
        assert_eq!(name("acme/shop/prod"), "shop.acme.localhost");
        assert_eq!(name("acme/shop/dev"), "shop-dev.acme.localhost");
    }
}
