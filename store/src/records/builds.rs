//! Builds, and the slugs that they made by source key.

use std::collections::BTreeMap;

use model::{AppEnv, AppRef, Build, BuildId, ImageRef, ProcessName, TemplateName, Time};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;

use super::{Change, Records, RecordsError, at, json, text, to_json};

/// A slug that can be released again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSlug {
    /// Its image.
    pub image: ImageRef,
    /// The template that made it.
    pub template: TemplateName,
    /// Process types and commands, as the build found them.
    pub processes: BTreeMap<ProcessName, String>,
    /// Size of its layer in bytes, compressed.
    pub size: u64,
    /// The build that made it.
    pub build: BuildId,
}

fn build(row: &PgRow) -> Result<Build, RecordsError> {
    json(row, "document")
}

impl Records {
    /// One build.
    pub async fn build(&self, id: &BuildId) -> Result<Option<Build>, RecordsError> {
        let row = sqlx::query("SELECT document FROM builds WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(at("reading a build"))?;
        row.as_ref().map(build).transpose()
    }

    /// The newest builds of an app in an environment.
    pub async fn builds(&self, app: &AppEnv, limit: u32) -> Result<Vec<Build>, RecordsError> {
        let rows = sqlx::query("SELECT document FROM builds WHERE tenant = $1 AND app = $2 AND env = $3 ORDER BY at DESC, id LIMIT $4")
            .bind(app.tenant.as_str())
            .bind(app.app.as_str())
            .bind(app.env.as_str())
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(at("reading builds"))?;
        rows.iter().map(build).collect()
    }

    /// Which of these builds there are.
    pub async fn known_builds(&self, ids: &[BuildId]) -> Result<Vec<BuildId>, RecordsError> {
        let ids: Vec<&str> = ids.iter().map(BuildId::as_str).collect();
        let rows = sqlx::query("SELECT id FROM builds WHERE id = ANY($1)")
            .bind(ids)
            .fetch_all(&self.pool)
            .await
            .map_err(at("looking for builds"))?;
        rows.iter().map(|row| text(row, "id")).collect()
    }

    /// Builds that have not ended, oldest first.
    pub async fn open_builds(&self) -> Result<Vec<Build>, RecordsError> {
        let rows = sqlx::query("SELECT document FROM builds WHERE state IN ('queued', 'running') ORDER BY at, id")
            .fetch_all(&self.pool)
            .await
            .map_err(at("reading open builds"))?;
        rows.iter().map(build).collect()
    }

    /// The newest build of every app in every environment.
    pub async fn newest_builds(&self) -> Result<Vec<Build>, RecordsError> {
        let rows = sqlx::query("SELECT DISTINCT ON (tenant, app, env) document FROM builds ORDER BY tenant, app, env, at DESC, id")
            .fetch_all(&self.pool)
            .await
            .map_err(at("reading builds"))?;
        rows.iter().map(build).collect()
    }

    /// Builds whose release is being rolled out.
    pub async fn releasing_builds(&self) -> Result<Vec<Build>, RecordsError> {
        let rows = sqlx::query("SELECT document FROM builds WHERE state = 'releasing' ORDER BY at, id")
            .fetch_all(&self.pool)
            .await
            .map_err(at("reading builds"))?;
        rows.iter().map(build).collect()
    }

    /// The slug of a source, if it was built before.
    pub async fn slug(&self, app: &AppRef, source_key: &str) -> Result<Option<StoredSlug>, RecordsError> {
        let row = sqlx::query("SELECT document FROM slugs WHERE tenant = $1 AND app = $2 AND source_key = $3")
            .bind(app.tenant.as_str())
            .bind(app.app.as_str())
            .bind(source_key)
            .fetch_optional(&self.pool)
            .await
            .map_err(at("reading a slug"))?;
        row.as_ref().map(|row| json(row, "document")).transpose()
    }

    /// Every slug that is kept, for the registry's sweep.
    pub async fn slug_images(&self) -> Result<Vec<ImageRef>, RecordsError> {
        let rows = sqlx::query("SELECT document FROM slugs").fetch_all(&self.pool).await.map_err(at("reading slugs"))?;
        rows.iter().map(|row| Ok(json::<StoredSlug>(row, "document")?.image)).collect()
    }
}

impl Change {
    /// Adds a build or writes its new state.
    pub async fn save_build(&mut self, build: &Build) -> Result<(), RecordsError> {
        sqlx::query(
            "INSERT INTO builds (id, tenant, app, env, state, document, at) VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (id) DO UPDATE SET state = excluded.state, document = excluded.document",
        )
        .bind(build.id.as_str())
        .bind(build.app.tenant.as_str())
        .bind(build.app.app.as_str())
        .bind(build.app.env.as_str())
        .bind(build.state.as_str())
        .bind(to_json(build))
        .bind(build.at)
        .execute(&mut *self.tx)
        .await
        .map_err(at("saving a build"))?;
        Ok(())
    }

    /// Remembers the slug of a source.
    pub async fn save_slug(&mut self, app: &AppRef, source_key: &str, slug: &StoredSlug, now: Time) -> Result<(), RecordsError> {
        sqlx::query(
            "INSERT INTO slugs (tenant, app, source_key, document, at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (tenant, app, source_key) DO UPDATE SET document = excluded.document, at = excluded.at",
        )
        .bind(app.tenant.as_str())
        .bind(app.app.as_str())
        .bind(source_key)
        .bind(to_json(slug))
        .bind(now)
        .execute(&mut *self.tx)
        .await
        .map_err(at("saving a slug"))?;
        Ok(())
    }

    /// Forgets a slug whose image is gone.
    pub async fn forget_slug(&mut self, app: &AppRef, source_key: &str) -> Result<(), RecordsError> {
        sqlx::query("DELETE FROM slugs WHERE tenant = $1 AND app = $2 AND source_key = $3")
            .bind(app.tenant.as_str())
            .bind(app.app.as_str())
            .bind(source_key)
            .execute(&mut *self.tx)
            .await
            .map_err(at("forgetting a slug"))?;
        Ok(())
    }

    /// Removes builds.
    pub async fn remove_builds(&mut self, ids: &[BuildId]) -> Result<(), RecordsError> {
        let ids: Vec<&str> = ids.iter().map(BuildId::as_str).collect();
        sqlx::query("DELETE FROM builds WHERE id = ANY($1)").bind(ids).execute(&mut *self.tx).await.map_err(at("removing builds"))?;
        Ok(())
    }

    /// Forgets the slugs of an app whose build is gone, but for those that one of its releases still runs.
    pub async fn forget_old_slugs(&mut self, app: &AppRef) -> Result<(), RecordsError> {
        sqlx::query(
            "DELETE FROM slugs s WHERE s.tenant = $1 AND s.app = $2
               AND NOT EXISTS (SELECT 1 FROM builds b WHERE b.id = s.document->>'build')
               AND NOT EXISTS
               (SELECT 1 FROM releases r WHERE r.tenant = s.tenant AND r.app = s.app AND r.document->'image' = s.document->'image')",
        )
        .bind(app.tenant.as_str())
        .bind(app.app.as_str())
        .execute(&mut *self.tx)
        .await
        .map_err(at("forgetting slugs"))?;
        Ok(())
    }
}
