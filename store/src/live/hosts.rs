//! Hosts. Each is written by its own supervisor: `hosts/` lives with its session, `known-hosts/` is what it last said.

use model::{Host, HostName};

use super::documents::put;
use super::{Expect, Life, Live, LiveError, Op, Session};

impl Live {
    /// Hosts whose supervisors are there.
    pub async fn hosts(&self) -> Result<Vec<Host>, LiveError> {
        self.read_all("hosts/").await
    }

    /// Hosts that were ever there.
    pub async fn known_hosts(&self) -> Result<Vec<Host>, LiveError> {
        self.read_all("known-hosts/").await
    }

    /// A supervisor says what it is.
    pub async fn register_host(&self, session: &Session, host: &Host) -> Result<(), LiveError> {
        self.0
            .commit(vec![
                put(format!("hosts/{}", host.name), host, Expect::Any, session.life()),
                put(format!("known-hosts/{}", host.name), host, Expect::Any, Life::Persistent),
            ])
            .await
    }

    /// An operator removes a host for good.
    pub async fn forget_host(&self, host: &HostName) -> Result<(), LiveError> {
        self.0.commit(vec![Op::Delete { path: format!("known-hosts/{host}"), expect: Expect::Any }]).await
    }
}
