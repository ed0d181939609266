//! The identity of a caller: who acts, from where, and with which memberships. Read once per request.

use model::{Actor, Origin, TeamName, TenantName, UserName};
use store::records::{Member, Role, TokenScope};

/// The caller of a verb.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The user, the operator or the platform, as events record it.
    pub actor: Actor,
    /// The way in, as events record it: `ssh`, an address, the console.
    pub origin: Origin,
    /// Whether every verb is allowed.
    pub is_super: bool,
    /// What of the user's rights this way in carries: a token may carry less than all of them.
    pub scope: TokenScope,
    /// The teams that the user is a member of, with the role in each.
    pub memberships: Vec<Member>,
}

impl Identity {
    /// The operator at the server's own console: whoever can reach its control socket.
    pub fn operator(origin: &str) -> Self {
        Self { actor: Actor::Operator, origin: Origin(origin.into()), is_super: true, scope: TokenScope::Full, memberships: Vec::new() }
    }

    /// The platform itself.
    pub fn platform() -> Self {
        Self { actor: Actor::Platform, origin: Origin("platform".into()), is_super: true, scope: TokenScope::Full, memberships: Vec::new() }
    }

    /// The same caller with the rights of a token: roles are capped, and a token that is not full is never that of a super user.
    pub(crate) fn limited_to(mut self, scope: TokenScope) -> Self {
        let most = match scope {
            TokenScope::Full => return self,
            TokenScope::Deploy => Role::Deployer,
            TokenScope::Read => Role::Viewer,
        };
        self.memberships.iter_mut().for_each(|membership| membership.role = membership.role.min(most));
        self.is_super = false;
        self.scope = scope;
        self
    }

    /// The user's name, when it is a user.
    pub fn user(&self) -> Option<&UserName> {
        match &self.actor {
            Actor::User(user) => Some(user),
            Actor::Operator | Actor::Platform => None,
        }
    }

    /// A name for records that need one.
    pub fn user_or_operator(&self) -> UserName {
        self.user().cloned().unwrap_or_else(|| UserName::new("operator").expect("a valid name"))
    }

    /// The highest role in a team.
    pub fn role_in(&self, tenant: &TenantName, team: &TeamName) -> Option<Role> {
        self.memberships.iter().filter(|m| m.tenant == *tenant && m.team == *team).map(|m| m.role).max()
    }

    /// The highest role in any team of a tenant.
    pub fn role_in_tenant(&self, tenant: &TenantName) -> Option<Role> {
        self.memberships.iter().filter(|m| m.tenant == *tenant).map(|m| m.role).max()
    }

    /// The tenants they are a member of.
    pub fn tenants(&self) -> Vec<TenantName> {
        let mut tenants: Vec<TenantName> = self.memberships.iter().map(|m| m.tenant.clone()).collect();
        tenants.dedup();
        tenants
    }
}
