//! Config keys and values.

use model::{AppEnv, Code, UserError};

use super::target;

pub(crate) fn unknown_key(app: &AppEnv, key: &str) -> UserError {
    UserError::new(Code::NotFound, format!("{app} has no config key `{key}`")).next(format!("slipway config {}", target(app)))
}

/// A config of `size` bytes where `most` are allowed.
pub(crate) fn too_large(app: &AppEnv, size: usize, most: usize) -> UserError {
    UserError::new(Code::BadRequest, format!("the config of {app} would be {size} bytes"))
        .why(format!("At most {} KiB ({most} bytes) are kept, names and values of all keys together.", most / 1024))
        .next("put large values into files of the repository, or fetch them when the app starts")
}

/// A value that no environment variable can have.
pub(crate) fn nul_in_value(key: &str) -> UserError {
    UserError::new(Code::BadRequest, format!("the value of `{key}` holds a NUL byte"))
        .why("No environment variable can hold one. Nothing was changed.")
        .next("encode binary values, as in base64, and decode them in the app")
}

pub(crate) fn changed_meanwhile(app: &AppEnv) -> UserError {
    UserError::new(Code::InUse, format!("somebody else changed the config of {app} at the same time")).next("try again")
}

pub(crate) fn bad_key(key: &str) -> UserError {
    UserError::new(Code::BadName, format!("`{}` is not a config key", key.escape_debug()))
        .why("Letters, digits and underscores are allowed, not starting with a digit.")
}

/// A variable that the platform sets itself, such as `PORT`.
pub(crate) fn reserved_key(key: &str) -> UserError {
    UserError::new(Code::BadName, format!("`{key}` is set by the platform")).next("choose another name")
}
