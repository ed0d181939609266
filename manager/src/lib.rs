//! Every change goes through here: authorize → apply → record the event. The verbs of the platform as plain functions.
//!
//! Owns policy: who may do what, what a push is, when a release is live. The one writer of records, formations, specs and
//! routes. Must never know how a build runs, where an instance is placed, or how bytes reach a user: those are traits here,
//! wired by the binary.

mod activate;
pub mod apps;
pub mod authorize;
pub mod build_log;
pub mod builder;
pub mod builds;
pub mod config_vars;
pub mod domains;
pub mod events;
pub mod identity;
pub mod keys;
mod look;
pub mod members;
pub mod output;
pub mod people;
mod project;
pub mod ps;
pub mod push;
mod queue;
pub mod releases;
pub mod remote;
pub mod retention;
pub mod rollout;
pub mod scale;
pub mod source;
mod telling;
pub mod tokens;

use std::path::PathBuf;
use std::sync::Arc;

use model::{AppEnv, Hostname, UserError};
use store::{Keyring, Live, Records};

pub use authorize::{Object, Verb};
pub use builder::Builder;
pub use identity::Identity;
pub use output::Output;
pub use source::Source;

/// What the manager needs to know of the install.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The domain under which every app gets a name.
    pub domain: Hostname,
    /// Port of the router as users reach it; 80 is left out of URLs.
    pub router_port: u16,
    /// Where the dashboard is: `http://localhost:7000`.
    pub dashboard: String,
    /// The SSH address for remotes: `ssh://paas@localhost:2222`.
    pub ssh: String,
    /// Where build logs are kept.
    pub builds_dir: PathBuf,
    /// Builds at once.
    pub builders: usize,
}

/// Why instances wait for a place, as the scheduler knows it.
pub trait Placement: Send + Sync {
    /// One line per instance that has no place.
    fn blocked(&self, app: &AppEnv) -> Vec<String>;
}

/// What of an app lies elsewhere than in records and coordination: source, images, caches, logs.
#[async_trait::async_trait]
pub trait Estate: Send + Sync {
    /// Removes it all: the app was destroyed. May be called again.
    async fn clear(&self, app: &model::AppRef, envs: &[AppEnv]);
}

/// The manager.
pub struct Manager {
    pub(crate) records: Records,
    pub(crate) live: Live,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) settings: Settings,
    pub(crate) builder: Arc<dyn Builder>,
    pub(crate) placement: Arc<dyn Placement>,
    estate: std::sync::OnceLock<Arc<dyn Estate>>,
    pub(crate) logs: build_log::BuildLogs,
    pub(crate) queue: queue::Queue,
    /// Rings when a prepared release was activated or given up.
    pub(crate) settled: tokio::sync::Notify,
}

impl Manager {
    /// Over the stores and the parts that the binary wires.
    pub fn new(
        records: Records,
        live: Live,
        keyring: Arc<Keyring>,
        settings: Settings,
        builder: Arc<dyn Builder>,
        placement: Arc<dyn Placement>,
    ) -> Self {
        let logs = build_log::BuildLogs::new(settings.builds_dir.clone());
        let queue = queue::Queue::new(settings.builders);
        Self {
            records,
            live,
            keyring,
            settings,
            builder,
            placement,
            estate: std::sync::OnceLock::new(),
            logs,
            queue,
            settled: tokio::sync::Notify::new(),
        }
    }

    /// Says who clears what a destroyed app leaves; once, when all roles are wired.
    pub fn set_estate(&self, estate: Arc<dyn Estate>) {
        if self.estate.set(estate).is_err() {
            tracing::error!("the estate was set twice; the first stands");
        }
    }

    pub(crate) fn estate(&self) -> Option<Arc<dyn Estate>> {
        self.estate.get().cloned()
    }

    /// What the install is.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The records, for what only reads.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Coordination, for what only reads and watches.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// Brings everything that a stopped server left open to an end: builds, locks, and the projection into coordination.
    /// Prepared releases are settled by whoever knows the refs.
    pub async fn recover(&self) -> Result<(), UserError> {
        self.reap_builds().await?;
        self.project_all().await
    }
}

/// Logs a fault of the platform and gives the user an id to find it by.
pub fn internal(error: &dyn std::error::Error) -> UserError {
    let id = hex::encode(store::random::bytes::<4>());
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        chain.push_str(": ");
        chain.push_str(&cause.to_string());
        source = cause.source();
    }
    tracing::error!(%id, error = %chain, "internal failure");
    if chain.contains("No space left on device") {
        return UserError::new(model::Code::DiskFull, "the disk of the platform is full")
            .why("Nothing was changed, and what runs keeps running.")
            .next("sudo slipway doctor   # the operator, on the host: where the space is")
            .next("try again when there is room");
    }
    // What sqlx and a server that starts say; there are no codes for it.
    let away = ["connecting", "pool timed out", "error communicating with database", "the database system is"];
    if away.iter().any(|sign| chain.contains(sign)) {
        return UserError::new(model::Code::DatabaseDown, "the platform can not reach its database")
            .why("Running apps go on; changes have to wait.")
            .next(format!("try again in a minute; the server's log has the cause under `{id}`"));
    }
    UserError::internal(id)
}

pub(crate) trait OrInternal<T> {
    fn or_internal(self) -> Result<T, UserError>;
}

impl<T, E: std::error::Error> OrInternal<T> for Result<T, E> {
    fn or_internal(self) -> Result<T, UserError> {
        self.map_err(|error| internal(&error))
    }
}
