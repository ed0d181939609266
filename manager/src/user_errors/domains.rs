//! Host names of apps.

use model::{AppEnv, Code, Hostname, UserError};

use super::target;

pub(crate) fn added_already(hostname: &Hostname, app: &AppEnv) -> UserError {
    UserError::new(Code::NameTaken, format!("{hostname} leads to {app} already")).why("Nothing was changed.")
}

/// A name below the platform's own domain.
pub(crate) fn below_platform_domain(hostname: &Hostname, domain: &Hostname) -> UserError {
    UserError::new(Code::NameTaken, format!("{hostname} belongs to the platform"))
        .why(format!("Names under {domain} are given to apps by the platform."))
}

pub(crate) fn taken(hostname: &Hostname) -> UserError {
    UserError::new(Code::NameTaken, format!("{hostname} is taken"))
        .why("An app of this platform has it.")
        .next(format!("slipway domains:remove {hostname}   # by whoever has it"))
}

/// The host name that the platform gave to an environment.
pub(crate) fn given_by_platform(hostname: &Hostname, app: &AppEnv) -> UserError {
    UserError::new(Code::BadRequest, format!("{hostname} is given to {app} by the platform and stays as long as the app"))
        .why("Only added host names can be removed. Nothing was changed.")
}

pub(crate) fn not_added(hostname: &Hostname, app: &AppEnv) -> UserError {
    UserError::new(Code::NotFound, format!("{app} has no added domain {hostname}")).next(format!("slipway domains {}", target(app)))
}
