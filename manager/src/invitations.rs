//! Invitations: nobody becomes a member of a tenant without accepting it, and every member can leave.
//!
//! The operator of the platform may still make members directly: they answer for all tenants.

use chrono::Utc;
use model::{TeamName, TenantName, UserError, UserName};
use serde_json::json;
use store::records::{Invitation, Member};

use crate::authorize::{Object, Verb};
use crate::identity::Identity;
use crate::members::check_owner_stays;
use crate::user_errors::tenants as errors;
use crate::{Manager, OrInternal};

/// Most open invitations of one tenant.
const MAX_INVITATIONS: usize = 100;

impl Manager {
    /// Whether a membership needs the consent of its user: they are in no team of the tenant yet.
    pub(crate) async fn needs_consent(&self, who: &Identity, member: &Member) -> Result<bool, UserError> {
        if who.is_super || who.user() == Some(&member.user) {
            return Ok(false);
        }
        let memberships = self.records.memberships(&member.user).await.or_internal()?;
        Ok(!memberships.iter().any(|known| known.tenant == member.tenant))
    }

    /// Invites a user. The caller has checked the right.
    pub(crate) async fn invite(&self, who: &Identity, member: &Member) -> Result<(), UserError> {
        let open = self.records.invitations_to(&member.tenant).await.or_internal()?;
        let is_same = |known: &Invitation| (&known.member.user, &known.member.team) == (&member.user, &member.team);
        if open.len() >= MAX_INVITATIONS && !open.iter().any(is_same) {
            return Err(errors::too_many_invitations(&member.tenant, MAX_INVITATIONS));
        }
        let invitation = Invitation { member: member.clone(), invited_by: who.actor.to_string(), at: Utc::now() };
        let mut change = self.records.change().await.or_internal()?;
        change.set_invitation(&invitation).await.or_internal()?;
        let detail = json!({ "user": member.user, "role": member.role, "invited": true });
        self.record(&mut change, who, Verb::MembersSet, Some(&member.tenant), format!("{}/{}", member.tenant, member.team), detail).await?;
        change.commit().await.or_internal()
    }

    /// The invitations of a user.
    pub async fn invitations(&self, who: &Identity, user: &UserName) -> Result<Vec<Invitation>, UserError> {
        self.allow(who, Verb::InvitationsList, &Object::User(user.clone())).await?;
        self.known_user(user).await?;
        self.records.invitations_of(user).await.or_internal()
    }

    /// The open invitations of a tenant.
    pub async fn tenant_invitations(&self, who: &Identity, tenant: &TenantName) -> Result<Vec<Invitation>, UserError> {
        self.allow(who, Verb::TenantInfo, &Object::Tenant(tenant.clone())).await?;
        self.records.invitations_to(tenant).await.or_internal()
    }

    /// Accepts an invitation: the user is a member from now on.
    pub async fn accept_invitation(
        &self,
        who: &Identity,
        user: &UserName,
        tenant: &TenantName,
        team: &TeamName,
    ) -> Result<Member, UserError> {
        self.allow(who, Verb::InvitationsAccept, &Object::User(user.clone())).await?;
        let mut change = self.records.change().await.or_internal()?;
        let Some(invitation) = change.take_invitation(tenant, team, user).await.or_internal()? else {
            return Err(errors::not_invited(tenant, team));
        };
        change.set_member(&invitation.member).await.or_internal()?;
        let detail = json!({ "user": user, "role": invitation.member.role, "invited_by": invitation.invited_by });
        self.record(&mut change, who, Verb::InvitationsAccept, Some(tenant), format!("{tenant}/{team}"), detail).await?;
        change.commit().await.or_internal()?;
        Ok(invitation.member)
    }

    /// Declines an invitation.
    pub async fn decline_invitation(&self, who: &Identity, user: &UserName, tenant: &TenantName, team: &TeamName) -> Result<(), UserError> {
        self.allow(who, Verb::InvitationsDecline, &Object::User(user.clone())).await?;
        let mut change = self.records.change().await.or_internal()?;
        if change.take_invitation(tenant, team, user).await.or_internal()?.is_none() {
            return Err(errors::not_invited(tenant, team));
        }
        self.record(&mut change, who, Verb::InvitationsDecline, Some(tenant), format!("{tenant}/{team}"), json!({ "user": user })).await?;
        change.commit().await.or_internal()
    }

    /// Takes a user out of every team of a tenant, at their own wish.
    pub async fn leave_tenant(&self, who: &Identity, user: &UserName, tenant: &TenantName) -> Result<(), UserError> {
        self.allow(who, Verb::TenantsLeave, &Object::User(user.clone())).await?;
        let members = self.records.members(tenant).await.or_internal()?;
        if !members.iter().any(|member| member.user == *user) {
            return Err(errors::not_in_tenant(tenant));
        }
        check_owner_stays(tenant, &members, |member| member.user != *user)?;
        let mut change = self.records.change().await.or_internal()?;
        change.leave_tenant(tenant, user).await.or_internal()?;
        self.record(&mut change, who, Verb::TenantsLeave, Some(tenant), format!("tenant {tenant}"), json!({ "user": user })).await?;
        change.commit().await.or_internal()
    }
}
