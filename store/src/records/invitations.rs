//! Invitations: memberships that their users have not accepted yet.

use model::{TeamName, TenantName, Time, UserName};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::tenants::{Member, member};
use super::{Change, Records, RecordsError, at};

/// A membership that its user may accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The membership that it becomes.
    pub member: Member,
    /// Who invited, as events name actors.
    pub invited_by: String,
    /// When.
    pub at: Time,
}

fn invitation(row: &PgRow) -> Result<Invitation, RecordsError> {
    Ok(Invitation {
        member: member(row)?,
        invited_by: row.try_get("invited_by").map_err(at("invited_by"))?,
        at: row.try_get("at").map_err(at("at"))?,
    })
}

impl Records {
    /// The invitations of a user, by tenant and team.
    pub async fn invitations_of(&self, user: &UserName) -> Result<Vec<Invitation>, RecordsError> {
        let rows = sqlx::query("SELECT * FROM invitations WHERE user_name = $1 ORDER BY tenant, team")
            .bind(user.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(at("reading invitations"))?;
        rows.iter().map(invitation).collect()
    }

    /// The open invitations of a tenant, by team and user.
    pub async fn invitations_to(&self, tenant: &TenantName) -> Result<Vec<Invitation>, RecordsError> {
        let rows = sqlx::query("SELECT * FROM invitations WHERE tenant = $1 ORDER BY team, user_name")
            .bind(tenant.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(at("reading invitations"))?;
        rows.iter().map(invitation).collect()
    }
}

impl Change {
    /// Invites a user into a team, or changes the role of an open invitation.
    pub async fn set_invitation(&mut self, invitation: &Invitation) -> Result<(), RecordsError> {
        let member = &invitation.member;
        sqlx::query(
            "INSERT INTO invitations (tenant, team, user_name, role, invited_by, at) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (tenant, team, user_name) DO UPDATE SET role = excluded.role, invited_by = excluded.invited_by, at = excluded.at",
        )
        .bind(member.tenant.as_str())
        .bind(member.team.as_str())
        .bind(member.user.as_str())
        .bind(member.role.as_str())
        .bind(&invitation.invited_by)
        .bind(invitation.at)
        .execute(&mut *self.tx)
        .await
        .map_err(at("inviting a member"))?;
        Ok(())
    }

    /// Takes an open invitation away; `None` when there is none.
    pub async fn take_invitation(
        &mut self,
        tenant: &TenantName,
        team: &TeamName,
        user: &UserName,
    ) -> Result<Option<Invitation>, RecordsError> {
        let row = sqlx::query("DELETE FROM invitations WHERE tenant = $1 AND team = $2 AND user_name = $3 RETURNING *")
            .bind(tenant.as_str())
            .bind(team.as_str())
            .bind(user.as_str())
            .fetch_optional(&mut *self.tx)
            .await
            .map_err(at("taking an invitation"))?;
        row.as_ref().map(invitation).transpose()
    }

    /// Takes a user out of every team of a tenant; returns how many.
    pub async fn leave_tenant(&mut self, tenant: &TenantName, user: &UserName) -> Result<u64, RecordsError> {
        let done = sqlx::query("DELETE FROM members WHERE tenant = $1 AND user_name = $2")
            .bind(tenant.as_str())
            .bind(user.as_str())
            .execute(&mut *self.tx)
            .await
            .map_err(at("leaving a tenant"))?;
        Ok(done.rows_affected())
    }
}
