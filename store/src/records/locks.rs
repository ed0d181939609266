//! The lock of an app in an environment: who holds it, why, and until when it may go without a sign of life.

use model::{AppEnv, Time};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Change, Records, RecordsError, at, text};

/// A held lock.
#[derive(Debug, Clone)]
pub struct Lock {
    /// What is locked.
    pub app: AppEnv,
    /// The process part that holds it: a build id, for one.
    pub holder: String,
    /// On whose behalf.
    pub owner: String,
    /// What for.
    pub reason: String,
    /// Since when.
    pub since: Time,
    /// When it ends without renewal.
    pub expires: Time,
}

fn lock(row: &PgRow) -> Result<Lock, RecordsError> {
    Ok(Lock {
        app: AppEnv { tenant: text(row, "tenant")?, app: text(row, "app")?, env: text(row, "env")? },
        holder: row.try_get("holder").map_err(at("holder"))?,
        owner: row.try_get("owner").map_err(at("owner"))?,
        reason: row.try_get("reason").map_err(at("reason"))?,
        since: row.try_get("since").map_err(at("since"))?,
        expires: row.try_get("expires").map_err(at("expires"))?,
    })
}

impl Records {
    /// Takes or renews a lock. Gives whoever holds it afterwards: compare the holder.
    pub async fn take_lock(&self, wanted: &Lock) -> Result<Lock, RecordsError> {
        let row = sqlx::query(
            "INSERT INTO locks (tenant, app, env, holder, owner, reason, since, expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (tenant, app, env) DO UPDATE SET
                 since = CASE WHEN locks.holder = excluded.holder THEN locks.since ELSE excluded.since END,
                 holder = excluded.holder, owner = excluded.owner, reason = excluded.reason, expires = excluded.expires
             WHERE locks.holder = excluded.holder OR locks.expires <= excluded.since
             RETURNING *",
        )
        .bind(wanted.app.tenant.as_str())
        .bind(wanted.app.app.as_str())
        .bind(wanted.app.env.as_str())
        .bind(&wanted.holder)
        .bind(&wanted.owner)
        .bind(&wanted.reason)
        .bind(wanted.since)
        .bind(wanted.expires)
        .fetch_optional(&self.pool)
        .await
        .map_err(at("taking a lock"))?;
        match row {
            Some(row) => lock(&row),
            None => Ok(self.lock(&wanted.app).await?.unwrap_or_else(|| wanted.clone())),
        }
    }

    /// Who holds a lock.
    pub async fn lock(&self, app: &AppEnv) -> Result<Option<Lock>, RecordsError> {
        let row = sqlx::query("SELECT * FROM locks WHERE tenant = $1 AND app = $2 AND env = $3")
            .bind(app.tenant.as_str())
            .bind(app.app.as_str())
            .bind(app.env.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(at("reading a lock"))?;
        row.as_ref().map(lock).transpose()
    }

    /// Lets go of a lock that `holder` has.
    pub async fn release_lock(&self, app: &AppEnv, holder: &str) -> Result<(), RecordsError> {
        sqlx::query("DELETE FROM locks WHERE tenant = $1 AND app = $2 AND env = $3 AND holder = $4")
            .bind(app.tenant.as_str())
            .bind(app.app.as_str())
            .bind(app.env.as_str())
            .bind(holder)
            .execute(&self.pool)
            .await
            .map_err(at("releasing a lock"))?;
        Ok(())
    }
}

impl Change {
    /// Whether `holder` has the lock of an app, which then nobody can take until this change ends.
    pub async fn holds_lock(&mut self, app: &AppEnv, holder: &str) -> Result<bool, RecordsError> {
        let row = sqlx::query("SELECT 1 FROM locks WHERE tenant = $1 AND app = $2 AND env = $3 AND holder = $4 FOR UPDATE")
            .bind(app.tenant.as_str())
            .bind(app.app.as_str())
            .bind(app.env.as_str())
            .bind(holder)
            .fetch_optional(&mut *self.tx)
            .await
            .map_err(at("checking a lock"))?;
        Ok(row.is_some())
    }

    /// Ends every lock: only a server that is alone may do it, at its start.
    pub async fn clear_locks(&mut self) -> Result<(), RecordsError> {
        sqlx::query("DELETE FROM locks").execute(&mut *self.tx).await.map_err(at("clearing locks"))?;
        Ok(())
    }
}
