//! Host names: each is taken by one app in one environment.

use model::{AppEnv, AppRef, Hostname, TenantName, Time};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Change, Records, RecordsError, at, text};

/// A taken host name.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The host name.
    pub hostname: Hostname,
    /// By whom.
    pub app: AppEnv,
    /// Whether the platform gave it; then it can not be given up.
    pub platform: bool,
    /// When.
    pub added_at: Time,
}

fn taken(row: &PgRow) -> Result<Taken, RecordsError> {
    Ok(Taken {
        hostname: text(row, "hostname")?,
        app: AppEnv { tenant: text(row, "tenant")?, app: text(row, "app")?, env: text(row, "env")? },
        platform: row.try_get("platform").map_err(at("platform"))?,
        added_at: row.try_get("added_at").map_err(at("added_at"))?,
    })
}

impl Records {
    /// The host names of an app in an environment, the platform's first.
    pub async fn hostnames_of(&self, app: &AppEnv) -> Result<Vec<Taken>, RecordsError> {
        let rows = sqlx::query("SELECT * FROM hostnames WHERE tenant = $1 AND app = $2 AND env = $3 ORDER BY platform DESC, hostname")
            .bind(app.tenant.as_str())
            .bind(app.app.as_str())
            .bind(app.env.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(at("reading host names"))?;
        rows.iter().map(taken).collect()
    }
}

impl Change {
    /// Takes a host name; taken when anybody has it.
    pub async fn take_hostname(&mut self, hostname: &Hostname, app: &AppEnv, platform: bool, now: Time) -> Result<(), RecordsError> {
        sqlx::query("INSERT INTO hostnames (hostname, tenant, app, env, platform, added_at) VALUES ($1, $2, $3, $4, $5, $6)")
            .bind(hostname.as_str())
            .bind(app.tenant.as_str())
            .bind(app.app.as_str())
            .bind(app.env.as_str())
            .bind(platform)
            .bind(now)
            .execute(&mut *self.tx)
            .await
            .map_err(at("taking a host name"))?;
        Ok(())
    }

    /// The token by which an app proves that it owns a domain: `fresh` at the first call, the same one afterwards.
    pub async fn claim_domain(&mut self, hostname: &Hostname, app: &AppEnv, fresh: &str, now: Time) -> Result<String, RecordsError> {
        let row = sqlx::query(
            "INSERT INTO domain_claims (hostname, tenant, app, env, token, since) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (hostname, tenant, app, env) DO UPDATE SET since = excluded.since RETURNING token",
        )
        .bind(hostname.as_str())
        .bind(app.tenant.as_str())
        .bind(app.app.as_str())
        .bind(app.env.as_str())
        .bind(fresh)
        .bind(now)
        .fetch_one(&mut *self.tx)
        .await
        .map_err(at("claiming a domain"))?;
        row.try_get("token").map_err(at("token"))
    }

    /// Whether another tenant gave up a domain after a time.
    pub async fn was_released_by_another(&mut self, hostname: &Hostname, tenant: &TenantName, after: Time) -> Result<bool, RecordsError> {
        let row = sqlx::query("SELECT 1 FROM released_hostnames WHERE hostname = $1 AND tenant <> $2 AND at > $3")
            .bind(hostname.as_str())
            .bind(tenant.as_str())
            .bind(after)
            .fetch_optional(&mut *self.tx)
            .await
            .map_err(at("reading released domains"))?;
        Ok(row.is_some())
    }

    /// Records that an app, which is about to be removed, gives up its added host names.
    pub async fn release_hostnames_of(&mut self, app: &AppRef, now: Time) -> Result<(), RecordsError> {
        sqlx::query(
            "INSERT INTO released_hostnames (hostname, tenant, at)
             SELECT hostname, tenant, $3 FROM hostnames WHERE tenant = $1 AND app = $2 AND NOT platform
             ON CONFLICT (hostname) DO UPDATE SET tenant = excluded.tenant, at = excluded.at",
        )
        .bind(app.tenant.as_str())
        .bind(app.app.as_str())
        .bind(now)
        .execute(&mut *self.tx)
        .await
        .map_err(at("releasing host names"))?;
        Ok(())
    }

    /// Records that a tenant gives up a domain.
    pub async fn release_hostname(&mut self, hostname: &Hostname, tenant: &TenantName, now: Time) -> Result<(), RecordsError> {
        sqlx::query(
            "INSERT INTO released_hostnames (hostname, tenant, at) VALUES ($1, $2, $3)
             ON CONFLICT (hostname) DO UPDATE SET tenant = excluded.tenant, at = excluded.at",
        )
        .bind(hostname.as_str())
        .bind(tenant.as_str())
        .bind(now)
        .execute(&mut *self.tx)
        .await
        .map_err(at("releasing a host name"))?;
        Ok(())
    }

    /// Gives up an added host name of an app; says whether it had it.
    pub async fn give_up_hostname(&mut self, hostname: &Hostname, app: &AppEnv) -> Result<bool, RecordsError> {
        let done = sqlx::query("DELETE FROM hostnames WHERE hostname = $1 AND tenant = $2 AND app = $3 AND env = $4 AND NOT platform")
            .bind(hostname.as_str())
            .bind(app.tenant.as_str())
            .bind(app.app.as_str())
            .bind(app.env.as_str())
            .execute(&mut *self.tx)
            .await
            .map_err(at("giving up a host name"))?;
        Ok(done.rows_affected() > 0)
    }
}
