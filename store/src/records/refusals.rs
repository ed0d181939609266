//! Refusals: what callers were not allowed to do, counted per hour and kind. Kept apart from events, which they must not displace.

use model::{Event, TenantName, Time};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Change, Records, RecordsError, at};

/// The refusals of one verb to one actor in one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The start of the hour, in UTC.
    pub hour: Time,
    /// The user or the operator, as events name actors.
    pub actor: String,
    /// The verb, as the command line names it.
    pub verb: String,
    /// How often.
    pub count: u64,
    /// The object of the last one.
    pub object: String,
    /// The origin of the last one.
    pub origin: String,
    /// When the last one was.
    pub last_at: Time,
}

fn refusal(row: &PgRow) -> Result<Refusal, RecordsError> {
    Ok(Refusal {
        hour: row.try_get("hour").map_err(at("hour"))?,
        actor: row.try_get("actor").map_err(at("actor"))?,
        verb: row.try_get("verb").map_err(at("verb"))?,
        count: row.try_get::<i64, _>("count").map_err(at("count"))?.unsigned_abs(),
        object: row.try_get("object").map_err(at("object"))?,
        origin: row.try_get("origin").map_err(at("origin"))?,
        last_at: row.try_get("last_at").map_err(at("last_at"))?,
    })
}

impl Records {
    /// The newest refusals that concern a tenant.
    pub async fn refusals(&self, tenant: &TenantName, limit: u32) -> Result<Vec<Refusal>, RecordsError> {
        // A tenant that takes the name of a destroyed one does not inherit its past.
        let rows = sqlx::query(
            "SELECT * FROM refusals WHERE tenant = $1 AND last_at >= (SELECT created_at FROM tenants WHERE name = $1)
             ORDER BY hour DESC, last_at DESC LIMIT $2",
        )
        .bind(tenant.as_str())
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(at("reading refusals"))?;
        rows.iter().map(refusal).collect()
    }
}

impl Change {
    /// Counts a refusal, told by the event that it would have been.
    pub async fn count_refusal(&mut self, event: &Event) -> Result<(), RecordsError> {
        sqlx::query(
            "INSERT INTO refusals (hour, tenant, actor, verb, count, object, origin, last_at)
             VALUES (date_trunc('hour', $1, 'UTC'), $2, $3, $4, 1, $5, $6, $1)
             ON CONFLICT (hour, tenant, actor, verb) DO UPDATE SET
                 count = refusals.count + 1, object = excluded.object, origin = excluded.origin, last_at = excluded.last_at",
        )
        .bind(event.at)
        .bind(event.tenant.as_ref().map_or("", TenantName::as_str))
        .bind(event.actor.to_string())
        .bind(&event.verb)
        .bind(&event.object)
        .bind(&event.origin.0)
        .execute(&mut *self.tx)
        .await
        .map_err(at("counting a refusal"))?;
        Ok(())
    }

    /// Forgets refusals before a time; returns how many counts went.
    pub async fn forget_refusals(&mut self, before: Time) -> Result<u64, RecordsError> {
        let done = sqlx::query("DELETE FROM refusals WHERE hour < $1")
            .bind(before)
            .execute(&mut *self.tx)
            .await
            .map_err(at("forgetting refusals"))?;
        Ok(done.rows_affected())
    }
}
