//! Routers, and how far each has let go of a draining instance: it is sent nothing new, then nothing is in flight. Written by each
//! router, ephemeral.

use std::collections::BTreeSet;

use model::{InstanceId, RouterId};
use serde::{Deserialize, Serialize};

use super::documents::put;
use super::{Expect, Live, LiveError, Op, Session};

#[derive(Serialize, Deserialize)]
struct Registered {
    id: RouterId,
}

/// One router's word on one draining instance.
#[derive(Serialize, Deserialize)]
struct Release {
    id: RouterId,
    /// Nothing is in flight to it either.
    quiet: bool,
}

impl Live {
    /// A router says that it is there.
    pub async fn register_router(&self, session: &Session, router: &RouterId) -> Result<(), LiveError> {
        self.0.commit(vec![put(format!("routers/{router}"), &Registered { id: router.clone() }, Expect::Any, session.life())]).await
    }

    /// Whether a router is known to be there. What it said ends with its session, also when it hears nothing of that end.
    pub async fn is_router_registered(&self, router: &RouterId) -> Result<bool, LiveError> {
        Ok(self.0.get(&format!("routers/{router}")).await?.is_some())
    }

    /// A router says that it sends nothing new to an instance; requests may be in flight still.
    pub async fn mark_unrouted(&self, session: &Session, router: &RouterId, instance: &InstanceId) -> Result<(), LiveError> {
        self.mark(session, router, instance, false).await
    }

    /// A router says that it sends nothing to an instance any more and waits for nothing from it.
    pub async fn mark_drained(&self, session: &Session, router: &RouterId, instance: &InstanceId) -> Result<(), LiveError> {
        self.mark(session, router, instance, true).await
    }

    async fn mark(&self, session: &Session, router: &RouterId, instance: &InstanceId, quiet: bool) -> Result<(), LiveError> {
        let path = format!("drained/{instance}/{router}");
        self.0.commit(vec![put(path, &Release { id: router.clone(), quiet }, Expect::Any, session.life())]).await
    }

    /// A router forgets an instance that is gone.
    pub async fn unmark_drained(&self, router: &RouterId, instance: &InstanceId) -> Result<(), LiveError> {
        self.0.commit(vec![Op::Delete { path: format!("drained/{instance}/{router}"), expect: Expect::Any }]).await
    }

    /// Whether every router that is there has let go of an instance.
    pub async fn is_drained(&self, instance: &InstanceId) -> Result<bool, LiveError> {
        self.by_every_router(instance, |release| release.quiet).await
    }

    /// Whether no router that is there sends anything new to an instance.
    pub async fn is_unrouted(&self, instance: &InstanceId) -> Result<bool, LiveError> {
        self.by_every_router(instance, |_| true).await
    }

    async fn by_every_router(&self, instance: &InstanceId, said: impl Fn(&Release) -> bool) -> Result<bool, LiveError> {
        let routers: Vec<Registered> = self.read_all("routers/").await?;
        let releases: Vec<Release> = self.read_all(&format!("drained/{instance}/")).await?;
        let done: BTreeSet<RouterId> = releases.into_iter().filter(said).map(|release| release.id).collect();
        Ok(routers.iter().all(|router| done.contains(&router.id)))
    }
}
