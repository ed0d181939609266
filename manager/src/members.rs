//! Tenants, teams, members.

use chrono::Utc;
use model::{Code, TeamName, TenantName, UserError, UserName};
use serde_json::json;
use store::records::{Member, Role, Tenant};

use crate::authorize::{Object, Verb};
use crate::events::unknown_tenant;
use crate::identity::Identity;
use crate::{Manager, OrInternal};

impl Manager {
    /// Makes a tenant with a first team and its owner.
    pub async fn create_tenant(&self, who: &Identity, tenant: &TenantName, team: &TeamName, owner: &UserName) -> Result<(), UserError> {
        self.allow(who, Verb::TenantsCreate, &Object::Platform).await?;
        if self.records.user(owner).await.or_internal()?.is_none() {
            return Err(UserError::new(Code::NotFound, format!("there is no user `{owner}`")).next(format!("slipway users:create {owner}")));
        }
        let now = Utc::now();
        let mut change = self.records.change().await.or_internal()?;
        if let Err(error) = change.add_tenant(tenant, now).await {
            return Err(if error.is_taken() {
                UserError::new(Code::NameTaken, format!("there is a tenant `{tenant}` already"))
            } else {
                crate::internal(&error)
            });
        }
        change.add_team(tenant, team, now).await.or_internal()?;
        let member = Member { tenant: tenant.clone(), team: team.clone(), user: owner.clone(), role: Role::Owner };
        change.set_member(&member).await.or_internal()?;
        let detail = json!({ "team": team, "owner": owner });
        self.record(&mut change, who, Verb::TenantsCreate, Some(tenant), format!("tenant {tenant}"), detail).await?;
        change.commit().await.or_internal()
    }

    /// Makes a team.
    pub async fn create_team(&self, who: &Identity, tenant: &TenantName, team: &TeamName) -> Result<(), UserError> {
        self.tenant(who, Verb::TeamsCreate, tenant).await?;
        let mut change = self.records.change().await.or_internal()?;
        if let Err(error) = change.add_team(tenant, team, Utc::now()).await {
            return Err(if error.is_taken() {
                UserError::new(Code::NameTaken, format!("{tenant} has a team `{team}` already"))
            } else {
                crate::internal(&error)
            });
        }
        self.record(&mut change, who, Verb::TeamsCreate, Some(tenant), format!("{tenant}/{team}"), json!({})).await?;
        change.commit().await.or_internal()
    }

    /// Puts a user into a team, or changes its role there.
    pub async fn set_member(&self, who: &Identity, member: &Member) -> Result<(), UserError> {
        self.tenant(who, Verb::MembersSet, &member.tenant).await?;
        if self.records.user(&member.user).await.or_internal()?.is_none() {
            return Err(UserError::new(Code::NotFound, format!("there is no user `{}`", member.user)));
        }
        if !self.records.teams(&member.tenant).await.or_internal()?.iter().any(|team| team.name == member.team) {
            return Err(UserError::new(Code::NotFound, format!("{} has no team `{}`", member.tenant, member.team))
                .next(format!("slipway teams:create {} {}", member.tenant, member.team)));
        }
        if member.role != Role::Owner {
            let members = self.records.members(&member.tenant).await.or_internal()?;
            keeps_an_owner(&member.tenant, &members, |other| (&other.user, &other.team) != (&member.user, &member.team))?;
        }
        let mut change = self.records.change().await.or_internal()?;
        change.set_member(member).await.or_internal()?;
        let detail = json!({ "user": member.user, "role": member.role });
        self.record(&mut change, who, Verb::MembersSet, Some(&member.tenant), format!("{}/{}", member.tenant, member.team), detail).await?;
        change.commit().await.or_internal()
    }

    /// Takes a user out of a team.
    pub async fn remove_member(&self, who: &Identity, tenant: &TenantName, team: &TeamName, user: &UserName) -> Result<(), UserError> {
        self.tenant(who, Verb::MembersRemove, tenant).await?;
        let members = self.records.members(tenant).await.or_internal()?;
        keeps_an_owner(tenant, &members, |other| (&other.user, &other.team) != (user, team))?;
        let mut change = self.records.change().await.or_internal()?;
        if !change.remove_member(tenant, team, user).await.or_internal()? {
            return Err(UserError::new(Code::NotFound, format!("{user} is not in team `{team}` of {tenant}"))
                .next(format!("slipway members:list {tenant}")));
        }
        self.record(&mut change, who, Verb::MembersRemove, Some(tenant), format!("{tenant}/{team}"), json!({ "user": user })).await?;
        change.commit().await.or_internal()
    }

    /// Removes a team that no app belongs to, and who is in it.
    pub async fn remove_team(&self, who: &Identity, tenant: &TenantName, team: &TeamName) -> Result<(), UserError> {
        self.tenant(who, Verb::TeamsRemove, tenant).await?;
        if !self.records.teams(tenant).await.or_internal()?.iter().any(|found| found.name == *team) {
            return Err(
                UserError::new(Code::NotFound, format!("{tenant} has no team `{team}`")).next(format!("slipway members:list {tenant}"))
            );
        }
        self.without_apps(tenant, Some(team)).await?;
        let members = self.records.members(tenant).await.or_internal()?;
        keeps_an_owner(tenant, &members, |other| other.team != *team)?;
        let mut change = self.records.change().await.or_internal()?;
        change.remove_team(tenant, team).await.or_internal()?;
        self.record(&mut change, who, Verb::TeamsRemove, Some(tenant), format!("{tenant}/{team}"), json!({})).await?;
        change.commit().await.or_internal()
    }

    /// Destroys a tenant that has no app, with its teams. Its events stay.
    pub async fn destroy_tenant(&self, who: &Identity, tenant: &TenantName) -> Result<(), UserError> {
        // A tenant is no secret to whoever may do this, and nobody else may: no need to hide it.
        self.allow(who, Verb::TenantsDestroy, &Object::Platform).await?;
        if self.records.tenant(tenant).await.or_internal()?.is_none() {
            return Err(unknown_tenant(tenant));
        }
        self.without_apps(tenant, None).await?;
        let mut change = self.records.change().await.or_internal()?;
        change.remove_tenant(tenant).await.or_internal()?;
        self.record(&mut change, who, Verb::TenantsDestroy, Some(tenant), format!("tenant {tenant}"), json!({})).await?;
        change.commit().await.or_internal()
    }

    /// Refuses while apps are left in a tenant, or in one team of it.
    async fn without_apps(&self, tenant: &TenantName, team: Option<&TeamName>) -> Result<(), UserError> {
        let apps = self.records.apps(tenant).await.or_internal()?;
        let left: Vec<_> = apps.iter().filter(|app| team.is_none_or(|team| app.team == *team)).collect();
        let Some(first) = left.first() else { return Ok(()) };
        let what = team.map_or_else(|| format!("tenant {tenant}"), |team| format!("team `{team}` of {tenant}"));
        let names: Vec<String> = left.iter().take(5).map(|app| app.app.to_string()).collect();
        let more = left.len().saturating_sub(names.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Err(UserError::new(Code::InUse, format!("{what} has apps"))
            .why(format!("{}{more} would be left without it. Nothing was changed.", names.join(", ")))
            .next(format!("slipway apps:destroy {} --confirm {}", first.app, first.app)))
    }

    /// Whether pushes may make apps.
    pub async fn set_policy(&self, who: &Identity, tenant: &TenantName, create_on_push: bool) -> Result<(), UserError> {
        self.tenant(who, Verb::TenantsPolicy, tenant).await?;
        let mut change = self.records.change().await.or_internal()?;
        change.set_create_on_push(tenant, create_on_push).await.or_internal()?;
        let detail = json!({ "create_on_push": create_on_push });
        self.record(&mut change, who, Verb::TenantsPolicy, Some(tenant), format!("tenant {tenant}"), detail).await?;
        change.commit().await.or_internal()
    }

    /// The members of a tenant.
    pub async fn members(&self, who: &Identity, tenant: &TenantName) -> Result<Vec<Member>, UserError> {
        self.tenant(who, Verb::TenantInfo, tenant).await?;
        self.records.members(tenant).await.or_internal()
    }

    async fn tenant(&self, who: &Identity, verb: Verb, tenant: &TenantName) -> Result<Tenant, UserError> {
        let found = self.records.tenant(tenant).await.or_internal()?;
        self.allow(who, verb, &Object::Tenant(tenant.clone())).await?;
        found.ok_or_else(|| unknown_tenant(tenant))
    }

    /// The tenants that somebody sees.
    pub async fn tenants(&self, who: &Identity) -> Result<Vec<TenantName>, UserError> {
        if who.is_super {
            Ok(self.records.tenants().await.or_internal()?.into_iter().map(|tenant| tenant.name).collect())
        } else {
            Ok(who.tenants())
        }
    }
}

/// Refuses what would leave a tenant that has an owner without one: `stays` says which members there would still be.
pub(crate) fn keeps_an_owner(tenant: &TenantName, members: &[Member], stays: impl Fn(&Member) -> bool) -> Result<(), UserError> {
    let owners: Vec<&Member> = members.iter().filter(|member| member.role == Role::Owner).collect();
    match owners.first() {
        Some(last) if !owners.iter().any(|owner| stays(owner)) => {
            Err(UserError::new(Code::InUse, format!("{} is the last owner of {tenant}", last.user))
                .why("Without an owner nobody in the tenant could add members or give rights any more.")
                .next(format!("slipway members:set {tenant} {} <another user> owner", last.team)))
        }
        _ => Ok(()),
    }
}
