//! `Routers`: what the HTTP side asks of routers, for whoever reaches them to provide.

use async_trait::async_trait;
use model::{AppEnv, Hostname};

/// The way of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The app that the host name leads to.
    pub app: Option<AppEnv>,
    /// Each step, in words.
    pub steps: Vec<String>,
}

/// Why no router could be asked, as a sentence.
#[derive(Debug)]
pub struct NoRouter(pub String);

/// The routers of this install.
#[async_trait]
pub trait Routers: Send + Sync {
    /// Which way a request for a host name would take.
    async fn trace(&self, host: &Hostname) -> Result<Trace, NoRouter>;
}
