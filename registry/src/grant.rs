//! Who may do what: the door's question, and its answer.
//!
//! Owns the trait that the registry asks about callers, and the rule that decides from its answer. Must never know users,
//! tenants or tokens: whoever builds the registry brings a `Doorkeeper` that does.

use std::fmt;

use async_trait::async_trait;

use crate::name::RepositoryName;

/// What a caller showed: basic credentials. The secret is usually a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who the caller says they are.
    pub user: String,
    /// What proves it.
    pub secret: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Decides who comes in, once for every request. Answers must be quick: a request waits for them.
#[async_trait]
pub trait Doorkeeper: Send + Sync + 'static {
    /// What a caller with these credentials, or with none, may do.
    async fn admit(&self, credentials: Option<Credentials>) -> Admission;
}

/// The answer of the door.
#[derive(Debug, Clone)]
pub enum Admission {
    /// Known, and may do this much.
    Granted(Grant),
    /// Not known, or the secret is wrong: asked for credentials again.
    Refused,
    /// Can not tell now. Clients are told to come back, not that their credentials are wrong.
    Unavailable,
}

/// What may be done to repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights {
    /// Read blobs, manifests, tags.
    pub pull: bool,
    /// Write them.
    pub push: bool,
    /// Remove them.
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
    /// All of them, which also opens the catalogue.
    Everything,
    /// This one and those below it.
    Within(RepositoryName),
}

/// What one caller may do: nothing, until something is allowed.
#[derive(Debug, Clone, Default)]
pub struct Grant {
    allowed: Vec<(Scope, Rights)>,
}

/// One thing a request wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    Pull,
    Push,
    Delete,
}

/// The decision on one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    /// The caller knows the repository by another right, so it may hear "no".
    Denied,
    /// The caller may not know whether the repository exists.
    Hidden,
}

impl Grant {
    /// Nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Everything, for operators and for the platform itself.
    pub fn full() -> Self {
        Self::none().allow(Scope::Everything, Rights::ALL)
    }

    /// This much more.
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

    pub(crate) fn judge(&self, repository: &RepositoryName, right: Right) -> Verdict {
        let rights = self.rights(repository);
        let has = match right {
            Right::Pull => rights.pull,
            Right::Push => rights.push,
            Right::Delete => rights.delete,
        };
        match (has, rights == Rights::default()) {
            (true, _) => Verdict::Allowed,
            (false, false) => Verdict::Denied,
            (false, true) => Verdict::Hidden,
        }
    }

    pub(crate) fn may(&self, repository: &RepositoryName, right: Right) -> bool {
        self.judge(repository, right) == Verdict::Allowed
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
            assert_eq!(Grant::none().judge(&name("acme/shop"), right), Verdict::Hidden);
        }
        assert!(!Grant::none().sees_catalogue());
    }

    #[test]
    fn rights_add_up_within_their_scope() {
        let grant = Grant::none().allow(Scope::Within(name("acme")), Rights::PULL).allow(Scope::Within(name("acme/shop")), Rights::PUSH);
        assert_eq!(grant.judge(&name("acme/blog"), Right::Pull), Verdict::Allowed);
        assert_eq!(grant.judge(&name("acme/blog"), Right::Push), Verdict::Denied);
        assert_eq!(grant.judge(&name("acme/shop"), Right::Push), Verdict::Allowed);
        assert_eq!(grant.judge(&name("acme/shop"), Right::Delete), Verdict::Denied);
        assert_eq!(grant.judge(&name("acmes/shop"), Right::Pull), Verdict::Hidden);
        assert!(!grant.sees_catalogue());
        assert!(Grant::full().sees_catalogue());
    }

    #[test]
    fn secrets_are_not_printed() {
        let shown = format!("{:?}", Credentials { user: "ann".into(), secret: "hunter2".into() });
        assert!(shown.contains("ann") && !shown.contains("hunter2"));
    }
}
