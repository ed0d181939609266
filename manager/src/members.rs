//! Tenants, teams, members.

use chrono::Utc;
use model::{Code, TeamName, TenantName, Trouble, UserName};
use serde_json::json;
use store::records::{Member, Role, Tenant};

use crate::authorize::{Object, Verb};
use crate::events::unknown_tenant;
use crate::identity::Identity;
use crate::{Manager, OrInternal};

impl Manager {
    /// Makes a tenant with a first team and its owner.
    pub async fn create_tenant(&self, who: &Identity, tenant: &TenantName, team: &TeamName, owner: &UserName) -> Result<(), Trouble> {
        self.allow(who, Verb::TenantsCreate, &Object::Platform).await?;
        if self.records.user(owner).await.or_internal()?.is_none() {
            return Err(Trouble::new(Code::NotFound, format!("there is no user `{owner}`")).next(format!("slipway users:create {owner}")));
        }
        let now = Utc::now();
        let mut change = self.records.change().await.or_internal()?;
        if let Err(error) = change.add_tenant(tenant, now).await {
            return Err(if error.is_taken() {
                Trouble::new(Code::NameTaken, format!("there is a tenant `{tenant}` already"))
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
    pub async fn create_team(&self, who: &Identity, tenant: &TenantName, team: &TeamName) -> Result<(), Trouble> {
        self.tenant(who, Verb::TeamsCreate, tenant).await?;
        let mut change = self.records.change().await.or_internal()?;
        if let Err(error) = change.add_team(tenant, team, Utc::now()).await {
            return Err(if error.is_taken() {
                Trouble::new(Code::NameTaken, format!("{tenant} has a team `{team}` already"))
            } else {
                crate::internal(&error)
            });
        }
        self.record(&mut change, who, Verb::TeamsCreate, Some(tenant), format!("{tenant}/{team}"), json!({})).await?;
        change.commit().await.or_internal()
    }

    /// Puts a user into a team, or changes its role there.
    pub async fn set_member(&self, who: &Identity, member: &Member) -> Result<(), Trouble> {
        self.tenant(who, Verb::MembersSet, &member.tenant).await?;
        if self.records.user(&member.user).await.or_internal()?.is_none() {
            return Err(Trouble::new(Code::NotFound, format!("there is no user `{}`", member.user)));
        }
        if !self.records.teams(&member.tenant).await.or_internal()?.iter().any(|team| team.name == member.team) {
            return Err(Trouble::new(Code::NotFound, format!("{} has no team `{}`", member.tenant, member.team))
                .next(format!("slipway teams:create {} {}", member.tenant, member.team)));
        }
        let members = self.records.members(&member.tenant).await.or_internal()?;
        let owns = |other: &&Member| other.role == Role::Owner;
        let is_other = |other: &&Member| (&other.user, &other.team) != (&member.user, &member.team);
        if member.role != Role::Owner
            && members.iter().any(|other| owns(&other))
            && !members.iter().filter(is_other).any(|other| owns(&other))
        {
            return Err(Trouble::new(Code::InUse, format!("{} is the last owner of {}", member.user, member.tenant))
                .why("Without an owner nobody in the tenant could add members or give rights any more.")
                .next(format!("slipway members:set {} {} <another user> owner", member.tenant, member.team)));
        }
        let mut change = self.records.change().await.or_internal()?;
        change.set_member(member).await.or_internal()?;
        let detail = json!({ "user": member.user, "role": member.role });
        self.record(&mut change, who, Verb::MembersSet, Some(&member.tenant), format!("{}/{}", member.tenant, member.team), detail).await?;
        change.commit().await.or_internal()
    }

    /// Whether pushes may make apps.
    pub async fn set_policy(&self, who: &Identity, tenant: &TenantName, create_on_push: bool) -> Result<(), Trouble> {
        self.tenant(who, Verb::TenantsPolicy, tenant).await?;
        let mut change = self.records.change().await.or_internal()?;
        change.set_create_on_push(tenant, create_on_push).await.or_internal()?;
        let detail = json!({ "create_on_push": create_on_push });
        self.record(&mut change, who, Verb::TenantsPolicy, Some(tenant), format!("tenant {tenant}"), detail).await?;
        change.commit().await.or_internal()
    }

    /// The members of a tenant.
    pub async fn members(&self, who: &Identity, tenant: &TenantName) -> Result<Vec<Member>, Trouble> {
        self.tenant(who, Verb::TenantInfo, tenant).await?;
        self.records.members(tenant).await.or_internal()
    }

    async fn tenant(&self, who: &Identity, verb: Verb, tenant: &TenantName) -> Result<Tenant, Trouble> {
        let found = self.records.tenant(tenant).await.or_internal()?;
        self.allow(who, verb, &Object::Tenant(tenant.clone())).await?;
        found.ok_or_else(|| unknown_tenant(tenant))
    }

    /// The tenants that somebody sees.
    pub async fn tenants(&self, who: &Identity) -> Result<Vec<TenantName>, Trouble> {
        if who.is_super {
            Ok(self.records.tenants().await.or_internal()?.into_iter().map(|tenant| tenant.name).collect())
        } else {
            Ok(who.tenants())
        }
    }
}
