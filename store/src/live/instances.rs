//! Instance states. Each is written by the supervisor of its host and dies with its session.

use model::{HostName, InstanceId, InstanceStatus};

use super::documents::put;
use super::{Expect, Live, LiveError, Op, Session};

impl Live {
    /// What runs, everywhere.
    pub async fn instances(&self) -> Result<Vec<InstanceStatus>, LiveError> {
        self.read_all("instances/").await
    }

    /// A supervisor says how an instance is.
    pub async fn report(&self, session: &Session, status: &InstanceStatus) -> Result<(), LiveError> {
        let path = format!("instances/{}/{}", status.host, status.id);
        self.0.commit(vec![put(path, status, Expect::Any, session.life())]).await
    }

    /// A supervisor has nothing left of an instance.
    pub async fn forget_instance(&self, host: &HostName, instance: &InstanceId) -> Result<(), LiveError> {
        self.0.commit(vec![Op::Delete { path: format!("instances/{host}/{instance}"), expect: Expect::Any }]).await
    }
}
