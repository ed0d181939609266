//! The authorizer: one table of verbs and roles, one pure function, deny by default.
//!
//! Every verb of the platform is listed in `Verb`; there is no other way to change anything.

use model::{AppRef, TeamName, TenantName, UserName};
use store::records::{Role, TokenScope};

use crate::identity::Identity;

macro_rules! verbs {
    ($($variant:ident = $name:literal, $need:expr;)*) => {
        /// Everything that can be done, as the CLI names it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Verb {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Verb {
            /// Every verb.
            pub const ALL: &'static [Verb] = &[$(Verb::$variant,)*];

            /// The name on the command line, as in `apps:create`.
            pub fn name(self) -> &'static str {
                match self { $(Verb::$variant => $name,)* }
            }

            /// The role or right that the verb requires.
            pub fn need(self) -> Need {
                match self { $(Verb::$variant => $need,)* }
            }
        }
    };
}

/// What a verb requires of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// To be a super user or the operator.
    Super,
    /// To be the user whom it is about.
    Oneself,
    /// At least this role in the team of the object, or in any team of the tenant when the object is the tenant.
    Role(Role),
}

use Need::{Oneself, Super};
const VIEWER: Need = Need::Role(Role::Viewer);
const DEPLOYER: Need = Need::Role(Role::Deployer);
const OPERATOR: Need = Need::Role(Role::Operator);
const OWNER: Need = Need::Role(Role::Owner);

verbs! {
    UsersCreate = "users:create", Super;
    HostsList = "hosts", Super;
    HostsMaintenance = "hosts:maintenance", Super;
    UsersList = "users", Super;
    UsersPassword = "users:password", Oneself;
    UsersRemove = "users:remove", Super;
    TokensList = "tokens", Oneself;
    TokensCreate = "tokens:create", Oneself;
    TokensRevoke = "tokens:revoke", Oneself;
    KeysList = "keys", Oneself;
    KeysAdd = "keys:add", Oneself;
    KeysRemove = "keys:remove", Oneself;
    TenantsCreate = "tenants:create", Super;
    TenantsDestroy = "tenants:destroy", Super;
    TenantsPolicy = "tenants:policy", OWNER;
    TenantInfo = "tenants:info", VIEWER;
    TeamsCreate = "teams:create", OWNER;
    TeamsRemove = "teams:remove", OWNER;
    TenantsLeave = "tenants:leave", Oneself;
    InvitationsList = "invitations", Oneself;
    InvitationsAccept = "invitations:accept", Oneself;
    InvitationsDecline = "invitations:decline", Oneself;
    MembersSet = "members:set", OWNER;
    MembersRemove = "members:remove", OWNER;
    AppsCreate = "apps:create", DEPLOYER;
    AppsInfo = "apps:info", VIEWER;
    AppsDestroy = "apps:destroy", OWNER;
    Push = "push", DEPLOYER;
    Fetch = "fetch", VIEWER;
    BuildsShow = "builds", VIEWER;
    BuildsCancel = "builds:cancel", DEPLOYER;
    ReleasesShow = "releases", VIEWER;
    ReleasesRetry = "releases:retry", DEPLOYER;
    Rollback = "rollback", DEPLOYER;
    MaintenanceSet = "maintenance:set", DEPLOYER;
    RouterTrace = "router:trace", VIEWER;
    ConfigKeys = "config", VIEWER;
    ConfigGet = "config:get", OPERATOR;
    ConfigSet = "config:set", OPERATOR;
    PsShow = "ps", VIEWER;
    PsScale = "ps:scale", OPERATOR;
    PsRestart = "restart", DEPLOYER;
    Logs = "logs", VIEWER;
    Run = "run", OPERATOR;
    DomainsShow = "domains", VIEWER;
    DomainsAdd = "domains:add", OPERATOR;
    DomainsRemove = "domains:remove", OPERATOR;
    EventsShow = "events", VIEWER;
    Doctor = "doctor", Super;
}

/// The object of a verb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// The platform as a whole.
    Platform,
    /// One user's account.
    User(UserName),
    /// One tenant, with all of its teams.
    Tenant(TenantName),
    /// An app and the team that it belongs to.
    App(AppRef, TeamName),
}

/// The result of an authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The verb may be done.
    Allow,
    /// The caller may know of the object, but may not do this.
    Deny,
    /// The caller may not know that the object exists.
    Hide,
}

/// Decides whether `who` may do `verb` to `object`.
pub fn authorize(who: &Identity, verb: Verb, object: &Object) -> Decision {
    if who.is_super {
        return Decision::Allow;
    }
    let role = match object {
        Object::Platform | Object::User(_) => None,
        Object::Tenant(tenant) => who.role_in_tenant(tenant),
        Object::App(app, team) => who.role_in(&app.tenant, team),
    };
    let enough = match (verb.need(), object) {
        (Super, _) => false,
        // A token with less than all rights never reaches the account behind it.
        (Oneself, Object::User(user)) => who.user() == Some(user) && who.scope == TokenScope::Full,
        (Oneself, _) => false,
        (Need::Role(need), _) => role.is_some_and(|role| role >= need),
    };
    match (enough, role) {
        (true, _) => Decision::Allow,
        (false, Some(_)) => Decision::Deny,
        (false, None) => match object {
            Object::Platform => Decision::Deny,
            Object::User(user) if who.user() == Some(user) => Decision::Deny,
            Object::User(_) | Object::Tenant(_) | Object::App(..) => Decision::Hide,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Actor, Origin};
    use store::records::Member;

    fn person(memberships: &[(&str, &str, Role)]) -> Identity {
        let memberships = memberships
            .iter()
            .map(|(tenant, team, role)| Member {
                tenant: tenant.parse().expect("a name"),
                team: team.parse().expect("a name"),
                user: "ada".parse().expect("a name"),
                role: *role,
            })
            .collect();
        Identity {
            actor: Actor::User("ada".parse().expect("a name")),
            origin: Origin("test".into()),
            is_super: false,
            scope: TokenScope::Full,
            memberships,
        }
    }

    /// What a token of an owner with this scope may do, for every verb: no more than the role that caps it, and nothing to the account.
    #[test]
    fn a_token_carries_no_more_than_its_scope() {
        let own = Object::User("ada".parse().expect("a name"));
        for (scope, most) in [(TokenScope::Read, Role::Viewer), (TokenScope::Deploy, Role::Deployer)] {
            let mut owner = person(&[("acme", "web", Role::Owner)]);
            owner.is_super = true;
            let token = owner.limited_to(scope);
            for verb in Verb::ALL {
                let expected = match verb.need() {
                    Need::Role(need) if most >= need => Decision::Allow,
                    _ => Decision::Deny,
                };
                assert_eq!(authorize(&token, *verb, &app()), expected, "{} by a token to {scope:?}", verb.name());
                assert_eq!(authorize(&token, *verb, &Object::Platform), Decision::Deny, "{} by a token to {scope:?}", verb.name());
                assert_eq!(authorize(&token, *verb, &own), Decision::Deny, "{} to the account, by a token to {scope:?}", verb.name());
            }
        }
    }

    fn app() -> Object {
        let app = AppRef { tenant: "acme".parse().expect("a name"), app: "shop".parse().expect("a name") };
        Object::App(app, "web".parse().expect("a name"))
    }

    /// Every verb × every role in the team, in another team, in another tenant, and none: the whole matrix.
    #[test]
    fn the_matrix_holds_for_every_verb() {
        for verb in Verb::ALL {
            for role in [Role::Viewer, Role::Deployer, Role::Operator, Role::Owner] {
                let member = authorize(&person(&[("acme", "web", role)]), *verb, &app());
                let expected = match verb.need() {
                    Need::Role(need) if role >= need => Decision::Allow,
                    _ => Decision::Deny,
                };
                assert_eq!(member, expected, "{} as {role:?}", verb.name());
                let other_team = authorize(&person(&[("acme", "ops", role)]), *verb, &app());
                assert_eq!(other_team, Decision::Hide, "{} from another team", verb.name());
                let other_tenant = authorize(&person(&[("evil", "web", role)]), *verb, &app());
                assert_eq!(other_tenant, Decision::Hide, "{} from another tenant", verb.name());
                let other_user = authorize(&person(&[("acme", "web", role)]), *verb, &Object::User("eve".parse().expect("a name")));
                assert_eq!(other_user, Decision::Hide, "{} to another user", verb.name());
            }
            assert_eq!(authorize(&person(&[]), *verb, &app()), Decision::Hide, "{} by a stranger", verb.name());
            assert_eq!(authorize(&person(&[]), *verb, &Object::Platform), Decision::Deny);
            assert_eq!(authorize(&Identity::operator("console"), *verb, &app()), Decision::Allow);
        }
    }
}
