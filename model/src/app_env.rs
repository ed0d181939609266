//! `AppRef` and `AppEnv`: which app of which tenant, in which environment; and how a person may write it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::{AppName, EnvName, InvalidName, TenantName};

/// An app of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AppRef {
    /// Whose app.
    pub tenant: TenantName,
    /// Its name, unique in the tenant.
    pub app: AppName,
}

impl AppRef {
    /// The app in one environment.
    pub fn in_env(&self, env: EnvName) -> AppEnv {
        AppEnv { tenant: self.tenant.clone(), app: self.app.clone(), env }
    }
}

impl fmt::Display for AppRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.app)
    }
}

/// An app in one environment: the unit that is built, released, scaled and routed. Written `acme/shop/dev`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AppEnv {
    /// Whose app.
    pub tenant: TenantName,
    /// Its name, unique in the tenant.
    pub app: AppName,
    /// The environment.
    pub env: EnvName,
}

impl AppEnv {
    /// The app without its environment.
    pub fn app_ref(&self) -> AppRef {
        AppRef { tenant: self.tenant.clone(), app: self.app.clone() }
    }
}

impl fmt::Display for AppEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.tenant, self.app, self.env)
    }
}

impl FromStr for AppEnv {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        match AppPath::from_str(text)? {
            AppPath { tenant: Some(tenant), app, env: Some(env) } => Ok(Self { tenant, app, env }),
            _ => Err(InvalidName { kind: "an app path", text: text.into(), why: "it must be tenant/app/env" }),
        }
    }
}

/// What a person wrote: `shop`, `acme/shop` or `acme/shop/dev`; what is missing is inferred by whoever knows the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppPath {
    /// The tenant, when written.
    pub tenant: Option<TenantName>,
    /// The app.
    pub app: AppName,
    /// The environment, when written.
    pub env: Option<EnvName>,
}

impl FromStr for AppPath {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            [app] => Ok(Self { tenant: None, app: app.parse()?, env: None }),
            [tenant, app] => Ok(Self { tenant: Some(tenant.parse()?), app: app.parse()?, env: None }),
            [tenant, app, env] => Ok(Self { tenant: Some(tenant.parse()?), app: app.parse()?, env: Some(env.parse()?) }),
            _ => Err(InvalidName { kind: "an app path", text: text.into(), why: "it must be tenant/app/env" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_back() {
        let app: AppEnv = "acme/shop/dev".parse().expect("a full path");
        assert_eq!(app.to_string(), "acme/shop/dev");
        assert!("acme/shop".parse::<AppEnv>().is_err());
        assert!("a/b/c/d".parse::<AppPath>().is_err());
        assert!("acme/../dev".parse::<AppEnv>().is_err());
    }
}
