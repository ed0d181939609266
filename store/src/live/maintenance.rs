//! Hosts that an operator took out of service. Written by the manager, persistent: it outlives the host's session and a restart
//! of everything. The supervisor of the host reads it and reports itself in maintenance; the scheduler then moves its instances.

use model::HostName;
use serde::{Deserialize, Serialize};

use super::documents::put;
use super::{Expect, Life, Live, LiveError, Op};

#[derive(Serialize, Deserialize)]
struct OutOfService {
    host: HostName,
}

impl Live {
    /// An operator takes a host out of service, or puts it back.
    pub async fn set_maintenance(&self, host: &HostName, is_on: bool) -> Result<(), LiveError> {
        let path = format!("maintenance/{host}");
        let op = match is_on {
            true => put(path, &OutOfService { host: host.clone() }, Expect::Any, Life::Persistent),
            false => Op::Delete { path, expect: Expect::Any },
        };
        self.0.commit(vec![op]).await
    }

    /// Whether a host is out of service.
    pub async fn is_in_maintenance(&self, host: &HostName) -> Result<bool, LiveError> {
        Ok(self.read_one::<OutOfService>(&format!("maintenance/{host}")).await?.is_some())
    }
}
