//! The roles of a server process: what each is called, what it needs, and when it stops.
//!
//! Owns the order of start and stop. Roles meet only here: one finds what another made in [`Wiring`]. Must never know what a role does.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use store::live::Embedded;
use store::{Keyring, Live, Records};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::config::Config;

mod build_leftovers;
pub mod builder;
mod coordination;
mod dashboard;
mod git;
mod image_sweeper;
mod manager;
pub mod registry;
mod retention;
pub mod router;
mod scheduler;
mod supervisor;

/// Time for what takes work from outside to finish it.
const STOP_INTAKE: Duration = Duration::from_secs(45);
/// Time for the rest to stop afterwards.
const STOP_CORE: Duration = Duration::from_secs(20);

/// A part of the platform that runs in this process.
pub struct Role {
    /// Its name in the log.
    pub name: &'static str,
    /// The roles whose products its start takes out of the wiring.
    pub needs: &'static [&'static str],
    /// Starts it, and puts what others need of it into the wiring.
    pub start: for<'a> fn(&'a mut Wiring) -> Starting<'a>,
}

/// A start on its way.
pub type Starting<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// Every role, in the order of start.
///
/// Coordination's socket comes before the supervisor: a router that served on beside a restarted server must be back before an
/// instance is asked whether every router has let go of it. gitreceive is last: it settles what its predecessor left open, and that
/// begins rollouts.
const ROLES: &[Role] = &[
    registry::ROLE,
    builder::ROLE,
    scheduler::PLACEMENT,
    manager::ROLE,
    scheduler::ROLE,
    coordination::ROLE,
    supervisor::ROLE,
    image_sweeper::ROLE,
    retention::ROLE,
    build_leftovers::ROLE,
    router::ROLE,
    dashboard::ROLE,
    manager::RESUME,
    git::ROLE,
];

/// When a task stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It takes work from outside: it stops first.
    Intake,
    /// Others stand on it: it stops when no work comes any more.
    Core,
}

type Ended = (&'static str, Result<()>);

/// What roles share, and what each made for those after it.
pub struct Wiring {
    pub config: Arc<Config>,
    pub records: Records,
    pub keyring: Arc<Keyring>,
    pub tree: Arc<Embedded>,
    pub live: Live,
    pub registry: Option<registry::Access>,
    pub builder: Option<Arc<buildstep::Buildstep>>,
    pub scheduler: Option<::scheduler::Scheduler>,
    pub placement: Option<Arc<dyn ::manager::Placement>>,
    pub manager: Option<Arc<::manager::Manager>>,
    pub logs: Option<slugrunner::LogStore>,
    pub one_offs: Option<slugrunner::OneOffs>,
    pub web: Option<web_ui::WebUi>,
    intake: JoinSet<Ended>,
    core: JoinSet<Ended>,
    stop_intake: CancellationToken,
    stop_core: CancellationToken,
}

/// What a role before this one has made.
pub fn made<T>(product: &Option<T>) -> Result<&T> {
    product.as_ref().ok_or_else(|| anyhow!("{} is not there yet: a role lacks it in `needs`", std::any::type_name::<T>()))
}

impl Wiring {
    /// Before any role.
    pub fn new(config: Config, records: Records, keyring: Arc<Keyring>, tree: Arc<Embedded>) -> Self {
        Self {
            config: Arc::new(config),
            records,
            keyring,
            live: Live::new(tree.clone()),
            tree,
            registry: None,
            builder: None,
            scheduler: None,
            placement: None,
            manager: None,
            logs: None,
            one_offs: None,
            web: None,
            intake: JoinSet::new(),
            core: JoinSet::new(),
            stop_intake: CancellationToken::new(),
            stop_core: CancellationToken::new(),
        }
    }

    /// Runs a task until its stage stops. A task that ends before takes the process with it.
    pub fn spawn<F>(&mut self, stage: Stage, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let (tasks, stop) = match stage {
            Stage::Intake => (&mut self.intake, &self.stop_intake),
            Stage::Core => (&mut self.core, &self.stop_core),
        };
        let task = task(stop.clone());
        tasks.spawn(async move { (name, task.await) });
    }

    /// Starts every role but those of `without`.
    pub async fn start(&mut self, without: &[&str]) -> Result<()> {
        for role in ROLES.iter().filter(|role| !without.contains(&role.name)) {
            if let Some(need) = role.needs.iter().find(|need| without.contains(need)) {
                bail!("the {} needs the {need}, which is not to run here", role.name);
            }
            tracing::debug!(role = role.name, "starting");
            (role.start)(self).await?;
        }
        Ok(())
    }

    /// Waits for `signal`, or for a task that ends by itself: half a platform tells no truth.
    pub async fn wait(&mut self, signal: impl Future<Output = &'static str>) -> Result<()> {
        let ended = tokio::select! {
            signal = signal => {
                tracing::info!(signal, "stopping");
                return Ok(());
            }
            Some(ended) = self.intake.join_next() => ended,
            Some(ended) = self.core.join_next() => ended,
        };
        match ended {
            Ok((name, Ok(()))) => bail!("the {name} ended by itself"),
            Ok((name, Err(error))) => Err(error.context(format!("the {name} failed"))),
            Err(error) => bail!("a role broke: {error}"),
        }
    }

    /// Stops everything, what takes work from outside first.
    pub async fn stop(mut self) {
        self.stop_intake.cancel();
        finish(&mut self.intake, STOP_INTAKE).await;
        self.stop_core.cancel();
        finish(&mut self.core, STOP_CORE).await;
        if let Some(builder) = self.builder {
            builder.close().await;
        }
    }
}

async fn finish(tasks: &mut JoinSet<Ended>, limit: Duration) {
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(limit, all).await.is_err() {
        tracing::warn!("some roles did not stop in time and are ended");
        tasks.abort_all();
    }
}

fn report(ended: Result<Ended, JoinError>) {
    match ended {
        Ok((name, Err(error))) => tracing::warn!(role = name, error = format!("{error:#}"), "did not end well"),
        Err(error) => tracing::warn!(%error, "a role broke while it stopped"),
        Ok((_, Ok(()))) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_starts_after_what_it_needs() {
        for (at, role) in ROLES.iter().enumerate() {
            for need in role.needs {
                assert!(
                    ROLES[..at].iter().any(|before| before.name == *need),
                    "{} needs {need}, which does not start before it",
                    role.name
                );
            }
            assert!(ROLES[..at].iter().all(|before| before.name != role.name), "two roles are called {}", role.name);
        }
    }
}
