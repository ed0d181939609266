//! Tenants, teams and members.

use model::{AppRef, Code, TeamName, TenantName, UserError, UserName};

pub(crate) fn unknown_tenant(tenant: &TenantName) -> UserError {
    UserError::new(Code::NotFound, format!("there is no tenant `{tenant}`")).next("slipway whoami")
}

pub(crate) fn tenant_exists(tenant: &TenantName) -> UserError {
    UserError::new(Code::NameTaken, format!("there is a tenant `{tenant}` already"))
}

/// A team that does not exist, or that the user is not a member of: both read alike.
pub(crate) fn unknown_team(tenant: &TenantName, team: &TeamName) -> UserError {
    UserError::new(Code::NotFound, format!("{tenant} has no team `{team}`"))
        .why("Or you are not a member of it.")
        .next("slipway whoami")
        .next(format!("slipway teams:create {tenant} {team}   # as an owner"))
}

/// A new member's team that an owner could make.
pub(crate) fn no_team_for_member(tenant: &TenantName, team: &TeamName) -> UserError {
    UserError::new(Code::NotFound, format!("{tenant} has no team `{team}`")).next(format!("slipway teams:create {tenant} {team}"))
}

/// A team to remove that does not exist.
pub(crate) fn no_team_to_remove(tenant: &TenantName, team: &TeamName) -> UserError {
    UserError::new(Code::NotFound, format!("{tenant} has no team `{team}`")).next(format!("slipway members:list {tenant}"))
}

pub(crate) fn team_exists(tenant: &TenantName, team: &TeamName) -> UserError {
    UserError::new(Code::NameTaken, format!("{tenant} has a team `{team}` already"))
}

pub(crate) fn not_a_member(tenant: &TenantName, team: &TeamName, user: &UserName) -> UserError {
    UserError::new(Code::NotFound, format!("{user} is not in team `{team}` of {tenant}")).next(format!("slipway members:list {tenant}"))
}

/// An invitation that does not exist, or that was taken back.
pub(crate) fn not_invited(tenant: &TenantName, team: &TeamName) -> UserError {
    UserError::new(Code::NotFound, format!("there is no invitation to team `{team}` of {tenant}")).next("slipway invitations")
}

/// Leaving a tenant without being in it.
pub(crate) fn not_in_tenant(tenant: &TenantName) -> UserError {
    UserError::new(Code::NotFound, format!("there is no tenant `{tenant}` to leave")).next("slipway whoami")
}

/// More open invitations than `most`.
pub(crate) fn too_many_invitations(tenant: &TenantName, most: usize) -> UserError {
    UserError::new(Code::TooManyTries, format!("{tenant} has {most} invitations that are not accepted yet"))
        .why("No more are made until some are accepted, declined or taken back.")
        .next(format!("slipway members:list {tenant}"))
}

/// A change that would leave a tenant without an owner.
pub(crate) fn last_owner(tenant: &TenantName, team: &TeamName, user: &UserName) -> UserError {
    UserError::new(Code::InUse, format!("{user} is the last owner of {tenant}"))
        .why("Without an owner nobody in the tenant could add members or give rights any more.")
        .next(format!("slipway members:set {tenant} {team} <another user> owner"))
}

/// A tenant, or one team of it, that still has apps: `left`, at least one.
pub(crate) fn has_apps(tenant: &TenantName, team: Option<&TeamName>, left: &[&AppRef]) -> UserError {
    let what = team.map_or_else(|| format!("tenant {tenant}"), |team| format!("team `{team}` of {tenant}"));
    let names: Vec<String> = left.iter().take(5).map(ToString::to_string).collect();
    let more = match left.len().saturating_sub(names.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let user_error = UserError::new(Code::InUse, format!("{what} has apps"))
        .why(format!("{}{more} would be left without it. Nothing was changed.", names.join(", ")));
    match left.first() {
        Some(first) => user_error.next(format!("slipway apps:destroy {first} --confirm {first}")),
        None => user_error,
    }
}
