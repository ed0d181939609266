//! What is wanted of an app in an environment.

use std::collections::BTreeMap;

use model::{AppEnv, AppRef, Maintenance, ProcessName, ReleaseNumber, Sealed, Time};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Change, Records, RecordsError, at, json, text, to_json};

/// An app in an environment.
#[derive(Debug, Clone)]
pub struct Env {
    /// Which.
    pub app: AppEnv,
    /// The branch whose pushes deploy; none before the first push.
    pub deploy_branch: Option<String>,
    /// The release that should serve.
    pub current: Option<ReleaseNumber>,
    /// Grows with each wanted restart.
    pub epoch: u32,
    /// Grows with each change of what is wanted.
    pub generation: u64,
    /// Instances per process type, where somebody has said so.
    pub counts: BTreeMap<ProcessName, u32>,
    /// Config, sealed; none before the first key.
    pub config: Option<Sealed>,
    /// Names of the config keys.
    pub config_keys: Vec<String>,
    /// What visitors get while it is in maintenance; none: it is not.
    pub maintenance: Option<Maintenance>,
}

fn env(row: &PgRow) -> Result<Env, RecordsError> {
    let number = |column| -> Result<Option<i32>, RecordsError> { row.try_get(column).map_err(at(column)) };
    Ok(Env {
        app: AppEnv { tenant: text(row, "tenant")?, app: text(row, "app")?, env: text(row, "env")? },
        deploy_branch: row.try_get("deploy_branch").map_err(at("deploy_branch"))?,
        current: number("current")?.map(|n| ReleaseNumber(n.unsigned_abs())),
        epoch: number("epoch")?.unwrap_or(0).unsigned_abs(),
        generation: row.try_get::<i64, _>("generation").map_err(at("generation"))?.unsigned_abs(),
        counts: json(row, "counts")?,
        config: row.try_get::<Option<String>, _>("config").map_err(at("config"))?.map(Sealed),
        config_keys: json(row, "config_keys")?,
        maintenance: row.try_get::<Option<String>, _>("maintenance").map_err(at("maintenance"))?.and_then(|text| Maintenance::parse(&text)),
    })
}

impl Records {
    /// One.
    pub async fn env(&self, app: &AppEnv) -> Result<Option<Env>, RecordsError> {
        let row = sqlx::query("SELECT * FROM envs WHERE tenant = $1 AND app = $2 AND env = $3")
            .bind(app.tenant.as_str())
            .bind(app.app.as_str())
            .bind(app.env.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(at("reading an environment"))?;
        row.as_ref().map(env).transpose()
    }

    /// Those of an app, by name.
    pub async fn envs(&self, app: &AppRef) -> Result<Vec<Env>, RecordsError> {
        let rows = sqlx::query("SELECT * FROM envs WHERE tenant = $1 AND app = $2 ORDER BY env")
            .bind(app.tenant.as_str())
            .bind(app.app.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(at("reading environments"))?;
        rows.iter().map(env).collect()
    }

    /// All of them, for projecting into coordination.
    pub async fn all_envs(&self) -> Result<Vec<Env>, RecordsError> {
        let rows = sqlx::query("SELECT * FROM envs").fetch_all(&self.pool).await.map_err(at("reading environments"))?;
        rows.iter().map(env).collect()
    }
}

impl Change {
    /// Reads one and keeps others from changing it until this change ends.
    pub async fn lock_env(&mut self, app: &AppEnv) -> Result<Option<Env>, RecordsError> {
        let row = sqlx::query("SELECT * FROM envs WHERE tenant = $1 AND app = $2 AND env = $3 FOR UPDATE")
            .bind(app.tenant.as_str())
            .bind(app.app.as_str())
            .bind(app.env.as_str())
            .fetch_optional(&mut *self.tx)
            .await
            .map_err(at("reading an environment"))?;
        row.as_ref().map(env).transpose()
    }

    /// Adds one.
    pub async fn add_env(&mut self, app: &AppEnv, now: Time) -> Result<(), RecordsError> {
        sqlx::query("INSERT INTO envs (tenant, app, env, created_at) VALUES ($1, $2, $3, $4)")
            .bind(app.tenant.as_str())
            .bind(app.app.as_str())
            .bind(app.env.as_str())
            .bind(now)
            .execute(&mut *self.tx)
            .await
            .map_err(at("adding an environment"))?;
        Ok(())
    }

    /// Writes everything of one but its identity, raising its generation; gives the new generation.
    pub async fn save_env(&mut self, env: &Env) -> Result<u64, RecordsError> {
        let row = sqlx::query(
            "UPDATE envs SET deploy_branch = $4, current = $5, epoch = $6, counts = $7, config = $8, config_keys = $9, maintenance = $10,
                             generation = generation + 1
             WHERE tenant = $1 AND app = $2 AND env = $3 RETURNING generation",
        )
        .bind(env.app.tenant.as_str())
        .bind(env.app.app.as_str())
        .bind(env.app.env.as_str())
        .bind(&env.deploy_branch)
        .bind(env.current.map(|n| n.0 as i32))
        .bind(env.epoch as i32)
        .bind(to_json(&env.counts))
        .bind(env.config.as_ref().map(|sealed| sealed.0.as_str()))
        .bind(to_json(&env.config_keys))
        .bind(env.maintenance.map(Maintenance::as_str))
        .fetch_one(&mut *self.tx)
        .await
        .map_err(at("changing an environment"))?;
        Ok(row.try_get::<i64, _>("generation").map_err(at("generation"))?.unsigned_abs())
    }

    /// Draws the next release number.
    pub async fn next_release(&mut self, app: &AppEnv) -> Result<ReleaseNumber, RecordsError> {
        let row = sqlx::query(
            "UPDATE envs SET next_release = next_release + 1 WHERE tenant = $1 AND app = $2 AND env = $3 RETURNING next_release - 1 AS number",
        )
        .bind(app.tenant.as_str())
        .bind(app.app.as_str())
        .bind(app.env.as_str())
        .fetch_one(&mut *self.tx)
        .await
        .map_err(at("drawing a release number"))?;
        Ok(ReleaseNumber(row.try_get::<i32, _>("number").map_err(at("number"))?.unsigned_abs()))
    }
}
