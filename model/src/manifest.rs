//! `app.yaml`: what a repository says about how it is built and run. `docs/app-yaml.md` is its reference.
//!
//! Owns the meaning of each key. Unknown keys, wrong types and values out of range are refused with line, column and the
//! nearest name, before anything is built. It must never hold a secret: config does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::health::{HealthCheck, Probe};
use crate::name::{AppName, EnvName, ProcessName, TemplateName};
use crate::resources::Resources;

mod node;

pub use node::ManifestError;
use node::{Node, Table};

/// Largest `app.yaml` that is read, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;

/// Most process types of an app, and most environments that `app.yaml` names.
pub const MAX_PROCESSES: usize = 50;

/// Most instances of one app in one environment, all process types together.
pub const MAX_INSTANCES: u32 = 1_000;

/// Longest command of a process, in bytes: the system takes no argument of more than 128 KiB.
pub const MAX_COMMAND: usize = 16 * 1024;

/// A read `app.yaml`. The default is that of a repository without one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The app that this repository is; a push to another app is refused.
    pub app: Option<AppName>,
    /// The template to build with, instead of the detected one.
    pub template: Option<TemplateName>,
    /// The folder that is the app, relative to the repository.
    pub root: Option<String>,
    /// How it is built.
    pub build: BuildHints,
    /// Process types, by name; they take the place of those of a Procfile with the same name.
    pub processes: BTreeMap<ProcessName, ProcessHints>,
    /// Plain environment variables; config set on the server goes before them.
    pub env: BTreeMap<String, String>,
    /// What differs in an environment.
    pub environments: BTreeMap<EnvName, EnvHints>,
}

/// Hints for the build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildHints {
    /// Environment variables of the build only.
    pub env: BTreeMap<String, String>,
    /// Memory in MiB, up to the platform's limit.
    pub memory_mb: Option<u32>,
    /// Wall time in seconds, up to the platform's limit.
    pub time_s: Option<u32>,
}

/// What is said of one process type; what is not said is left to the platform or to the last scale.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessHints {
    /// Its command; none keeps that of the Procfile or the template.
    pub command: Option<String>,
    /// Instances at the first release. Afterwards `ps:scale` rules.
    pub count: Option<u32>,
    /// Memory in MiB.
    pub memory_mb: Option<u32>,
    /// Thousandths of a core.
    pub cpu_millis: Option<u32>,
    /// Processes and threads.
    pub pids: Option<u32>,
    /// Its health check: not said, switched off, or given.
    pub health: HealthHint,
    /// Seconds between TERM and KILL.
    pub stop_grace_s: Option<u32>,
    /// Seconds that requests in flight have to end.
    pub drain_s: Option<u32>,
}

/// What is said of a health check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthHint {
    /// Nothing: the default of the process type.
    #[default]
    Default,
    /// `health: none`.
    Off,
    /// A check.
    Check(HealthCheck),
}

/// What differs in one environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvHints {
    /// Changes per process type.
    pub processes: BTreeMap<ProcessName, ProcessHints>,
    /// Further or other environment variables.
    pub env: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads the text of an `app.yaml`.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        if text.len() > MAX_BYTES {
            return Err(ManifestError::whole(format!("the file is larger than {MAX_BYTES} bytes")));
        }
        let Some(root) = Node::load(text)? else {
            return Ok(Self::default());
        };
        let mut table = root.table(&["app", "template", "root", "build", "processes", "env", "environments"])?;
        let manifest = Self {
            app: table.take("app").map(|node| node.name()).transpose()?,
            template: table.take("template").map(|node| node.name()).transpose()?,
            root: table.take("root").map(|node| folder(&node)).transpose()?,
            build: table.take("build").map(build_hints).transpose()?.unwrap_or_default(),
            processes: table.take("processes").map(processes).transpose()?.unwrap_or_default(),
            env: table.take("env").map(run_variables).transpose()?.unwrap_or_default(),
            environments: table.take("environments").map(environments).transpose()?.unwrap_or_default(),
        };
        Ok(manifest)
    }

    /// What is said of a process type in an environment, the environment's words over the general ones.
    pub fn process_in(&self, env: &EnvName, process: &ProcessName) -> ProcessHints {
        let general = self.processes.get(process).cloned().unwrap_or_default();
        match self.environments.get(env).and_then(|hints| hints.processes.get(process)) {
            Some(special) => special.clone().over(general),
            None => general,
        }
    }

    /// The environment variables in an environment.
    pub fn env_in(&self, env: &EnvName) -> BTreeMap<String, String> {
        let mut variables = self.env.clone();
        if let Some(hints) = self.environments.get(env) {
            variables.extend(hints.env.clone());
        }
        variables
    }
}

impl ProcessHints {
    fn over(self, general: Self) -> Self {
        Self {
            command: self.command.or(general.command),
            count: self.count.or(general.count),
            memory_mb: self.memory_mb.or(general.memory_mb),
            cpu_millis: self.cpu_millis.or(general.cpu_millis),
            pids: self.pids.or(general.pids),
            health: if self.health == HealthHint::Default { general.health } else { self.health },
            stop_grace_s: self.stop_grace_s.or(general.stop_grace_s),
            drain_s: self.drain_s.or(general.drain_s),
        }
    }

    /// The limits of an instance.
    pub fn resources(&self) -> Resources {
        Resources {
            memory_mb: self.memory_mb.unwrap_or(Resources::INSTANCE.memory_mb),
            cpu_millis: self.cpu_millis.unwrap_or(Resources::INSTANCE.cpu_millis),
            pids: self.pids.unwrap_or(Resources::INSTANCE.pids),
        }
    }

    /// The health check of an instance of `process`.
    pub fn health_of(&self, process: &ProcessName) -> Option<HealthCheck> {
        match &self.health {
            HealthHint::Default => process.is_web().then(HealthCheck::web_default),
            HealthHint::Off => None,
            HealthHint::Check(check) => Some(check.clone()),
        }
    }
}

/// A relative folder that stays inside the repository.
fn folder(node: &Node) -> Result<String, ManifestError> {
    let text = node.string()?;
    let path = text.trim_matches('/');
    let inside = !text.starts_with('/') && !path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | ".." | ".git"));
    if inside { Ok(path.to_owned()) } else { Err(node.error(format!("`{text}` is not a folder inside the repository"))) }
}

fn build_hints(node: Node) -> Result<BuildHints, ManifestError> {
    let mut table = node.table(&["env", "memory", "time"])?;
    Ok(BuildHints {
        env: table.take("env").map(variables).transpose()?.unwrap_or_default(),
        memory_mb: table.take("memory").map(|node| node.megabytes(64, 1 << 20)).transpose()?,
        time_s: table.take("time").map(|node| node.seconds(10, 24 * 3600)).transpose()?,
    })
}

fn variables(node: Node) -> Result<BTreeMap<String, String>, ManifestError> {
    let mut variables = BTreeMap::new();
    for (key, value) in node.entries()? {
        let name = key.string()?;
        if !is_variable(&name) {
            return Err(key.error(format!("`{name}` is not a variable name: letters, digits and underscores, not starting with a digit")));
        }
        let text = value.text()?;
        if text.contains('\0') {
            return Err(value.error(format!("the value of `{name}` holds a NUL byte, which no environment variable can")));
        }
        variables.insert(name, text);
    }
    Ok(variables)
}

/// Variables of what runs: those that the platform sets there itself can not be set.
fn run_variables(node: Node) -> Result<BTreeMap<String, String>, ManifestError> {
    for (key, _) in node.entries()? {
        let name = key.string()?;
        if is_platforms(&name) {
            return Err(key.error(format!("`{name}` is set by the platform; choose another name")));
        }
    }
    variables(node)
}

/// Whether the platform sets this variable in what runs, so that neither `app.yaml` nor config may.
pub fn is_platforms(name: &str) -> bool {
    ["PORT", "HTTP_PORT", "HOME"].contains(&name) || name.starts_with("SLIPWAY_")
}

/// Whether a text can name an environment variable.
pub fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn processes(node: Node) -> Result<BTreeMap<ProcessName, ProcessHints>, ManifestError> {
    node.entries_up_to(MAX_PROCESSES, "process types")?.into_iter().map(|(key, value)| Ok((key.name()?, process(value)?))).collect()
}

/// `worker: python worker.py` is short for `worker: {command: python worker.py}`.
fn process(node: Node) -> Result<ProcessHints, ManifestError> {
    if node.is_scalar() {
        return Ok(ProcessHints { command: Some(node.command()?), ..ProcessHints::default() });
    }
    let mut table = node.table(&["command", "count", "memory", "cpu", "pids", "health", "stop_grace", "drain"])?;
    Ok(ProcessHints {
        command: table.take("command").map(|node| node.command()).transpose()?,
        count: table.take("count").map(|node| node.integer(0, 1_000)).transpose()?,
        memory_mb: table.take("memory").map(|node| node.megabytes(16, 1 << 20)).transpose()?,
        cpu_millis: table.take("cpu").map(|node| node.cores()).transpose()?,
        pids: table.take("pids").map(|node| node.integer(8, 32_768)).transpose()?,
        health: table.take("health").map(health).transpose()?.unwrap_or_default(),
        stop_grace_s: table.take("stop_grace").map(|node| node.seconds(0, 3_600)).transpose()?,
        drain_s: table.take("drain").map(|node| node.seconds(0, 3_600)).transpose()?,
    })
}

/// `health: none`, `health: tcp`, `health: /path` or a table.
fn health(node: Node) -> Result<HealthHint, ManifestError> {
    if node.is_scalar() {
        let text = node.string()?;
        return match text.as_str() {
            "none" => Ok(HealthHint::Off),
            "tcp" => Ok(HealthHint::Check(HealthCheck::of(Probe::Tcp))),
            path if path.starts_with('/') => Ok(HealthHint::Check(HealthCheck::of(http(path.to_owned())))),
            _ => Err(node.error("expected `none`, `tcp`, a path such as `/healthz`, or a table".into())),
        };
    }
    let mut table = node.table(&["http", "tcp", "exec", "status", "text", "host", "interval", "timeout", "start", "failures"])?;
    let probe = health_probe(&node, &mut table)?;
    let mut check = HealthCheck::of(probe);
    if let Some(node) = table.take("interval") {
        check.interval_s = node.seconds(1, 3_600)?;
    }
    if let Some(node) = table.take("timeout") {
        check.timeout_s = node.seconds(1, 300)?;
    }
    if let Some(node) = table.take("start") {
        check.start_s = node.seconds(1, 3_600)?;
    }
    if let Some(node) = table.take("failures") {
        check.failures = node.integer(1, 100)?;
    }
    Ok(HealthHint::Check(check))
}

fn http(path: String) -> Probe {
    Probe::Http { path, status: (200, 399), text: None, host: None }
}

fn health_probe(node: &Node, table: &mut Table) -> Result<Probe, ManifestError> {
    let status = table.take("status").map(|node| node.statuses()).transpose()?;
    let text = table.take("text").map(|node| node.string()).transpose()?;
    let host = table
        .take("host")
        .map(|node| node.string()?.parse().map_err(|error: crate::name::InvalidName| node.error(error.to_string())))
        .transpose()?;
    match (table.take("http"), table.take("tcp"), table.take("exec")) {
        (Some(http), None, None) => {
            let path = http.string()?;
            if !path.starts_with('/') || path.bytes().any(|b| b.is_ascii_whitespace() || b.is_ascii_control()) {
                return Err(http.error("the path must start with `/` and hold no spaces".into()));
            }
            Ok(Probe::Http { path, status: status.unwrap_or((200, 399)), text, host })
        }
        (None, _, _) if status.is_some() || text.is_some() || host.is_some() => {
            Err(node.error("`status`, `text` and `host` belong to an `http` check".into()))
        }
        (None, Some(tcp), None) if tcp.is_true() => Ok(Probe::Tcp),
        (None, Some(tcp), None) => Err(tcp.error("expected `true`; `health: none` switches the check off".into())),
        (None, None, Some(exec)) => Ok(Probe::Exec { command: exec.command()? }),
        _ => Err(node.error("a health check has exactly one of `http`, `tcp`, `exec`".into())),
    }
}

fn environments(node: Node) -> Result<BTreeMap<EnvName, EnvHints>, ManifestError> {
    node.entries_up_to(MAX_PROCESSES, "environments")?
        .into_iter()
        .map(|(key, value)| {
            let mut table = value.table(&["processes", "env"])?;
            let hints = EnvHints {
                processes: table.take("processes").map(processes).transpose()?.unwrap_or_default(),
                env: table.take("env").map(run_variables).transpose()?.unwrap_or_default(),
            };
            Ok((key.name()?, hints))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Manifest::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn a_full_manifest_is_read() {
        let manifest = Manifest::parse(
            "app: shop\nroot: backend\ntemplate: python\nbuild:\n  env: {PIP_NO_BINARY: 1}\n  memory: 1GB\n  time: 10m\nprocesses:\n  web:\n    command: gunicorn app:app\n    count: 2\n    memory: 256MB\n    cpu: 0.5\n    health: {http: /healthz, status: 200-204, text: ok, start: 90s}\n  worker: python worker.py\nenv:\n  LOG_LEVEL: info\nenvironments:\n  prod:\n    processes:\n      web: {count: 4}\n    env: {LOG_LEVEL: warn}\n",
        )
        .expect("a valid manifest");
        let web = ProcessName::web();
        let prod = manifest.process_in(&EnvName::prod(), &web);
        assert_eq!((prod.count, prod.memory_mb, prod.cpu_millis), (Some(4), Some(256), Some(500)));
        assert_eq!(prod.command.as_deref(), Some("gunicorn app:app"));
        assert_eq!(manifest.process_in(&EnvName::dev(), &web).count, Some(2));
        assert_eq!(manifest.env_in(&EnvName::prod())["LOG_LEVEL"], "warn");
        assert_eq!(manifest.build.memory_mb, Some(1024));
        assert_eq!(manifest.build.time_s, Some(600));
        let check = prod.health_of(&web).expect("a check");
        assert_eq!(check.start_s, 90);
        assert_eq!(check.probe, Probe::Http { path: "/healthz".into(), status: (200, 204), text: Some("ok".into()), host: None });
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(Manifest::parse("").expect("empty"), Manifest::default());
        assert_eq!(Manifest::parse("# nothing\n").expect("a comment"), Manifest::default());
    }

    #[test]
    fn errors_name_line_column_and_the_nearest_key() {
        assert_eq!(refused("proceses:\n  web: x\n"), "app.yaml line 1, column 1: unknown key `proceses`; did you mean `processes`?");
        assert_eq!(
            refused("processes:\n  web:\n    comand: x\n"),
            "app.yaml line 3, column 5: unknown key `comand`; did you mean `command`?"
        );
        assert_eq!(refused("processes:\n  web:\n    count: many\n"), "app.yaml line 3, column 12: expected a whole number from 0 to 1000");
        assert_eq!(refused("processes:\n  Web: x\n").split(": ").next(), Some("app.yaml line 2, column 3"));
        assert!(refused("a: [1\n").starts_with("app.yaml line "));
        assert_eq!(refused("root: ../x"), "app.yaml line 1, column 7: `../x` is not a folder inside the repository");
        assert_eq!(refused("env: {PORT: 99}"), "app.yaml line 1, column 7: `PORT` is set by the platform; choose another name");
        assert!(
            refused("environments: {prod: {env: {SLIPWAY_APP: x}}}").ends_with("`SLIPWAY_APP` is set by the platform; choose another name")
        );
        assert!(Manifest::parse("build: {env: {PORT: 99}}").is_ok(), "a build has no port of the platform's");
        assert_eq!(refused("env: {A: 1, A: 2}").split(": ").nth(1), Some("duplicated key in mapping"));
        assert_eq!(
            refused("processes:\n  web:\n    health: {tcp: true, status: 200}"),
            "app.yaml line 3, column 13: `status`, `text` and `host` belong to an `http` check"
        );
    }

    #[test]
    fn too_much_of_anything_is_refused_with_its_limit() {
        let many = |lead: &str| (0..3_000).fold(format!("{lead}:\n"), |text, n| format!("{text}  p{n}: x\n"));
        assert_eq!(refused(&many("processes")), "app.yaml line 2, column 3: 3000 process types are too many; at most 50 are allowed");
        assert_eq!(refused(&many("environments")), "app.yaml line 2, column 3: 3000 environments are too many; at most 50 are allowed");
        let long = format!("processes:\n  web: {}\n", "x".repeat(MAX_COMMAND + 1));
        assert_eq!(refused(&long), "app.yaml line 2, column 8: the command is longer than 16384 bytes");
        let nul = refused("env: {A: \"a\\0b\"}");
        assert_eq!(nul, "app.yaml line 1, column 10: the value of `A` holds a NUL byte, which no environment variable can");
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
        for level in 1..12 {
            let item = format!("*a{}", level - 1);
            text.push_str(&format!("a{level}: &a{level} [{}]\n", [item.as_str(); 9].join(",")));
        }
        assert!(refused(&text).contains("alias"));
    }
}
