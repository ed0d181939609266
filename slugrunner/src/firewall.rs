//! The ways out of containers: closed to other instances, this host, the platform, private and link-local ranges; open to
//! the name servers and the internet. Keyed by the subnets of our networks, so the rules stand before any container does.
//!
//! Owns two iptables chains, one jumped to from `DOCKER-USER` (what is forwarded, and what goes over one bridge), one from
//! `INPUT` (what is meant for this host). Must never touch another rule. Programs get argv and standard input only.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::process::Stdio;

use ipnet::Ipv4Net;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::config::{Allow, Config};

/// Destinations that are not the public internet.
const CLOSED: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    // Documentation and examples: nobody serves there, but a host may use them by mistake.
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

/// Why the rules do not stand.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    /// A program could not be run.
    #[error("could not run `{program}`")]
    NotRun {
        /// The program's name.
        program: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A program failed.
    #[error("`{program}` failed: {message}")]
    Failed {
        /// The program's name.
        program: &'static str,
        /// The engine's message.
        message: String,
    },
    /// The engine has not made its chain yet.
    #[error("there is no chain `DOCKER-USER` yet")]
    NoEngineChain,
}

/// What the rules are made of.
#[derive(Debug, Clone)]
pub struct Firewall {
    forward: String,
    input: String,
    networks: Vec<Ipv4Net>,
    build: Option<Ipv4Net>,
    resolvers: Vec<Ipv4Addr>,
    allow: Vec<Allow>,
    /// Public networks that the host is a member of: its neighbours trust it, not its tenants.
    on_link: Vec<Ipv4Net>,
}

impl Firewall {
    /// The rules of a platform's networks.
    pub fn new(config: &Config) -> Self {
        // A chain's name has at most 28 bytes.
        let scope: String = config.scope.chars().filter(char::is_ascii_alphanumeric).take(18).collect();
        let build = config.build_network.as_ref().map(|network| network.subnet);
        Self {
            forward: format!("SLW-{scope}-FWD"),
            input: format!("SLW-{scope}-IN"),
            networks: std::iter::once(config.network.subnet).chain(build).collect(),
            build,
            resolvers: if config.resolvers.is_empty() { host_resolvers() } else { config.resolvers.clone() },
            allow: config.allow.clone(),
            on_link: host_networks(),
        }
    }

    /// The rules of both chains in the form of `iptables-save`.
    pub fn rules(&self) -> Vec<String> {
        let (mut forward, mut input) = (Vec::new(), Vec::new());
        for from in &self.networks {
            // Answers to the host and the router come back through these chains too.
            for rules in [&mut forward, &mut input] {
                rules.push(format!("-s {from} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"));
                for resolver in &self.resolvers {
                    for protocol in ["udp", "tcp"] {
                        rules.push(format!("-s {from} -d {resolver}/32 -p {protocol} -m {protocol} --dport 53 -j ACCEPT"));
                    }
                }
            }
            forward.push(format!("-d {from} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"));
            if self.build == Some(*from) {
                for allow in &self.allow {
                    let port = allow.port.map(|port| format!(" -p tcp -m tcp --dport {port}")).unwrap_or_default();
                    forward.push(format!("-s {from} -d {}{port} -j ACCEPT", allow.to));
                    input.push(format!("-s {from} -d {}{port} -j ACCEPT", allow.to));
                }
            }
            // Rejected, not dropped: an app that tries gets an error at once.
            let closed = CLOSED.iter().map(|to| (*to).to_owned()).chain(self.on_link.iter().map(ToString::to_string));
            forward.extend(closed.map(|to| format!("-s {from} -d {to} -j REJECT --reject-with icmp-admin-prohibited")));
            // The host itself at any of its addresses, public ones too.
            input.push(format!("-s {from} -j REJECT --reject-with icmp-admin-prohibited"));
        }
        let named = |chain: &str, rules: Vec<String>| rules.into_iter().map(|rule| format!("-A {chain} {rule}")).collect::<Vec<_>>();
        let mut all = named(&self.forward, forward);
        all.extend(named(&self.input, input));
        all
    }

    /// The batch that makes the table right, as `iptables-save` printed it; none when it is right.
    pub fn repair(&self, saved: &str) -> Result<Option<String>, FirewallError> {
        if !saved.lines().any(|line| line.starts_with(":DOCKER-USER ")) {
            return Err(FirewallError::NoEngineChain);
        }
        let wanted = self.rules();
        let mut batch = String::new();
        let own = |line: &str| line.starts_with(&format!("-A {} ", self.forward)) || line.starts_with(&format!("-A {} ", self.input));
        let standing: Vec<&str> = saved.lines().filter(|line| own(line)).collect();
        if standing != wanted {
            // Naming a chain empties it; the batch is one transaction, so there is no moment without rules.
            batch.push_str(&format!(":{} - [0:0]\n:{} - [0:0]\n", self.forward, self.input));
            wanted.iter().for_each(|rule| batch.push_str(&format!("{rule}\n")));
        }
        for (from, chain) in [("DOCKER-USER", &self.forward), ("INPUT", &self.input)] {
            let jump = format!("-A {from} -j {chain}");
            let rules: Vec<&str> = saved.lines().filter(|line| line.starts_with(&format!("-A {from} "))).collect();
            let place = rules.iter().position(|rule| *rule == jump);
            // Behind chains of other scopes is as good as first: they only end what comes from their own subnets.
            let is_early = place.is_some_and(|place| rules[..place].iter().all(|rule| rule.contains(" -j SLW-")));
            if !is_early {
                if place.is_some() {
                    batch.push_str(&format!("-D {from} -j {chain}\n"));
                }
                batch.push_str(&format!("-I {from} 1 -j {chain}\n"));
            }
        }
        Ok((!batch.is_empty()).then(|| format!("*filter\n{batch}COMMIT\n")))
    }

    /// Installs the rules where they are missing; returns whether anything had to be done.
    pub async fn assert(&self) -> Result<bool, FirewallError> {
        let saved = run("iptables-save", &["-t", "filter"], "").await?;
        // Its networks change while it runs.
        let current = Self { on_link: host_networks(), ..self.clone() };
        let Some(batch) = current.repair(&saved)? else { return Ok(false) };
        run("iptables-restore", &["-w", "5", "-n"], &batch).await?;
        Ok(true)
    }

    /// Takes the rules away, for the end of a platform on this host. Containers that still run are open then.
    pub async fn remove(&self) -> Result<(), FirewallError> {
        let saved = run("iptables-save", &["-t", "filter"], "").await?;
        let mut batch = String::new();
        for (from, chain) in [("DOCKER-USER", &self.forward), ("INPUT", &self.input)] {
            let jump = format!("-A {from} -j {chain}");
            saved.lines().filter(|line| *line == jump).for_each(|_| batch.push_str(&format!("-D {from} -j {chain}\n")));
        }
        for chain in [&self.forward, &self.input] {
            if saved.lines().any(|line| line.starts_with(&format!(":{chain} "))) {
                batch.push_str(&format!("-F {chain}\n-X {chain}\n"));
            }
        }
        if !batch.is_empty() {
            run("iptables-restore", &["-w", "5", "-n"], &format!("*filter\n{batch}COMMIT\n")).await?;
        }
        Ok(())
    }
}

/// Public IPv4 networks that this host reaches without a gateway.
fn host_networks() -> Vec<Ipv4Net> {
    on_link(&std::fs::read_to_string("/proc/net/route").unwrap_or_default())
}

/// The networks of a route table (`/proc/net/route`) that are reached without a gateway, except those that are closed anyway.
fn on_link(routes: &str) -> Vec<Ipv4Net> {
    // Each address is a word in the byte order of the machine.
    let address = |hex: &str| u32::from_str_radix(hex, 16).ok().map(|word| Ipv4Addr::from(word.to_ne_bytes()));
    let network = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (to, gateway, mask) = (address(fields.get(1)?)?, address(fields.get(2)?)?, address(fields.get(7)?)?);
        let network = Ipv4Net::with_netmask(to, mask).ok()?;
        (gateway.is_unspecified() && network.prefix_len() > 0).then_some(network)
    };
    let closed: Vec<Ipv4Net> = CLOSED.iter().filter_map(|to| to.parse().ok()).collect();
    let found = routes.lines().skip(1).filter_map(network);
    let found: BTreeSet<Ipv4Net> = found.filter(|network| !closed.iter().any(|closed| closed.contains(network))).collect();
    found.into_iter().collect()
}

/// IPv4 name servers of this host. A loopback one is asked by the engine on the container's behalf and needs no rule.
fn host_resolvers() -> Vec<Ipv4Addr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse::<Ipv4Addr>().ok());
    servers.filter(|address| !address.is_loopback()).collect()
}

async fn run(program: &'static str, argv: &[&str], input: &str) -> Result<String, FirewallError> {
    let not_run = |source| FirewallError::NotRun { program, source };
    // Found by name: a service's PATH may lack the system directories.
    let path =
        ["/usr/sbin", "/sbin", "/usr/bin"].iter().map(|dir| format!("{dir}/{program}")).find(|path| std::path::Path::new(path).exists());
    let mut child = Command::new(path.as_deref().unwrap_or(program))
        .args(argv)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(not_run)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input says why by its exit.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let done = child.wait_with_output().await.map_err(not_run)?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let message = String::from_utf8_lossy(&done.stderr).trim().chars().take(500).collect();
    Err(FirewallError::Failed { program, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Capacity;

    fn firewall() -> Firewall {
        let capacity = Capacity { slots: 1, memory_mb: 1, cpu_millis: 1 };
        let mut config = Config::new("h".parse().expect("a host"), "z".parse().expect("a zone"), capacity, "/nowhere".into());
        config.resolvers = vec![Ipv4Addr::new(10, 0, 0, 53)];
        config.allow = vec![Allow { to: "10.1.2.3/32".parse().expect("an address"), port: Some(443) }];
        Firewall::new(&config)
    }

    #[test]
    fn a_right_table_is_left_alone_and_a_wrong_one_is_repaired() {
        let firewall = firewall();
        let bare = "*filter\n:INPUT ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n-A DOCKER-USER -j RETURN\nCOMMIT\n";
        let batch = firewall.repair(bare).expect("a chain").expect("a batch");
        assert!(batch.contains("-I DOCKER-USER 1 -j SLW-slipway-FWD\n") && batch.contains("-I INPUT 1 -j SLW-slipway-IN\n"));
        let rules = firewall.rules().join("\n");
        let right = format!(
            ":DOCKER-USER - [0:0]\n{rules}\n-A INPUT -j SLW-slipway-IN\n-A DOCKER-USER -j SLW-other-FWD\n-A DOCKER-USER -j SLW-slipway-FWD\n-A DOCKER-USER -j RETURN\n"
        );
        assert_eq!(firewall.repair(&right).expect("a chain"), None);
        let late = right.replace("-A INPUT -j SLW-slipway-IN", "-A INPUT -j ACCEPT\n-A INPUT -j SLW-slipway-IN");
        let batch = firewall.repair(&late).expect("a chain").expect("a batch");
        assert_eq!(batch, "*filter\n-D INPUT -j SLW-slipway-IN\n-I INPUT 1 -j SLW-slipway-IN\nCOMMIT\n");
        assert!(matches!(firewall.repair("*filter\n"), Err(FirewallError::NoEngineChain)));
    }

    #[test]
    fn public_networks_of_the_host_are_closed() {
        let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t01D8B85D\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            eth0\t00D8B85D\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
            eth0\t08080808\t01D8B85D\t0007\t0\t0\t0\tFFFFFFFF\t0\t0\t0\n\
            docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        let found = on_link(routes);
        assert_eq!(found, ["93.184.216.0/24".parse::<Ipv4Net>().expect("a network")]);
        let rules = Firewall { on_link: found, ..firewall() }.rules().join("\n");
        assert!(rules.contains("-s 172.31.240.0/20 -d 93.184.216.0/24 -j REJECT"), "{rules}");
        assert!(rules.contains("-s 172.31.224.0/20 -d 203.0.113.0/24 -j REJECT"), "{rules}");
    }

    #[test]
    fn only_builds_reach_what_the_operator_allows() {
        let rules = firewall().rules();
        let allowing: Vec<&String> = rules.iter().filter(|rule| rule.contains("10.1.2.3/32")).collect();
        assert_eq!(allowing.len(), 2);
        assert!(allowing.iter().all(|rule| rule.contains("-s 172.31.224.0/20 ")));
    }
}
