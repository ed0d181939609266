//! `slipway doctor`: what is wrong with this install, and how to mend it. Each check says what it saw.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::Serialize;

use crate::cli::console::Console;
use crate::cli::exit;
use crate::config::{self, Config};

/// The result of one check.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    ok: bool,
    seen: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

fn good(check: &'static str, seen: impl Into<String>) -> Finding {
    Finding { check, ok: true, seen: seen.into(), mend: None }
}

fn bad(check: &'static str, seen: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { check, ok: false, seen: seen.into(), mend: Some(mend.into()) }
}

/// Runs every check; the exit code says whether all is well.
pub async fn run(path: Option<&Path>, output: &Console) -> u8 {
    let mut findings = Vec::new();
    match config::load(path) {
        Ok(config) => {
            findings.push(good("configuration", "read, no unknown key"));
            findings.extend(checks(&config));
        }
        Err(error) => {
            let told = error.told();
            findings.push(bad("configuration", format!("{} {}", told.what, told.why).trim_end(), error.mend()));
        }
    }
    let well = findings.iter().all(|finding| finding.ok);
    output.answer(&findings, |output| {
        for finding in &findings {
            output.line(format!("{} {:<14} {}", if finding.ok { "ok  " } else { "BAD " }, finding.check, finding.seen));
            if let Some(mend) = &finding.mend {
                output.line(format!("                    → {mend}"));
            }
        }
        output.line(if well { "\nnothing is wrong" } else { "\nmend the first BAD line first; the others may follow from it" });
    });
    if well { exit::OK } else { exit::FAILED }
}

fn checks(config: &Config) -> Vec<Finding> {
    let mut findings = vec![
        program("git", &["--version"], "apt-get install git"),
        program("iptables", &["--version"], "apt-get install iptables"),
        postgres(),
        docker(config),
        overlay(config),
        disk(config),
    ];
    let socket = config.control_socket();
    findings.push(match std::os::unix::net::UnixStream::connect(&socket) {
        Ok(_) => good("server", format!("answers on {}", socket.display())),
        Err(error) => bad("server", format!("{}: {error}", socket.display()), "slipway up, or as root if it runs already"),
    });
    let ports = [
        ("registry", config.registry.listen),
        ("router", config.router.listen),
        ("git", config.ssh.listen),
        ("dashboard", config.web.listen),
    ];
    for (name, address) in ports {
        let mut target = address;
        if target.ip().is_unspecified() {
            target.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        findings.push(match std::net::TcpStream::connect_timeout(&target, std::time::Duration::from_secs(2)) {
            Ok(_) => good(name, format!("listens on {address}")),
            Err(error) => {
                let start = if name == "router" {
                    "start the server, or `slipway router` where it is a process of its own"
                } else {
                    "start the server"
                };
                bad(name, format!("{address}: {error}"), format!("{start}; if the port is taken, change it in slipway.toml"))
            }
        });
    }
    findings
}

fn program(name: &'static str, arguments: &[&str], mend: &str) -> Finding {
    match Command::new(name).args(arguments).stderr(Stdio::null()).output() {
        Ok(output) if output.status.success() => {
            good(name, String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
        }
        Ok(output) => bad(name, format!("ends with {}", output.status), mend),
        Err(error) => bad(name, error.to_string(), mend),
    }
}

fn postgres() -> Finding {
    let found = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<String> = found
        .filter(|entry| entry.path().join("bin/postgres").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    versions.sort();
    match versions.pop() {
        Some(version) => good("postgresql", format!("version {version}")),
        None => bad("postgresql", "no server programs", "apt-get install postgresql"),
    }
}

/// The engine's answer to a GET, with its head.
fn ask_docker(socket: &Path, path: &str) -> std::io::Result<String> {
    use std::io::{Read, Write};
    /// More than that no answer says of interest.
    const MOST: u64 = 1 << 20;
    let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// What instances write to their own disk can be measured only where the engine keeps it in a folder.
fn overlay(config: &Config) -> Finding {
    let answer = ask_docker(&config.docker.socket, "/info").unwrap_or_default();
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    let info: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    match info["Driver"].as_str() {
        Some("overlay2") => good("storage", "overlay2"),
        Some(driver) => bad(
            "storage",
            format!("Docker keeps files by `{driver}`: what instances write to their own disk is not limited"),
            "set \"storage-driver\": \"overlay2\" in /etc/docker/daemon.json; images and containers are made anew",
        ),
        None => bad("storage", "Docker does not say how it keeps files", "mend the line above first"),
    }
}

/// Asks the engine itself: one that hangs still takes connections.
fn docker(config: &Config) -> Finding {
    let socket = &config.docker.socket;
    match ask_docker(socket, "/_ping").map(|answer| answer.lines().next().unwrap_or_default().to_owned()) {
        Ok(line) if line.contains(" 200 ") => good("docker", format!("answers on {}", socket.display())),
        Ok(line) => bad("docker", format!("{}: {line}", socket.display()), "systemctl restart docker; running apps are started again"),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            let seen = format!("{}: takes connections and does not answer", socket.display());
            bad("docker", seen, "systemctl restart docker; running apps are started again")
        }
        Err(error) => bad("docker", format!("{}: {error}", socket.display()), "systemctl start docker, or apt-get install docker.io"),
    }
}

fn disk(config: &Config) -> Finding {
    /// Below this, builds and logs soon fail.
    const LEAST: u64 = 5_000_000_000;
    let mut path = config.platform.data_dir.as_path();
    while !path.exists() {
        let Some(parent) = path.parent() else { break };
        path = parent;
    }
    match rustix::fs::statvfs(path) {
        Ok(stat) => {
            let free = stat.f_bavail * stat.f_frsize;
            let seen = format!("{} free at {}", model::push_output::size(free), path.display());
            if free < LEAST { bad("disk", seen, "free some space: docker system df, docker image prune") } else { good("disk", seen) }
        }
        Err(error) => bad("disk", error.to_string(), "is the data directory there?"),
    }
}
