//! What a new instance is compared with: how the instances that serve meanwhile answer the same request.

use async_trait::async_trait;
use model::{AppEnv, InstanceId, InstanceState, ProcessName, ReleaseNumber};
use store::Live;

use super::probe;

/// Asks those that serve.
#[async_trait]
pub trait Serving: Send + Sync {
    /// The release that serves and the status of its answer to `GET path`; none when nothing serves.
    async fn status(&self, host: &str, path: &str) -> Option<(ReleaseNumber, u16)>;
}

/// The healthy instances of the same process type, as coordination knows them.
pub(crate) struct HealthyInstances {
    pub(crate) live: Live,
    pub(crate) app: AppEnv,
    pub(crate) process: ProcessName,
    /// The new one, which is no measure for itself.
    pub(crate) except: InstanceId,
}

#[async_trait]
impl Serving for HealthyInstances {
    async fn status(&self, host: &str, path: &str) -> Option<(ReleaseNumber, u16)> {
        let all = self.live.instances().await.ok()?;
        let others = all.into_iter().filter(|one| one.app == self.app && one.process == self.process && one.id != self.except);
        let serving = others.filter(|one| one.state == InstanceState::Healthy).find_map(|one| Some((one.release, one.address?)));
        let (release, address) = serving?;
        Some((release, probe::status_of(address, host, path).await?))
    }
}
