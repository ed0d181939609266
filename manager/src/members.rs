//! Tenants, teams, members.

use chrono::Utc;
use model::{TeamName, TenantName, UserError, UserName};
use serde_json::json;
use store::records::{Member, Role, Tenant};

use crate::authorize::{Object, Verb};
use crate::identity::Identity;
use crate::user_errors::{people, tenants as errors};
use crate::{Manager, OrInternal};

/// What became of a membership that was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberSet {
    /// The user is a member with this role.
    Set,
    /// The user is invited, and a member once they accept.
    Invited,
}

impl Manager {
    /// Makes a tenant with a first team and its owner.
    pub async fn create_tenant(&self, who: &Identity, tenant: &TenantName, team: &TeamName, owner: &UserName) -> Result<(), UserError> {
        self.allow(who, Verb::TenantsCreate, &Object::Platform).await?;
        if self.records.user(owner).await.or_internal()?.is_none() {
            return Err(people::unknown_user(owner));
        }
        let now = Utc::now();
        let mut change = self.records.change().await.or_internal()?;
        if let Err(error) = change.add_tenant(tenant, now).await {
            return Err(if error.is_taken() { errors::tenant_exists(tenant) } else { crate::internal(&error) });
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
            return Err(if error.is_taken() { errors::team_exists(tenant, team) } else { crate::internal(&error) });
        }
        self.record(&mut change, who, Verb::TeamsCreate, Some(tenant), format!("{tenant}/{team}"), json!({})).await?;
        change.commit().await.or_internal()
    }

    /// Puts a user into a team, or changes its role there; a user who is in no team of the tenant yet is invited.
    pub async fn set_member(&self, who: &Identity, member: &Member) -> Result<MemberSet, UserError> {
        self.tenant(who, Verb::MembersSet, &member.tenant).await?;
        if self.records.user(&member.user).await.or_internal()?.is_none() {
            return Err(people::no_such_user(&member.user));
        }
        if !self.records.teams(&member.tenant).await.or_internal()?.iter().any(|team| team.name == member.team) {
            return Err(errors::no_team_for_member(&member.tenant, &member.team));
        }
        if self.needs_consent(who, member).await? {
            self.invite(who, member).await?;
            return Ok(MemberSet::Invited);
        }
        if member.role != Role::Owner {
            let members = self.records.members(&member.tenant).await.or_internal()?;
            check_owner_stays(&member.tenant, &members, |other| (&other.user, &other.team) != (&member.user, &member.team))?;
        }
        let mut change = self.records.change().await.or_internal()?;
        change.set_member(member).await.or_internal()?;
        let detail = json!({ "user": member.user, "role": member.role });
        self.record(&mut change, who, Verb::MembersSet, Some(&member.tenant), format!("{}/{}", member.tenant, member.team), detail).await?;
        change.commit().await.or_internal()?;
        Ok(MemberSet::Set)
    }

    /// Takes a user out of a team, or an open invitation back.
    pub async fn remove_member(&self, who: &Identity, tenant: &TenantName, team: &TeamName, user: &UserName) -> Result<(), UserError> {
        self.tenant(who, Verb::MembersRemove, tenant).await?;
        let members = self.records.members(tenant).await.or_internal()?;
        check_owner_stays(tenant, &members, |other| (&other.user, &other.team) != (user, team))?;
        let mut change = self.records.change().await.or_internal()?;
        let invited = change.take_invitation(tenant, team, user).await.or_internal()?.is_some();
        if !change.remove_member(tenant, team, user).await.or_internal()? && !invited {
            return Err(errors::not_a_member(tenant, team, user));
        }
        self.record(&mut change, who, Verb::MembersRemove, Some(tenant), format!("{tenant}/{team}"), json!({ "user": user })).await?;
        change.commit().await.or_internal()
    }

    /// Removes a team that no app belongs to, and who is in it.
    pub async fn remove_team(&self, who: &Identity, tenant: &TenantName, team: &TeamName) -> Result<(), UserError> {
        self.tenant(who, Verb::TeamsRemove, tenant).await?;
        if !self.records.teams(tenant).await.or_internal()?.iter().any(|found| found.name == *team) {
            return Err(errors::no_team_to_remove(tenant, team));
        }
        self.check_no_apps(tenant, Some(team)).await?;
        let members = self.records.members(tenant).await.or_internal()?;
        check_owner_stays(tenant, &members, |other| other.team != *team)?;
        let mut change = self.records.change().await.or_internal()?;
        change.remove_team(tenant, team).await.or_internal()?;
        self.record(&mut change, who, Verb::TeamsRemove, Some(tenant), format!("{tenant}/{team}"), json!({})).await?;
        change.commit().await.or_internal()
    }

    /// Destroys a tenant that has no app, with its teams. Its events stay.
    pub async fn destroy_tenant(&self, who: &Identity, tenant: &TenantName) -> Result<(), UserError> {
        // Only super users may do this, and they may know every tenant.
        self.allow(who, Verb::TenantsDestroy, &Object::Platform).await?;
        if self.records.tenant(tenant).await.or_internal()?.is_none() {
            return Err(errors::unknown_tenant(tenant));
        }
        self.check_no_apps(tenant, None).await?;
        let mut change = self.records.change().await.or_internal()?;
        change.remove_tenant(tenant).await.or_internal()?;
        self.record(&mut change, who, Verb::TenantsDestroy, Some(tenant), format!("tenant {tenant}"), json!({})).await?;
        change.commit().await.or_internal()
    }

    /// Refuses while apps are left in a tenant, or in one team of it.
    async fn check_no_apps(&self, tenant: &TenantName, team: Option<&TeamName>) -> Result<(), UserError> {
        let apps = self.records.apps(tenant).await.or_internal()?;
        let left: Vec<_> = apps.iter().filter(|app| team.is_none_or(|team| app.team == *team)).map(|app| &app.app).collect();
        if left.is_empty() { Ok(()) } else { Err(errors::has_apps(tenant, team, &left)) }
    }

    /// Sets whether a push may make an app.
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
        found.ok_or_else(|| errors::unknown_tenant(tenant))
    }

    /// The tenants that a user may see.
    pub async fn tenants(&self, who: &Identity) -> Result<Vec<TenantName>, UserError> {
        if who.is_super {
            Ok(self.records.tenants().await.or_internal()?.into_iter().map(|tenant| tenant.name).collect())
        } else {
            Ok(who.tenants())
        }
    }
}

/// Refuses a change that would leave a tenant without its last owner: `stays` is true for the members that remain.
pub(crate) fn check_owner_stays(tenant: &TenantName, members: &[Member], stays: impl Fn(&Member) -> bool) -> Result<(), UserError> {
    let owners: Vec<&Member> = members.iter().filter(|member| member.role == Role::Owner).collect();
    match owners.first() {
        Some(last) if !owners.iter().any(|owner| stays(owner)) => Err(errors::last_owner(tenant, &last.team, &last.user)),
        _ => Ok(()),
    }
}
