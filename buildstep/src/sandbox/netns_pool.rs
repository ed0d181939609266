//! `NetnsPool`: the network namespaces that builds run in, kept from one build to the next.
//!
//! The engine needs longer to give a container a network of its own than a warm build needs to run. So a namespace is kept, held
//! by a container that only sleeps, and lent to one build at a time; its address is one of the build network, so the rules for
//! what builds may reach hold in it. Must never be lent to two builds at once, nor after a build whose processes may still live.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use model::BuildId;

use crate::engine::{ContainerSpec, Engine, EngineError, ResourceLimits};
use crate::labels::{KIND_LABEL, SANDBOX};
use crate::sandbox::container_names::{ClaimedName, ContainerNames};
use crate::stack::recipe::UID;

/// All namespaces of a builder.
#[derive(Debug)]
pub struct NetnsPool {
    engine: Engine,
    network: String,
    bridge: String,
    subnet: String,
    labels: HashMap<String, String>,
    container_names: ContainerNames,
    free: Mutex<Vec<Holder>>,
}

/// A namespace that one build has for itself.
#[derive(Debug)]
pub struct NetnsLease {
    home: Arc<NetnsPool>,
    holder: Option<Holder>,
}

/// The container that keeps a namespace open.
#[derive(Debug)]
struct Holder {
    id: String,
    claim: ClaimedName,
}

impl NetnsPool {
    /// None yet; `labels` are those of every container of this builder.
    pub fn new(
        engine: Engine,
        network: &str,
        bridge: &str,
        subnet: &str,
        labels: HashMap<String, String>,
        container_names: ContainerNames,
    ) -> Self {
        let labels = labels.into_iter().chain([(KIND_LABEL.to_owned(), SANDBOX.to_owned())]).collect();
        Self {
            engine,
            network: network.into(),
            bridge: bridge.into(),
            subnet: subnet.into(),
            labels,
            container_names,
            free: Mutex::default(),
        }
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Holder>> {
        self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Lends a namespace to a build: a free one, or a new one held by a container of `image`.
    pub async fn lend(self: &Arc<Self>, build: &BuildId, image: &str) -> Result<NetnsLease, EngineError> {
        loop {
            let Some(holder) = self.free().pop() else { break };
            // The engine may have been restarted since it was used last.
            if self.engine.runs(&holder.id).await? {
                return Ok(NetnsLease { home: self.clone(), holder: Some(holder) });
            }
            self.engine.remove(&holder.id).await?;
        }
        self.engine.network(&self.network, &self.bridge, &self.subnet).await?;
        let spec = self.holder(build, image);
        let claim = self.container_names.claim(&spec.name);
        let id = self.engine.create(spec).await?;
        let sandbox = NetnsLease { home: self.clone(), holder: Some(Holder { id, claim }) };
        self.engine.start(sandbox.holder()).await?;
        Ok(sandbox)
    }

    fn holder(&self, build: &BuildId, image: &str) -> ContainerSpec {
        ContainerSpec {
            name: format!("slipway-sandbox-{build}"),
            image: image.to_owned(),
            command: ["sleep", "infinity"].map(str::to_owned).to_vec(),
            user: format!("{UID}:{UID}"),
            labels: self.labels.clone(),
            network: Some(self.network.clone()),
            resources: Some(ResourceLimits { memory: 16 << 20, cpu_millis: 100, pids: 8, file_size: 0 }),
            ..ContainerSpec::default()
        }
    }

    /// Removes the containers that hold free namespaces.
    pub async fn close(&self) -> Result<(), EngineError> {
        let free = std::mem::take(&mut *self.free());
        for holder in free {
            self.engine.remove(&holder.id).await?;
        }
        Ok(())
    }
}

impl NetnsLease {
    fn holder(&self) -> &str {
        self.holder.as_ref().map(|holder| holder.id.as_str()).unwrap_or_default()
    }

    /// The network mode of a container that runs in it.
    pub fn mode(&self) -> String {
        format!("container:{}", self.holder())
    }

    /// Gives it back: its build's container is gone.
    pub fn give_back(mut self) {
        if let Some(holder) = self.holder.take() {
            self.home.free().push(holder);
        }
    }
}

/// One that was not given back may still be in use by what could not be removed: nobody gets it again.
impl Drop for NetnsLease {
    fn drop(&mut self) {
        if let Some(holder) = self.holder.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let engine = self.home.engine.clone();
            runtime.spawn(async move {
                if let Err(error) = engine.remove(&holder.id).await {
                    tracing::warn!(holder = holder.id, error = %error, "the network of a build stays until leftovers are looked for");
                }
                drop(holder.claim);
            });
        }
    }
}
