//! The base of the stack out of the distribution's own packages: debootstrap, a little tidying, a tar.
//!
//! Runs on the builder's machine as root. Leaves nothing behind but the stream that it gives.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::apt::Mirror;
use crate::stack::{BASE_PACKAGES, DPKG_RULES, SUITE, UID};

/// Why the base could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// A program is not installed.
    #[error("`{0}` is not installed")]
    Missing(&'static str),
    /// A program failed.
    #[error("`{program}` failed: {last}")]
    Failed {
        /// Which.
        program: &'static str,
        /// Its last words.
        last: String,
    },
    /// A file could not be read or written.
    #[error("could not prepare the base")]
    Io(#[from] std::io::Error),
}

/// Run inside the new system.
const PREPARE: &str = r#"set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq -o Acquire::Languages=none
apt-get dist-upgrade -y -qq --no-install-recommends
groupadd --gid UID app
useradd --uid UID --gid UID --home-dir /app --no-create-home --shell /bin/bash app
mkdir -p /app /cache
chown UID:UID /app /cache
find /usr/share/doc -mindepth 2 -not -name copyright -not -type d -delete
rm -rf /usr/share/man/* /usr/share/info/* /usr/share/lintian/* /usr/share/locale/*
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/cache/ldconfig/aux-cache /var/log/* /var/lib/dpkg/*-old /etc/.pwd.lock /tmp/*
rm -f /etc/resolv.conf /etc/hostname
: > /etc/machine-id
"#;

/// Makes the system below `root`, which must be empty, telling each step to `progress`.
pub async fn make(root: &Path, mirror: &Mirror, progress: &(dyn Fn(&str) + Send + Sync)) -> Result<(), BootstrapError> {
    progress(&format!("fetching packages from {}", mirror.archive));
    let include = format!("--include={}", BASE_PACKAGES.join(","));
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", &include, SUITE]).arg(root).arg(&mirror.archive);
    let shown = |line: &str| match line.strip_prefix("I: ") {
        Some(line)
            if line.starts_with("Retrieving Release")
                || line.starts_with("Unpacking the base")
                || line.starts_with("Configuring required") =>
        {
            progress(line.trim_end_matches("..."));
        }
        _ => {}
    };
    run("debootstrap", debootstrap, &shown).await?;
    std::fs::write(root.join("etc/dpkg/dpkg.cfg.d/slipway"), DPKG_RULES)?;
    std::fs::write(root.join("etc/apt/sources.list"), mirror.source_list(SUITE))?;
    std::fs::write(root.join("etc/apt/apt.conf.d/80slipway"), mirror.settings.join("\n") + "\n")?;
    progress("bringing it up to date");
    let mut chroot = Command::new("chroot");
    chroot.arg(root).args(["/bin/sh", "-c", &PREPARE.replace("UID", &UID.to_string())]);
    chroot.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LANG", "C.UTF-8");
    run("chroot", chroot, &|_| {}).await
}

/// Starts a tar of the system: entries in order, times and owners fixed as far as they do not matter.
pub fn tar(root: &Path) -> Result<Child, BootstrapError> {
    let mut tar = Command::new("tar");
    tar.args([
        "--create",
        "--sort=name",
        "--mtime=@315532800",
        "--numeric-owner",
        "--one-file-system",
        "--exclude=./proc/*",
        "--exclude=./sys/*",
        "--exclude=./dev/*",
        "--directory",
    ]);
    tar.arg(root).arg(".").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    tar.spawn().map_err(|error| missing("tar", error))
}

async fn run(program: &'static str, mut command: Command, shown: &(dyn Fn(&str) + Send + Sync)) -> Result<(), BootstrapError> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| missing(program, error))?;
    let mut last = Vec::new();
    let mut out = BufReader::new(child.stdout.take().expect("it was piped")).lines();
    let mut err = BufReader::new(child.stderr.take().expect("it was piped")).lines();
    let (mut out_open, mut err_open) = (true, true);
    while out_open || err_open {
        let line = tokio::select! {
            line = out.next_line(), if out_open => { let line = line?; out_open = line.is_some(); line }
            line = err.next_line(), if err_open => { let line = line?; err_open = line.is_some(); line }
        };
        if let Some(line) = line {
            shown(&line);
            last.push(line);
            if last.len() > 5 {
                last.remove(0);
            }
        }
    }
    if child.wait().await?.success() { Ok(()) } else { Err(BootstrapError::Failed { program, last: last.join(" / ") }) }
}

fn missing(program: &'static str, error: std::io::Error) -> BootstrapError {
    if error.kind() == std::io::ErrorKind::NotFound { BootstrapError::Missing(program) } else { error.into() }
}
