//! Routers and their word that a draining instance has no request left. Written by each router, ephemeral.

use std::collections::BTreeSet;

use model::{InstanceId, RouterId};
use serde::{Deserialize, Serialize};

use super::documents::put;
use super::{Expect, Live, LiveError, Op, Session};

#[derive(Serialize, Deserialize)]
struct Mark<T> {
    id: T,
}

impl Live {
    /// A router says that it is there.
    pub async fn register_router(&self, session: &Session, router: &RouterId) -> Result<(), LiveError> {
        self.0.commit(vec![put(format!("routers/{router}"), &Mark { id: router.clone() }, Expect::Any, session.life())]).await
    }

    /// A router says that it sends nothing to an instance any more and waits for nothing from it.
    pub async fn mark_drained(&self, session: &Session, router: &RouterId, instance: &InstanceId) -> Result<(), LiveError> {
        let path = format!("drained/{instance}/{router}");
        self.0.commit(vec![put(path, &Mark { id: router.clone() }, Expect::Any, session.life())]).await
    }

    /// A router forgets an instance that is gone.
    pub async fn unmark_drained(&self, router: &RouterId, instance: &InstanceId) -> Result<(), LiveError> {
        self.0.commit(vec![Op::Delete { path: format!("drained/{instance}/{router}"), expect: Expect::Any }]).await
    }

    /// Whether every router that is there has let go of an instance.
    pub async fn is_drained(&self, instance: &InstanceId) -> Result<bool, LiveError> {
        let routers: Vec<Mark<RouterId>> = self.read_all("routers/").await?;
        let done: Vec<Mark<RouterId>> = self.read_all(&format!("drained/{instance}/")).await?;
        let done: BTreeSet<RouterId> = done.into_iter().map(|mark| mark.id).collect();
        Ok(routers.iter().all(|router| done.contains(&router.id)))
    }
}
