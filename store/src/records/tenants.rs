//! Tenants, teams and who is in them.

use model::{TeamName, TenantName, Time, UserName};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Change, Records, RecordsError, at, text};

/// The isolation boundary.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its name.
    pub name: TenantName,
    /// Whether a push to an unknown app makes it.
    pub create_on_push: bool,
}

/// A team of a tenant.
#[derive(Debug, Clone)]
pub struct Team {
    /// Which tenant.
    pub tenant: TenantName,
    /// Its name.
    pub name: TeamName,
}

/// What a member may do; each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees.
    Viewer,
    /// Pushes, rolls back.
    Deployer,
    /// Scales, configures, runs commands.
    Operator,
    /// Makes and destroys apps, manages members.
    Owner,
}

impl Role {
    /// The role as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Deployer => "deployer",
            Self::Operator => "operator",
            Self::Owner => "owner",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Viewer, Self::Deployer, Self::Operator, Self::Owner].into_iter().find(|role| role.as_str() == text).ok_or(())
    }
}

/// A user in a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Which tenant.
    pub tenant: TenantName,
    /// Which team.
    pub team: TeamName,
    /// Who.
    pub user: UserName,
    /// As what.
    pub role: Role,
}

pub(super) fn member(row: &PgRow) -> Result<Member, RecordsError> {
    Ok(Member { tenant: text(row, "tenant")?, team: text(row, "team")?, user: text(row, "user_name")?, role: text::<Role>(row, "role")? })
}

fn tenant(row: &PgRow) -> Result<Tenant, RecordsError> {
    Ok(Tenant { name: text(row, "name")?, create_on_push: row.try_get("create_on_push").map_err(at("create_on_push"))? })
}

impl Records {
    /// One tenant.
    pub async fn tenant(&self, name: &TenantName) -> Result<Option<Tenant>, RecordsError> {
        let row = sqlx::query("SELECT * FROM tenants WHERE name = $1")
            .bind(name.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(at("reading a tenant"))?;
        row.as_ref().map(tenant).transpose()
    }

    /// Every tenant, by name.
    pub async fn tenants(&self) -> Result<Vec<Tenant>, RecordsError> {
        let rows = sqlx::query("SELECT * FROM tenants ORDER BY name").fetch_all(&self.pool).await.map_err(at("reading tenants"))?;
        rows.iter().map(tenant).collect()
    }

    /// Every team of a tenant, by name.
    pub async fn teams(&self, tenant: &TenantName) -> Result<Vec<Team>, RecordsError> {
        let rows = sqlx::query("SELECT * FROM teams WHERE tenant = $1 ORDER BY name")
            .bind(tenant.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(at("reading teams"))?;
        rows.iter().map(|row| Ok(Team { tenant: text(row, "tenant")?, name: text(row, "name")? })).collect()
    }

    /// Where a user is a member.
    pub async fn memberships(&self, user: &UserName) -> Result<Vec<Member>, RecordsError> {
        let rows = sqlx::query("SELECT * FROM members WHERE user_name = $1 ORDER BY tenant, team")
            .bind(user.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(at("reading memberships"))?;
        rows.iter().map(member).collect()
    }

    /// The members of a tenant.
    pub async fn members(&self, tenant: &TenantName) -> Result<Vec<Member>, RecordsError> {
        let rows = sqlx::query("SELECT * FROM members WHERE tenant = $1 ORDER BY team, user_name")
            .bind(tenant.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(at("reading members"))?;
        rows.iter().map(member).collect()
    }
}

impl Change {
    /// Adds a tenant.
    pub async fn add_tenant(&mut self, name: &TenantName, now: Time) -> Result<(), RecordsError> {
        sqlx::query("INSERT INTO tenants (name, created_at) VALUES ($1, $2)")
            .bind(name.as_str())
            .bind(now)
            .execute(&mut *self.tx)
            .await
            .map_err(at("adding a tenant"))?;
        Ok(())
    }

    /// Sets whether a push may make an app.
    pub async fn set_create_on_push(&mut self, name: &TenantName, yes: bool) -> Result<(), RecordsError> {
        sqlx::query("UPDATE tenants SET create_on_push = $2 WHERE name = $1")
            .bind(name.as_str())
            .bind(yes)
            .execute(&mut *self.tx)
            .await
            .map_err(at("changing a tenant"))?;
        Ok(())
    }

    /// Adds a team.
    pub async fn add_team(&mut self, tenant: &TenantName, name: &TeamName, now: Time) -> Result<(), RecordsError> {
        sqlx::query("INSERT INTO teams (tenant, name, created_at) VALUES ($1, $2, $3)")
            .bind(tenant.as_str())
            .bind(name.as_str())
            .bind(now)
            .execute(&mut *self.tx)
            .await
            .map_err(at("adding a team"))?;
        Ok(())
    }

    /// Puts a user into a team, or changes its role there.
    pub async fn set_member(&mut self, member: &Member) -> Result<(), RecordsError> {
        sqlx::query(
            "INSERT INTO members (tenant, team, user_name, role) VALUES ($1, $2, $3, $4)
             ON CONFLICT (tenant, team, user_name) DO UPDATE SET role = excluded.role",
        )
        .bind(member.tenant.as_str())
        .bind(member.team.as_str())
        .bind(member.user.as_str())
        .bind(member.role.as_str())
        .execute(&mut *self.tx)
        .await
        .map_err(at("setting a member"))?;
        Ok(())
    }

    /// Takes a user out of a team; says whether it was in.
    pub async fn remove_member(&mut self, tenant: &TenantName, team: &TeamName, user: &UserName) -> Result<bool, RecordsError> {
        let done = sqlx::query("DELETE FROM members WHERE tenant = $1 AND team = $2 AND user_name = $3")
            .bind(tenant.as_str())
            .bind(team.as_str())
            .bind(user.as_str())
            .execute(&mut *self.tx)
            .await
            .map_err(at("removing a member"))?;
        Ok(done.rows_affected() > 0)
    }

    /// Removes a team and who is in it. Its apps must be gone.
    pub async fn remove_team(&mut self, tenant: &TenantName, team: &TeamName) -> Result<(), RecordsError> {
        for sql in ["DELETE FROM members WHERE tenant = $1 AND team = $2", "DELETE FROM teams WHERE tenant = $1 AND name = $2"] {
            let query = sqlx::query(sql).bind(tenant.as_str()).bind(team.as_str());
            query.execute(&mut *self.tx).await.map_err(at("removing a team"))?;
        }
        Ok(())
    }

    /// Removes a tenant with its teams. Its apps must be gone.
    pub async fn remove_tenant(&mut self, tenant: &TenantName) -> Result<(), RecordsError> {
        for sql in ["DELETE FROM members WHERE tenant = $1", "DELETE FROM teams WHERE tenant = $1", "DELETE FROM tenants WHERE name = $1"] {
            sqlx::query(sql).bind(tenant.as_str()).execute(&mut *self.tx).await.map_err(at("removing a tenant"))?;
        }
        Ok(())
    }
}
