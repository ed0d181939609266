//! Authentication and access: who calls, and what they may do.
//!
//! Owns the trait that identifies callers, and the rule that decides from their grant. Must never know users, tenants or tokens:
//! the implementation of the trait does.

use std::fmt;

use async_trait::async_trait;

use crate::name::RepositoryName;

/// The basic credentials of a request. The secret is usually a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The claimed name.
    pub user: String,
    /// The password or token that proves it.
    pub secret: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Identifies the caller of every request. It must be quick: each request waits for it.
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// The grant of a caller with these credentials, or with none.
    async fn authenticate(&self, credentials: Option<Credentials>) -> Authentication;
}

/// The result of an authentication.
#[derive(Debug, Clone)]
pub enum Authentication {
    /// The caller is known and has these rights.
    Granted(Grant),
    /// The caller is not known, or the secret is wrong: the client is asked for credentials again.
    Refused,
    /// The credentials can not be checked now: the client is told to try again later.
    Unavailable,
}

/// Rights in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights {
    /// Read blobs, manifests, tags.
    pub pull: bool,
    /// Write blobs, manifests, tags.
    pub push: bool,
    /// Remove blobs, manifests, tags.
    pub delete: bool,
}

impl Rights {
    /// Reading alone.
    pub const PULL: Self = Self { pull: true, push: false, delete: false };
    /// Reading and writing, which is what pushing needs.
    pub const PUSH: Self = Self { pull: true, push: true, delete: false };
    /// Everything.
    pub const ALL: Self = Self { pull: true, push: true, delete: true };

    fn or(self, other: Self) -> Self {
        Self { pull: self.pull || other.pull, push: self.push || other.push, delete: self.delete || other.delete }
    }
}

/// Which repositories a right is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All repositories, and the catalogue of them.
    Everything,
    /// One repository and those below it.
    Within(RepositoryName),
}

/// The rights of one caller: none, until `allow` adds some.
#[derive(Debug, Clone, Default)]
pub struct Grant {
    allowed: Vec<(Scope, Rights)>,
}

/// The right that a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    Pull,
    Push,
    Delete,
}

/// The decision on one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccessDecision {
    Allowed,
    /// The caller has another right in the repository, so it may know that it exists.
    Denied,
    /// The caller may not know whether the repository exists.
    Hidden,
}

impl Grant {
    /// No rights at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// Everything, for operators and for the platform itself.
    pub fn full() -> Self {
        Self::none().allow(Scope::Everything, Rights::ALL)
    }

    /// Adds rights in a scope.
    pub fn allow(mut self, scope: Scope, rights: Rights) -> Self {
        self.allowed.push((scope, rights));
        self
    }

    fn rights(&self, repository: &RepositoryName) -> Rights {
        let covers = |scope: &Scope| match scope {
            Scope::Everything => true,
            Scope::Within(prefix) => repository.is_within(prefix),
        };
        let covering = self.allowed.iter().filter(|(scope, _)| covers(scope));
        covering.fold(Rights::default(), |rights, (_, more)| rights.or(*more))
    }

    pub(crate) fn decide(&self, repository: &RepositoryName, right: Right) -> AccessDecision {
        let rights = self.rights(repository);
        let has = match right {
            Right::Pull => rights.pull,
            Right::Push => rights.push,
            Right::Delete => rights.delete,
        };
        match (has, rights == Rights::default()) {
            (true, _) => AccessDecision::Allowed,
            (false, false) => AccessDecision::Denied,
            (false, true) => AccessDecision::Hidden,
        }
    }

    pub(crate) fn may(&self, repository: &RepositoryName, right: Right) -> bool {
        self.decide(repository, right) == AccessDecision::Allowed
    }

    /// Whether it may list every repository there is.
    pub(crate) fn sees_catalogue(&self) -> bool {
        self.allowed.iter().any(|(scope, rights)| *scope == Scope::Everything && rights.pull)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RepositoryName {
        RepositoryName::new(text).expect("a good name")
    }

    #[test]
    fn nothing_is_allowed_that_was_not_said() {
        for right in [Right::Pull, Right::Push, Right::Delete] {
            assert_eq!(Grant::none().decide(&name("acme/shop"), right), AccessDecision::Hidden);
        }
        assert!(!Grant::none().sees_catalogue());
    }

    #[test]
    fn rights_add_up_within_their_scope() {
        let grant = Grant::none().allow(Scope::Within(name("acme")), Rights::PULL).allow(Scope::Within(name("acme/shop")), Rights::PUSH);
        assert_eq!(grant.decide(&name("acme/blog"), Right::Pull), AccessDecision::Allowed);
        assert_eq!(grant.decide(&name("acme/blog"), Right::Push), AccessDecision::Denied);
        assert_eq!(grant.decide(&name("acme/shop"), Right::Push), AccessDecision::Allowed);
        assert_eq!(grant.decide(&name("acme/shop"), Right::Delete), AccessDecision::Denied);
        assert_eq!(grant.decide(&name("acmes/shop"), Right::Pull), AccessDecision::Hidden);
        assert!(!grant.sees_catalogue());
        assert!(Grant::full().sees_catalogue());
    }

    #[test]
    fn secrets_are_not_printed() {
        let shown = format!("{:?}", Credentials { user: "ann".into(), secret: "hunter2".into() });
        assert!(shown.contains("ann") && !shown.contains("hunter2"));
    }
}
