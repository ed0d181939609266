//! Reports this host and its instances to coordination: every change once, and everything again after the session was lost.

use std::collections::BTreeMap;

use model::{Host, InstanceId, InstanceStatus};
use store::Live;
use store::live::{LiveError, Session};

/// Writes the host's and its instances' states to coordination; it alone holds the session.
pub(crate) struct StatusReporter {
    live: Live,
    session: Option<Session>,
    host: Option<Host>,
    sent: BTreeMap<InstanceId, InstanceStatus>,
    lost: bool,
}

impl StatusReporter {
    pub(crate) fn new(live: Live) -> Self {
        Self { live, session: None, host: None, sent: BTreeMap::new(), lost: false }
    }

    /// Brings coordination up to date. What fails is sent with the next call.
    pub(crate) async fn sync(&mut self, host: &Host, statuses: &BTreeMap<InstanceId, InstanceStatus>) {
        match self.try_sync(host, statuses).await {
            Ok(()) => {
                if std::mem::take(&mut self.lost) {
                    tracing::info!(host = %host.name, "coordination is back; everything was reported again");
                }
            }
            Err(LiveError::SessionEnded) => {
                tracing::info!(host = %host.name, "the session ended; a new one reports everything again");
                self.reset();
                // Once more at once: routers must not wait for the next timer to see this host again.
                if let Err(error) = self.try_sync(host, statuses).await {
                    tracing::warn!(%error, host = %host.name, "could not report after the session ended");
                    self.reset();
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.lost, true) {
                    tracing::warn!(%error, host = %host.name, "could not report; instances run on");
                }
            }
        }
    }

    /// Checks that coordination still has this host: an expired session is otherwise seen only with the next change.
    pub(crate) async fn check(&mut self, host: &Host) {
        if self.session.is_none() {
            return;
        }
        if let Ok(hosts) = self.live.hosts().await
            && !hosts.iter().any(|known| known.name == host.name)
        {
            tracing::info!(host = %host.name, "coordination has forgotten this host; it is registered again");
            self.reset();
        }
    }

    fn reset(&mut self) {
        self.session = None;
        self.host = None;
        self.sent.clear();
    }

    async fn try_sync(&mut self, host: &Host, statuses: &BTreeMap<InstanceId, InstanceStatus>) -> Result<(), LiveError> {
        if self.session.is_none() {
            self.session = Some(self.live.session().await?);
        }
        let Some(session) = &self.session else { return Ok(()) };
        if self.host.as_ref() != Some(host) {
            self.live.register_host(session, host).await?;
            self.host = Some(host.clone());
        }
        for (id, status) in statuses {
            if self.sent.get(id) != Some(status) {
                self.live.report(session, status).await?;
                self.sent.insert(id.clone(), status.clone());
            }
        }
        let gone: Vec<InstanceId> = self.sent.keys().filter(|id| !statuses.contains_key(*id)).cloned().collect();
        for id in gone {
            self.live.forget_instance(&host.name, &id).await?;
            self.sent.remove(&id);
        }
        Ok(())
    }
}
