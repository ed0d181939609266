//! Faults of the platform itself, and what a user may not do.

use model::{Code, UserError};

use crate::authorize::{Need, Verb};

/// The disk of the platform is full.
pub(crate) fn disk_full() -> UserError {
    UserError::new(Code::DiskFull, "the disk of the platform is full")
        .why("Nothing was changed, and what runs keeps running.")
        .next("sudo slipway doctor   # the operator, on the host: where the space is")
        .next("try again when there is room")
}

/// PostgreSQL does not answer; `id` finds the cause in the server's log.
pub(crate) fn database_down(id: &str) -> UserError {
    UserError::new(Code::DatabaseDown, "the platform can not reach its database")
        .why("Running apps go on; changes have to wait.")
        .next(format!("try again in a minute; the server's log has the cause under `{id}`"))
}

/// A verb that the user's role does not allow on an object they may know of.
pub(crate) fn not_allowed(verb: Verb, object: &str) -> UserError {
    let (why, next) = match verb.need() {
        Need::Role(role) => (format!("It takes the role `{}` or a higher one.", role.as_str()), "ask an owner of the team"),
        Need::Super | Need::Oneself => ("It takes the rights of the platform's operator.".into(), "ask the operator of this platform"),
    };
    UserError::new(Code::NotAllowed, format!("you may not do `{}` to {object}", verb.name())).why(why).next(next)
}

/// An object that does not exist, or that the user may not know of: both read alike.
pub(crate) fn unknown_object(object: &str) -> UserError {
    UserError::new(Code::NotFound, format!("there is no {object} that you may know of"))
}
