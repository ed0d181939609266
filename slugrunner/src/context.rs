//! `HostContext`: what everything that starts containers on this host shares.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use store::Keyring;

use crate::addresses::AddressPool;
use crate::config::Config;
use crate::runtime::Runtime;

/// Shared by the launcher of instances and by one-offs; clones are cheap.
#[derive(Clone)]
pub(crate) struct HostContext {
    pub(crate) config: Arc<Config>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) addresses: AddressPool,
    /// Whether the networks and the egress rules stand, so that containers may start.
    pub(crate) is_isolated: Arc<AtomicBool>,
}
