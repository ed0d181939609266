//! Hosts as an operator sees them, and taking one out of service.

use model::{Host, HostName, UserError};
use serde_json::json;

use crate::authorize::{Object, Verb};
use crate::identity::Identity;
use crate::user_errors::hosts as errors;
use crate::{Manager, OrInternal};

impl Manager {
    /// Every host whose supervisor is there.
    pub async fn hosts(&self, who: &Identity) -> Result<Vec<Host>, UserError> {
        self.allow(who, Verb::HostsList, &Object::Platform).await?;
        self.live.hosts().await.or_internal()
    }

    /// Takes a host out of service or back: in maintenance nothing new is placed on it, and what runs there moves to other hosts, each
    /// instance after its successor is healthy. It holds over restarts of everything.
    pub async fn set_host_maintenance(&self, who: &Identity, host: &HostName, is_on: bool) -> Result<(), UserError> {
        self.allow(who, Verb::HostsMaintenance, &Object::Platform).await?;
        let known = self.live.hosts().await.or_internal()?;
        if !known.iter().any(|there| there.name == *host) && !self.live.is_in_maintenance(host).await.or_internal()? {
            return Err(errors::unknown_host(host, &known));
        }
        let mut change = self.records.change().await.or_internal()?;
        let detail = json!({ "host": host, "maintenance": is_on });
        self.record(&mut change, who, Verb::HostsMaintenance, None, format!("host {host}"), detail).await?;
        change.commit().await.or_internal()?;
        self.live.set_maintenance(host, is_on).await.or_internal()
    }
}
