//! Apps.

use model::{AppName, AppRef, TeamName, TenantName, Time};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Change, Records, RecordsError, at, text};

/// An app.
#[derive(Debug, Clone)]
pub struct App {
    /// Which tenant and name.
    pub app: AppRef,
    /// The team that it belongs to.
    pub team: TeamName,
    /// When it was made.
    pub created_at: Time,
    /// The uid that its processes run under, in builds and instances: no other app has it, also after this one is gone.
    pub uid: u32,
}

/// Uids of apps are its number above this: beyond what hosts give to people and services.
const FIRST_UID: i32 = 200_000;

fn app(row: &PgRow) -> Result<App, RecordsError> {
    Ok(App {
        app: AppRef { tenant: text(row, "tenant")?, app: text::<AppName>(row, "name")? },
        team: text(row, "team")?,
        created_at: row.try_get("created_at").map_err(at("created_at"))?,
        uid: FIRST_UID.saturating_add(row.try_get("number").map_err(at("number"))?).unsigned_abs(),
    })
}

impl Records {
    /// One app.
    pub async fn app(&self, name: &AppRef) -> Result<Option<App>, RecordsError> {
        let row = sqlx::query("SELECT * FROM apps WHERE tenant = $1 AND name = $2")
            .bind(name.tenant.as_str())
            .bind(name.app.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(at("reading an app"))?;
        row.as_ref().map(app).transpose()
    }

    /// The apps of a tenant, by name.
    pub async fn apps(&self, tenant: &TenantName) -> Result<Vec<App>, RecordsError> {
        let rows = sqlx::query("SELECT * FROM apps WHERE tenant = $1 ORDER BY name")
            .bind(tenant.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(at("reading apps"))?;
        rows.iter().map(app).collect()
    }
}

impl Change {
    /// Adds an app.
    pub async fn add_app(&mut self, name: &AppRef, team: &TeamName, now: Time) -> Result<App, RecordsError> {
        let row = sqlx::query("INSERT INTO apps (tenant, name, team, created_at) VALUES ($1, $2, $3, $4) RETURNING *")
            .bind(name.tenant.as_str())
            .bind(name.app.as_str())
            .bind(team.as_str())
            .bind(now)
            .fetch_one(&mut *self.tx)
            .await
            .map_err(at("adding an app"))?;
        app(&row)
    }

    /// Removes an app and everything recorded of it; its events stay.
    pub async fn remove_app(&mut self, app: &AppRef) -> Result<(), RecordsError> {
        sqlx::query("DELETE FROM apps WHERE tenant = $1 AND name = $2")
            .bind(app.tenant.as_str())
            .bind(app.app.as_str())
            .execute(&mut *self.tx)
            .await
            .map_err(at("removing an app"))?;
        Ok(())
    }
}
