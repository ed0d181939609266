//! The router's status port, as the HTTP side asks it. In one process or in two, it is asked the same way.

use std::net::SocketAddr;
use std::time::Duration;

use model::Hostname;
use web_ui::{NoRouter, Routers, Trace};

/// Longer than this no router on the same machine takes.
const LIMIT: Duration = Duration::from_secs(3);

/// The status port of a configuration.
pub struct StatusPort(pub Option<SocketAddr>);

#[async_trait::async_trait]
impl Routers for StatusPort {
    async fn trace(&self, host: &Hostname) -> Result<Trace, NoRouter> {
        let Some(address) = self.0 else { return Err(NoRouter("The status port of the router is switched off.".into())) };
        let failed = |error: reqwest::Error| {
            let cause = model::error_chain(&error);
            tracing::warn!(%address, error = %cause, "the router's status port did not answer");
            NoRouter(format!("The router's status port {address} did not answer."))
        };
        let client = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().map_err(failed)?;
        let answer = client.get(format!("http://{address}/trace?host={host}")).send().await.map_err(failed)?;
        let trace: router::Trace = answer.error_for_status().map_err(failed)?.json().await.map_err(failed)?;
        Ok(Trace { app: trace.app, steps: trace.steps })
    }
}
