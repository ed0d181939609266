//! Durable truth in PostgreSQL: one file per table family, plain functions on `Records`.
//!
//! Owns the SQL. Every change that must hold together with its event takes the same `Change` (a transaction). Decides nothing.

use std::borrow::Cow;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{PgPool, Postgres, Row, Transaction};

mod app_cleanups;
mod apps;
mod builds;
mod envs;
mod events;
mod hostnames;
mod invitations;
mod locks;
mod people;
mod refusals;
mod releases;
mod tenants;
mod tokens;

pub use apps::App;
pub use builds::StoredSlug;
pub use envs::Env;
pub use events::EventFilter;
pub use hostnames::Taken;
pub use invitations::Invitation;
pub use locks::Lock;
pub use people::{SshKey, User};
pub use refusals::Refusal;
pub use releases::StoredRelease;
pub use tenants::{Member, Role, Team, Tenant};
pub use tokens::{TokenInfo, TokenKind, TokenScope};

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The database said no or could not be reached.
    #[error("the database failed at {what}")]
    Database {
        /// What was being done.
        what: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// A stored value does not follow the grammar that was checked when it was written.
    #[error("the stored {column} can not be read")]
    Damaged {
        /// Which column.
        column: &'static str,
    },
    /// The schema could not be brought up to date.
    #[error("the schema could not be brought up to date")]
    Migration(#[source] sqlx::migrate::MigrateError),
}

impl RecordsError {
    /// Whether a row of this key is there already.
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Database { source, .. } if source.as_database_error().is_some_and(|e| e.is_unique_violation()))
    }
}

/// Turns a database error into ours, with what was being done.
fn at(what: &'static str) -> impl FnOnce(sqlx::Error) -> RecordsError {
    move |source| RecordsError::Database { what, source }
}

/// Reads a text column through its grammar.
fn text<T: std::str::FromStr>(row: &PgRow, column: &'static str) -> Result<T, RecordsError> {
    let text: &str = row.try_get(column).map_err(at(column))?;
    text.parse().map_err(|_| RecordsError::Damaged { column })
}

/// Reads a JSON column.
fn json<T: serde::de::DeserializeOwned>(row: &PgRow, column: &'static str) -> Result<T, RecordsError> {
    let value: serde_json::Value = row.try_get(column).map_err(at(column))?;
    serde_json::from_value(value).map_err(|_| RecordsError::Damaged { column })
}

fn to_json<T: serde::Serialize>(value: &T) -> serde_json::Value {
    serde_json::to_value(value).expect("a model document is always JSON")
}

/// The database of this install.
#[derive(Debug, Clone)]
pub struct Records {
    pool: PgPool,
}

/// Changes that become true together.
pub struct Change {
    tx: Transaction<'static, Postgres>,
}

impl Change {
    /// Makes them true. Dropped without it, nothing happened.
    pub async fn commit(self) -> Result<(), RecordsError> {
        self.tx.commit().await.map_err(at("commit"))
    }
}

impl Records {
    /// Connects and brings the schema up to date. `connections` is the most that are open at once.
    pub async fn open(options: PgConnectOptions, connections: u32) -> Result<Self, RecordsError> {
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(10))
            // Each costs the database 5 MB: an idle platform keeps few.
            .idle_timeout(Duration::from_secs(20))
            .connect_with(options)
            .await
            .map_err(at("connecting"))?;
        migrations().run(&pool).await.map_err(RecordsError::Migration)?;
        Ok(Self { pool })
    }

    /// The pool, for embedded coordination.
    pub fn pool(&self) -> PgPool {
        self.pool.clone()
    }

    /// Opens a change.
    pub async fn change(&self) -> Result<Change, RecordsError> {
        Ok(Change { tx: self.pool.begin().await.map_err(at("begin"))? })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), RecordsError> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map_err(at("ping"))?;
        Ok(())
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn migrations() -> Migrator {
    let one =
        |version, name, sql| Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sqlx::SqlStr::from_static(sql), false);
    Migrator {
        migrations: Cow::Owned(vec![
            one(1, "records", include_str!("../migrations/0001_records.sql")),
            one(2, "app uids", include_str!("../migrations/0002_app_uids.sql")),
            one(3, "maintenance", include_str!("../migrations/0003_maintenance.sql")),
            one(4, "app cleanups", include_str!("../migrations/0004_app_cleanups.sql")),
            one(5, "token scopes", include_str!("../migrations/0005_token_scopes.sql")),
            one(6, "invitations", include_str!("../migrations/0006_invitations.sql")),
            one(7, "refusals", include_str!("../migrations/0007_refusals.sql")),
            one(8, "domains", include_str!("../migrations/0008_domains.sql")),
        ]),
        ..Migrator::DEFAULT
    }
}
