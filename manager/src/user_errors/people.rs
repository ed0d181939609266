//! Users, their keys, passwords and tokens.

use model::{Code, UserError, UserName};

/// A user that an operator could make.
pub(crate) fn unknown_user(user: &UserName) -> UserError {
    no_such_user(user).next(format!("slipway users:create {user}"))
}

/// A user named by somebody who can not make users.
pub(crate) fn no_such_user(user: &UserName) -> UserError {
    UserError::new(Code::NotFound, format!("there is no user `{user}`"))
}

pub(crate) fn user_exists(user: &UserName) -> UserError {
    UserError::new(Code::NameTaken, format!("there is a user `{user}` already"))
}

pub(crate) fn bad_password() -> UserError {
    UserError::new(Code::BadRequest, "the password is too short or too long").why("At least 10 letters are needed.")
}

pub(crate) fn wrong_password() -> UserError {
    UserError::new(Code::NotSignedIn, "the name or the password is wrong").next("try again")
}

/// A text that is not a usable public key, and what is wrong with it.
pub(crate) fn bad_key(why: &str) -> UserError {
    UserError::new(Code::BadKey, "this is not a public key that can be used")
        .why(why)
        .next("cat ~/.ssh/id_ed25519.pub | slipway keys:add")
        .next("ssh-keygen -t ed25519   # makes one")
}

pub(crate) fn key_of_another_user(fingerprint: &str) -> UserError {
    UserError::new(Code::KeyTaken, format!("the key {fingerprint} belongs to another user"))
        .why("A key names one user.")
        .next("ssh-keygen -t ed25519   # makes another one")
}

pub(crate) fn unknown_key(user: &UserName, fingerprint: &str) -> UserError {
    UserError::new(Code::NotFound, format!("{user} has no key {fingerprint}")).next("slipway keys")
}

pub(crate) fn unknown_token(user: &UserName, id: &str) -> UserError {
    let shown: String = id.chars().filter(|c| !c.is_control()).take(40).collect();
    UserError::new(Code::NotFound, format!("{user} has no token `{shown}`")).next("slipway tokens")
}

/// Changing one's own password without the one of now.
pub(crate) fn wrong_current_password() -> UserError {
    UserError::new(Code::NotAllowed, "the present password is missing or wrong")
        .why("Whoever changes their own password shows the one of now.")
        .next("if it is lost, an operator sets a new one: slipway users:password <name>")
}
