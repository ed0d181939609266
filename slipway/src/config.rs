//! `slipway.toml`: read once, over the documented defaults in `slipway.default.toml`.
//!
//! A key that the defaults do not have is refused with the nearest one; every error names the key and the file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use model::{Code, HostName, Hostname, UserError, ZoneName};
use serde::Deserialize;

/// The defaults, which are also the reference.
pub const DEFAULTS: &str = include_str!("../slipway.default.toml");
/// Where the file is looked for when nobody says where it is.
pub const PATH: &str = "/etc/slipway/slipway.toml";

/// All settings.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    pub platform: Platform,
    pub disk: Disk,
    pub docker: Docker,
    pub router: Router,
    pub ssh: Ssh,
    pub web: Web,
    pub registry: Registry,
    pub database: Database,
    pub builds: Builds,
    pub supervisor: Supervisor,
    pub retention: Retention,
    pub log: Log,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Platform {
    pub data_dir: PathBuf,
    pub run_dir: PathBuf,
    pub domain: Hostname,
    pub host: HostName,
    pub zone: ZoneName,
    pub public_host: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Disk {
    pub reserve_mb: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Docker {
    pub socket: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Router {
    pub listen: SocketAddr,
    /// Where the status port listens; none: nowhere.
    #[serde(deserialize_with = "address_or_none")]
    pub status: Option<SocketAddr>,
    pub workers: usize,
    /// Addresses and networks.
    #[serde(deserialize_with = "networks")]
    pub trusted: Vec<IpNet>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Ssh {
    pub listen: SocketAddr,
    pub max_push_mb: u64,
    /// Only key exchanges that resist a quantum computer.
    pub post_quantum_only: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Web {
    pub listen: SocketAddr,
    pub url: String,
    /// Addresses and networks.
    #[serde(deserialize_with = "networks")]
    pub trusted: Vec<IpNet>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Registry {
    pub listen: SocketAddr,
    pub sweep_minutes: u64,
    pub sweep_min_age_minutes: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Database {
    pub url: String,
    pub connections: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Builds {
    pub at_once: usize,
    pub memory_mb: u32,
    pub cpu_millis: u32,
    pub pids: u32,
    pub disk_mb: u64,
    pub time_s: u64,
    pub slug_mb: u64,
    pub stack_image: String,
    pub network: String,
    pub subnet: String,
    pub allow: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Supervisor {
    pub slots: u32,
    pub memory_mb: u32,
    pub cpu_millis: u32,
    /// How many times over the cores may be promised.
    pub cpu_overcommit: u32,
    /// What an instance may write to its own disk.
    pub disk_mb: u64,
    pub network: String,
    pub subnet: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Retention {
    pub builds: usize,
    pub releases: usize,
    pub round_minutes: u64,
    pub stack_days: u64,
    pub access_log_mb: u64,
    pub access_log_files: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Log {
    pub level: String,
}

/// Networks, each written as one or as a single address.
fn networks<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
    let network = |text: String| -> Result<IpNet, D::Error> {
        let wrong = || serde::de::Error::custom(format!("`{text}` is neither an address nor a network such as 10.0.0.0/8"));
        text.parse().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from)).map_err(|_| wrong())
    };
    Vec::<String>::deserialize(from)?.into_iter().map(network).collect()
}

/// An address, or none for an empty text.
fn address_or_none<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || serde::de::Error::custom(format!("`{text}` is not an address such as 127.0.0.1:8081"));
    text.parse().map(Some).map_err(|_| wrong())
}

/// Why a file is not a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It can not be read.
    #[error("could not read {}", .path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// It is not TOML, or a value does not fit its key.
    #[error("{}: {why}", .path.display())]
    Wrong { path: PathBuf, why: String },
}

impl ConfigError {
    /// As a failure in front of a user.
    pub fn told(&self) -> UserError {
        let user_error = UserError::new(Code::BadRequest, self.to_string());
        match self {
            Self::Unreadable { path, source } if source.kind() == std::io::ErrorKind::NotFound => {
                user_error.why(format!("There is no file {}.", path.display())).next(self.mend())
            }
            Self::Unreadable { source, .. } => user_error.why(format!("{source}.")).next(self.mend()),
            Self::Wrong { .. } => user_error.next(self.mend()),
        }
    }

    /// What to do about it.
    pub fn mend(&self) -> String {
        match self {
            Self::Unreadable { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                format!("check --config and SLIPWAY_CONFIG; without both, {PATH} is read if it is there")
            }
            Self::Unreadable { path, .. } => format!("sudo ls -l {}   # who may read it", path.display()),
            Self::Wrong { .. } => "mend the key that is named".into(),
        }
    }
}

/// Reads a file over the defaults. Without a path, the usual place is read if there is a file.
pub fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
    let (path, required) = match path {
        Some(path) => (path.to_owned(), true),
        None => (PathBuf::from(PATH), false),
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => String::new(),
        Err(source) => return Err(ConfigError::Unreadable { path, source }),
    };
    parse(&text).map_err(|why| ConfigError::Wrong { path, why })
}

fn parse(text: &str) -> Result<Config, String> {
    let mut table: toml::Table = DEFAULTS.parse().expect("the defaults are TOML");
    let file: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    merge(&mut table, file, "")?;
    toml::Value::Table(table).try_into().map_err(|error: toml::de::Error| error.message().to_owned())
}

fn merge(base: &mut toml::Table, over: toml::Table, place: &str) -> Result<(), String> {
    for (key, value) in over {
        let full = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
        let Some(known) = base.get_mut(&key) else {
            let nearest = base.keys().min_by_key(|known| strsim::damerau_levenshtein(known, &key));
            let hint = nearest.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(format!("unknown key `{full}`{hint}"));
        };
        match (known, value) {
            (toml::Value::Table(base), toml::Value::Table(over)) => merge(base, over, &full)?,
            (known, value) if known.same_type(&value) => *known = value,
            (known, value) => return Err(format!("`{full}` must be a {}, not a {}", known.type_str(), value.type_str())),
        }
    }
    Ok(())
}

impl Config {
    /// Where the dashboard is, as users reach it.
    pub fn dashboard(&self) -> String {
        if self.web.url.is_empty() {
            format!("http://{}:{}", self.platform.public_host, self.web.listen.port())
        } else {
            self.web.url.trim_end_matches('/').to_owned()
        }
    }

    /// Where git pushes go, as users reach it.
    pub fn ssh_url(&self) -> String {
        format!("ssh://paas@{}:{}", self.platform.public_host, self.ssh.listen.port())
    }

    /// The socket of the operator.
    pub fn control_socket(&self) -> PathBuf {
        self.platform.run_dir.join("control.sock")
    }

    /// The socket by which roles of this machine in processes of their own reach coordination.
    pub fn coordination_socket(&self) -> PathBuf {
        self.platform.run_dir.join(store::live::SOCKET)
    }

    /// A place below the data directory.
    pub fn data(&self, name: &str) -> PathBuf {
        self.platform.data_dir.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_complete() {
        assert_eq!(parse("").expect("the defaults").dashboard(), "http://localhost:7080");
    }

    #[test]
    fn a_missing_file_is_said_to_be_missing() {
        let told = load(Some(Path::new("/nonexistent/slipway.toml"))).expect_err("no file").told();
        assert_eq!(told.what, "could not read /nonexistent/slipway.toml");
        assert_eq!(told.why, "There is no file /nonexistent/slipway.toml.");
        assert!(told.next[0].contains("--config"));
    }

    #[test]
    fn a_file_says_only_what_differs_and_errors_name_the_key() {
        let config = parse("[platform]\ndomain = \"paas.example.com\"\n").expect("a valid file");
        assert_eq!(config.platform.domain.as_str(), "paas.example.com");
        assert_eq!(parse("[platform]\ndomian = \"x\"").expect_err("a typo"), "unknown key `platform.domian`; did you mean `domain`?");
        assert_eq!(parse("[router]\nworkers = \"two\"").expect_err("a type"), "`router.workers` must be a integer, not a string");
        assert!(parse("[router]\nlisten = \"nowhere\"").is_err());
        let proxies = parse("[web]\ntrusted = [\"10.0.0.0/8\", \"192.0.2.1\", \"::1\"]").expect("networks").web.trusted;
        assert_eq!(proxies.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "192.0.2.1/32", "::1/128"]);
        assert!(parse("[web]\ntrusted = [\"proxy\"]").expect_err("a name").contains("`proxy` is neither"));
        assert!(parse("[router]\nstatus = \"8081\"").expect_err("a port alone").contains("`8081` is not an address"));
        assert_eq!(parse("[router]\nstatus = \"\"").expect("no status port").router.status, None);
    }
}
