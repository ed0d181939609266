//! Cleanups of destroyed apps that are pending: recorded with the removal of the app, ended when everything of it is removed.

use model::{AppRef, EnvName, Time};

use super::{Change, Records, RecordsError, at, json, text, to_json};

impl Records {
    /// The destroyed apps whose cleanup is pending, the oldest first.
    pub async fn app_cleanups(&self) -> Result<Vec<AppRef>, RecordsError> {
        let rows = sqlx::query("SELECT tenant, app FROM app_cleanups ORDER BY since")
            .fetch_all(&self.pool)
            .await
            .map_err(at("reading pending cleanups"))?;
        rows.iter().map(|row| Ok(AppRef { tenant: text(row, "tenant")?, app: text(row, "app")? })).collect()
    }
}

impl Change {
    /// Records that everything of an app in these environments is to be removed. In the change that removes the app.
    pub async fn add_app_cleanup(&mut self, app: &AppRef, envs: &[EnvName], now: Time) -> Result<(), RecordsError> {
        sqlx::query("INSERT INTO app_cleanups (tenant, app, envs, since) VALUES ($1, $2, $3, $4)")
            .bind(app.tenant.as_str())
            .bind(app.app.as_str())
            .bind(to_json(&envs))
            .bind(now)
            .execute(&mut *self.tx)
            .await
            .map_err(at("recording a cleanup"))?;
        Ok(())
    }

    /// The environments of a pending cleanup, which no other change can end until this one does; `None` when none is pending.
    pub async fn lock_app_cleanup(&mut self, app: &AppRef) -> Result<Option<Vec<EnvName>>, RecordsError> {
        let row = sqlx::query("SELECT envs FROM app_cleanups WHERE tenant = $1 AND app = $2 FOR UPDATE")
            .bind(app.tenant.as_str())
            .bind(app.app.as_str())
            .fetch_optional(&mut *self.tx)
            .await
            .map_err(at("reading a pending cleanup"))?;
        row.as_ref().map(|row| json(row, "envs")).transpose()
    }

    /// Whether the cleanup of a destroyed app of this name is pending.
    pub async fn has_app_cleanup(&mut self, app: &AppRef) -> Result<bool, RecordsError> {
        let row = sqlx::query("SELECT 1 FROM app_cleanups WHERE tenant = $1 AND app = $2")
            .bind(app.tenant.as_str())
            .bind(app.app.as_str())
            .fetch_optional(&mut *self.tx)
            .await
            .map_err(at("reading a pending cleanup"))?;
        Ok(row.is_some())
    }

    /// Ends a pending cleanup: everything of the app is removed.
    pub async fn remove_app_cleanup(&mut self, app: &AppRef) -> Result<(), RecordsError> {
        sqlx::query("DELETE FROM app_cleanups WHERE tenant = $1 AND app = $2")
            .bind(app.tenant.as_str())
            .bind(app.app.as_str())
            .execute(&mut *self.tx)
            .await
            .map_err(at("ending a cleanup"))?;
        Ok(())
    }
}
