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

/// A name that can lead to no app.
pub(crate) fn not_a_domain(hostname: &Hostname, why: &str) -> UserError {
    UserError::new(Code::BadName, format!("{hostname} can not lead to an app")).why(why).next("add a name of a domain that you own")
}

/// Another tenant gave the domain up less than `days` ago.
pub(crate) fn cooling_off(hostname: &Hostname, days: i64) -> UserError {
    UserError::new(Code::NameTaken, format!("{hostname} is not free yet"))
        .why(format!("Another tenant had it, and for {days} days after that it is theirs alone. Nothing was changed."))
        .next("try again later, or ask the operator of this platform")
}

/// A domain without its proof: the TXT record `name` with `value`.
pub(crate) fn unproven(hostname: &Hostname, app: &AppEnv, name: &str, value: &str) -> UserError {
    UserError::new(Code::DomainUnproven, format!("{hostname} leads nowhere yet: it is not proven that it is yours"))
        .why("Its DNS has to name this app. Add the TXT record below, and the same command again.")
        .evidence_lines([format!("{name}. TXT \"{value}\"")])
        .next(format!("slipway domains:add {hostname} {}   # when the record is there", target(app)))
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
