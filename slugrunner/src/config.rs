//! What the binary tells the supervisor of one host.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use model::{Capacity, HostName, ZoneName};

use crate::subnet::Subnet;

/// A Docker network of ours: a bridge with a fixed subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkConfig {
    /// Its name in Docker.
    pub name: String,
    /// Its addresses.
    pub subnet: Subnet,
}

/// A destination that containers may reach although it is private.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allow {
    /// Where.
    pub to: Subnet,
    /// Which TCP port; none means any.
    pub port: Option<u16>,
}

/// Who closes the ways out of containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filtering {
    /// We do, with our own iptables chains; nothing is started before they stand.
    Enforced,
    /// The operator does by other means.
    Operator,
}

/// Name and password for the registry; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub name: String,
    /// The password or token.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", self.name)
    }
}

/// Everything the supervisor is told; `Config::new` gives the defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// The name of this host.
    pub host: HostName,
    /// Its failure domain.
    pub zone: ZoneName,
    /// Free words for placement.
    pub labels: BTreeMap<String, String>,
    /// What it has to give.
    pub capacity: Capacity,
    /// Where logs and the last assignments are kept. It belongs to one supervisor.
    pub data_dir: PathBuf,
    /// Tells the containers of this platform from those of another one on the same engine.
    pub scope: String,
    /// Where images are pulled from, `host:port`.
    pub registry: String,
    /// Who pulls; given to the engine with each pull and never stored there.
    pub registry_credentials: Option<Credentials>,
    /// Where instances live.
    pub network: NetworkConfig,
    /// Where builds run: filtered by the same rules, plus `allow`.
    pub build_network: Option<NetworkConfig>,
    /// Name servers that containers may ask; empty means those of `/etc/resolv.conf`.
    pub resolvers: Vec<Ipv4Addr>,
    /// Private destinations that builds may reach, such as package mirrors.
    pub allow: Vec<Allow>,
    /// Who closes the ways out.
    pub filtering: Filtering,
    /// Bytes that an instance may write to its own disk; 0 is no limit.
    pub disk: u64,
    /// Images of kept releases without a container that are kept per repository; images of no release are not.
    pub keep_images: usize,
}

impl Config {
    /// The defaults for a host.
    pub fn new(host: HostName, zone: ZoneName, capacity: Capacity, data_dir: PathBuf) -> Self {
        let subnet = |text: &str| text.parse().expect("a default subnet is well-formed");
        Self {
            host,
            zone,
            labels: BTreeMap::new(),
            capacity,
            data_dir,
            scope: "slipway".into(),
            registry: "127.0.0.1:5000".into(),
            registry_credentials: None,
            network: NetworkConfig { name: "slipway".into(), subnet: subnet("172.31.240.0/20") },
            build_network: Some(NetworkConfig { name: "slipway-build".into(), subnet: subnet("172.31.224.0/20") }),
            resolvers: Vec::new(),
            allow: Vec::new(),
            filtering: Filtering::Enforced,
            disk: 2_048 << 20,
            keep_images: 5,
        }
    }
}
