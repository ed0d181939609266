//! Every change goes through here: authorize → apply → record the event. The verbs of the platform as plain functions.
//!
//! Owns policy: who may do what, what a push is, when a release is live. The one writer of records, formations, specs and
//! routes. Must never know how a build runs, where an instance is placed, or how bytes reach a user: those are traits here,
//! wired by the binary.

pub mod app_cleanup;
pub mod apps;
pub mod authorize;
pub mod builds;
pub mod config_vars;
pub mod domains;
pub mod env_state;
pub mod events;
pub mod hosts;
pub mod identity;
pub mod invitations;
pub mod maintenance;
pub mod members;
pub mod output;
mod passwords;
pub mod ps;
pub mod push;
pub mod releases;
pub mod remote_path;
pub mod retention;
pub mod rollout;
pub mod scale;
pub mod ssh_keys;
pub mod tokens;
mod user_errors;
pub mod users;

use std::path::PathBuf;
use std::sync::Arc;

use model::{AppEnv, Hostname, UserError};
use store::{Keyring, Live, Records};

pub use app_cleanup::{AppCleanup, CleanupIncomplete};
pub use authorize::{Object, Verb};
pub use domains::DomainProof;
pub use identity::Identity;
pub use output::Output;
pub use push::builder::{self, Builder};
pub use push::source::{self, Source};

/// The settings of the installation that the manager needs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The domain under which every app gets a name.
    pub domain: Hostname,
    /// Port of the router as users reach it; 80 is left out of URLs.
    pub router_port: u16,
    /// URL of the dashboard: `http://localhost:7000`.
    pub dashboard: String,
    /// URL of the git server, as remotes start with it: `ssh://paas@localhost:2222`.
    pub ssh: String,
    /// The directory of the build logs.
    pub builds_dir: PathBuf,
    /// Number of builds that run at once.
    pub builders: usize,
}

/// Why instances are not placed, as the scheduler knows it.
pub trait Placement: Send + Sync {
    /// One line per instance that has no place.
    fn blocked(&self, app: &AppEnv) -> Vec<String>;
}

/// The verbs of the platform, over the stores and the traits that other roles implement.
pub struct Manager {
    pub(crate) records: Records,
    pub(crate) live: Live,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) settings: Settings,
    pub(crate) builder: Arc<dyn Builder>,
    pub(crate) placement: Arc<dyn Placement>,
    app_cleanup: std::sync::OnceLock<Arc<dyn AppCleanup>>,
    domain_proof: std::sync::OnceLock<Arc<dyn DomainProof>>,
    pub(crate) logs: push::build_log::BuildLogs,
    pub(crate) queue: push::queue::Queue,
    pub(crate) passwords: passwords::Passwords,
    /// Notified when a prepared release was activated or aborted.
    pub(crate) settled: tokio::sync::Notify,
}

impl Manager {
    /// A manager over the stores and the implementations that the binary wires.
    pub fn new(
        records: Records,
        live: Live,
        keyring: Arc<Keyring>,
        settings: Settings,
        builder: Arc<dyn Builder>,
        placement: Arc<dyn Placement>,
    ) -> Self {
        let logs = push::build_log::BuildLogs::new(settings.builds_dir.clone());
        let queue = push::queue::Queue::new(settings.builders);
        let passwords = passwords::Passwords::start().expect("a thread can be started");
        Self {
            records,
            live,
            keyring,
            settings,
            builder,
            placement,
            app_cleanup: std::sync::OnceLock::new(),
            domain_proof: std::sync::OnceLock::new(),
            logs,
            queue,
            passwords,
            settled: tokio::sync::Notify::new(),
        }
    }

    /// Sets the cleanup of destroyed apps; once, when all roles are wired.
    pub fn set_app_cleanup(&self, cleanup: Arc<dyn AppCleanup>) {
        if self.app_cleanup.set(cleanup).is_err() {
            tracing::error!("the cleanup of destroyed apps was set twice; the first stays");
        }
    }

    pub(crate) fn app_cleanup(&self) -> Option<Arc<dyn AppCleanup>> {
        self.app_cleanup.get().cloned()
    }

    /// The settings of the installation.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The records, for callers that only read.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Coordination, for callers that only read and watch.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// Ends what a stopped server left open: builds, locks, and the projection into coordination. Prepared releases are settled
    /// by the git role, which knows the refs.
    pub async fn recover(&self) -> Result<(), UserError> {
        self.reap_builds().await?;
        self.end_decided_builds().await?;
        self.project_all().await
    }
}

/// Logs a fault of the platform, and returns an error for the user with an id that finds it in the log.
pub fn internal(error: &(dyn std::error::Error + 'static)) -> UserError {
    let id = hex::encode(store::random::bytes::<4>());
    let chain = model::error_chain(error);
    tracing::error!(%id, error = %chain, "internal failure");
    if chain.contains("No space left on device") {
        return user_errors::platform::disk_full();
    }
    // Messages of sqlx and of a PostgreSQL that starts or stops; they have no common error code.
    let unavailable = ["connecting", "pool timed out", "error communicating with database", "the database system is"];
    if unavailable.iter().any(|sign| chain.contains(sign)) {
        return user_errors::platform::database_down(&id);
    }
    UserError::internal(id)
}

pub(crate) trait OrInternal<T> {
    fn or_internal(self) -> Result<T, UserError>;
}

impl<T, E: std::error::Error + 'static> OrInternal<T> for Result<T, E> {
    fn or_internal(self) -> Result<T, UserError> {
        self.map_err(|error| internal(&error))
    }
}
