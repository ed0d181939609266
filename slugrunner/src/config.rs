//! The settings of the supervisor of one host.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use ipnet::Ipv4Net;
use model::{Capacity, HostName, ZoneName};

/// A Docker network of ours: a bridge with a fixed subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkConfig {
    /// Its name in Docker.
    pub name: String,
    /// Its addresses.
    pub subnet: Ipv4Net,
}

impl NetworkConfig {
    /// A network of this name and subnet; bits of the subnet beyond its prefix are dropped.
    pub fn new(name: impl Into<String>, subnet: Ipv4Net) -> Self {
        Self { name: name.into(), subnet: subnet.trunc() }
    }

    /// The address of the bridge on the host: the first one.
    pub fn gateway(&self) -> Ipv4Addr {
        self.subnet.hosts().next().unwrap_or(self.subnet.addr())
    }
}

/// A destination that containers may reach although it is private.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allow {
    /// The destination.
    pub to: Ipv4Net,
    /// Which TCP port; none means any.
    pub port: Option<u16>,
}

impl Allow {
    /// A destination; bits of the subnet beyond its prefix are dropped, as the packet filter drops them.
    pub fn new(to: Ipv4Net, port: Option<u16>) -> Self {
        Self { to: to.trunc(), port }
    }
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

/// All settings; `Config::new` gives the defaults.
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
            network: NetworkConfig::new("slipway", subnet("172.31.240.0/20")),
            build_network: Some(NetworkConfig::new("slipway-build", subnet("172.31.224.0/20"))),
            resolvers: Vec::new(),
            allow: Vec::new(),
            disk: 2_048 << 20,
            keep_images: 5,
        }
    }
}
