//! Releases, each with the run spec that supervisors get.

use model::{AppEnv, ImageRef, Release, ReleaseNumber, ReleaseState, RunSpec};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Change, Records, RecordsError, at, json, to_json};

/// A release with what runs of it.
#[derive(Debug, Clone)]
pub struct StoredRelease {
    /// What people see.
    pub release: Release,
    /// What supervisors get.
    pub spec: RunSpec,
}

fn release(row: &PgRow) -> Result<StoredRelease, RecordsError> {
    let mut release: Release = json(row, "document")?;
    let state: &str = row.try_get("state").map_err(at("state"))?;
    release.state = ReleaseState::parse(state).ok_or(RecordsError::Damaged { column: "state" })?;
    release.reason = row.try_get("reason").map_err(at("reason"))?;
    Ok(StoredRelease { release, spec: json(row, "spec")? })
}

impl Records {
    /// One release.
    pub async fn release(&self, app: &AppEnv, number: ReleaseNumber) -> Result<Option<StoredRelease>, RecordsError> {
        let row = sqlx::query("SELECT * FROM releases WHERE tenant = $1 AND app = $2 AND env = $3 AND number = $4")
            .bind(app.tenant.as_str())
            .bind(app.app.as_str())
            .bind(app.env.as_str())
            .bind(number.0 as i32)
            .fetch_optional(&self.pool)
            .await
            .map_err(at("reading a release"))?;
        row.as_ref().map(release).transpose()
    }

    /// The newest releases of an app in an environment.
    pub async fn releases(&self, app: &AppEnv, limit: u32) -> Result<Vec<StoredRelease>, RecordsError> {
        let rows = sqlx::query("SELECT * FROM releases WHERE tenant = $1 AND app = $2 AND env = $3 ORDER BY number DESC LIMIT $4")
            .bind(app.tenant.as_str())
            .bind(app.app.as_str())
            .bind(app.env.as_str())
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(at("reading releases"))?;
        rows.iter().map(release).collect()
    }

    /// The newest release of every app in every environment, of those whose ref moved.
    pub async fn newest_releases(&self) -> Result<Vec<Release>, RecordsError> {
        let rows = sqlx::query(
            "SELECT DISTINCT ON (tenant, app, env) * FROM releases WHERE state NOT IN ('prepared', 'aborted')
             ORDER BY tenant, app, env, number DESC",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(at("reading releases"))?;
        rows.iter().map(|row| release(row).map(|stored| stored.release)).collect()
    }

    /// Releases in a state, over all apps.
    pub async fn releases_in(&self, state: ReleaseState) -> Result<Vec<StoredRelease>, RecordsError> {
        let rows = sqlx::query("SELECT * FROM releases WHERE state = $1 ORDER BY at")
            .bind(state.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(at("reading releases"))?;
        rows.iter().map(release).collect()
    }

    /// Every image that a release names, for the registry's sweep.
    pub async fn release_images(&self) -> Result<Vec<ImageRef>, RecordsError> {
        let rows = sqlx::query("SELECT document FROM releases").fetch_all(&self.pool).await.map_err(at("reading releases"))?;
        rows.iter().map(|row| Ok(json::<Release>(row, "document")?.image)).collect()
    }
}

impl Change {
    /// Writes a new release.
    pub async fn add_release(&mut self, stored: &StoredRelease) -> Result<(), RecordsError> {
        let release = &stored.release;
        sqlx::query(
            "INSERT INTO releases (tenant, app, env, number, state, reason, document, spec, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(release.app.tenant.as_str())
        .bind(release.app.app.as_str())
        .bind(release.app.env.as_str())
        .bind(release.number.0 as i32)
        .bind(release.state.as_str())
        .bind(&release.reason)
        .bind(to_json(release))
        .bind(to_json(&stored.spec))
        .bind(release.at)
        .execute(&mut *self.tx)
        .await
        .map_err(at("adding a release"))?;
        Ok(())
    }

    /// Moves a release to a state; nothing else of it ever changes.
    pub async fn set_release_state(
        &mut self,
        app: &AppEnv,
        number: ReleaseNumber,
        state: ReleaseState,
        reason: Option<&str>,
    ) -> Result<(), RecordsError> {
        sqlx::query("UPDATE releases SET state = $5, reason = $6 WHERE tenant = $1 AND app = $2 AND env = $3 AND number = $4")
            .bind(app.tenant.as_str())
            .bind(app.app.as_str())
            .bind(app.env.as_str())
            .bind(number.0 as i32)
            .bind(state.as_str())
            .bind(reason)
            .execute(&mut *self.tx)
            .await
            .map_err(at("changing a release"))?;
        Ok(())
    }

    /// Removes releases.
    pub async fn remove_releases(&mut self, app: &AppEnv, numbers: &[ReleaseNumber]) -> Result<(), RecordsError> {
        let numbers: Vec<i32> = numbers.iter().map(|number| number.0 as i32).collect();
        sqlx::query("DELETE FROM releases WHERE tenant = $1 AND app = $2 AND env = $3 AND number = ANY($4)")
            .bind(app.tenant.as_str())
            .bind(app.app.as_str())
            .bind(app.env.as_str())
            .bind(numbers)
            .execute(&mut *self.tx)
            .await
            .map_err(at("removing releases"))?;
        Ok(())
    }
}
