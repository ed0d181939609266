//! Events: appended with the change that they tell of, never changed.

use model::{Event, Origin, Outcome, TenantName};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Change, Records, RecordsError, at, json, text, to_json};

/// Which events are wanted.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Of this tenant.
    pub tenant: Option<TenantName>,
    /// Of objects that start with this.
    pub object: Option<String>,
}

fn event(row: &PgRow) -> Result<Event, RecordsError> {
    let outcome: &str = row.try_get("outcome").map_err(at("outcome"))?;
    let outcome = [Outcome::Done, Outcome::Denied, Outcome::Failed].into_iter().find(|o| o.as_str() == outcome);
    let tenant: Option<String> = row.try_get("tenant").map_err(at("tenant"))?;
    Ok(Event {
        id: text(row, "id")?,
        at: row.try_get("at").map_err(at("at"))?,
        actor: json(row, "actor")?,
        origin: Origin(row.try_get("origin").map_err(at("origin"))?),
        verb: row.try_get("verb").map_err(at("verb"))?,
        tenant: tenant.map(TenantName::new).transpose().map_err(|_| RecordsError::Damaged { column: "tenant" })?,
        object: row.try_get("object").map_err(at("object"))?,
        outcome: outcome.ok_or(RecordsError::Damaged { column: "outcome" })?,
        detail: row.try_get("detail").map_err(at("detail"))?,
    })
}

impl Records {
    /// The newest events that fit.
    pub async fn events(&self, filter: &EventFilter, limit: u32) -> Result<Vec<Event>, RecordsError> {
        // A tenant that takes the name of a destroyed one does not inherit its past.
        let rows = sqlx::query(
            "SELECT * FROM events WHERE ($1::text IS NULL OR tenant = $1 AND at >= (SELECT created_at FROM tenants WHERE name = $1))
               AND ($2::text IS NULL OR object = $2 OR starts_with(object, $2 || '/')) ORDER BY seq DESC LIMIT $3",
        )
        .bind(filter.tenant.as_ref().map(TenantName::as_str))
        .bind(filter.object.as_deref())
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(at("reading events"))?;
        rows.iter().map(event).collect()
    }
}

impl Change {
    /// Appends an event.
    pub async fn add_event(&mut self, event: &Event) -> Result<(), RecordsError> {
        sqlx::query(
            "INSERT INTO events (id, at, actor, origin, verb, tenant, object, outcome, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(event.id.as_str())
        .bind(event.at)
        .bind(to_json(&event.actor))
        .bind(&event.origin.0)
        .bind(&event.verb)
        .bind(event.tenant.as_ref().map(TenantName::as_str))
        .bind(&event.object)
        .bind(event.outcome.as_str())
        .bind(&event.detail)
        .execute(&mut *self.tx)
        .await
        .map_err(at("recording an event"))?;
        Ok(())
    }
}
