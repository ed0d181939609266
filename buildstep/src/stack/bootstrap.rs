//! The base of the stack out of the distribution's own packages: debootstrap, a little tidying, a tar.
//!
//! Runs on the builder's machine as root. Leaves nothing behind but the stream that it gives.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use model::Meter;

use crate::progress::{Progress, ProgressEvent};
use crate::stack::apt_progress::{AptLine, AptProgress};
use crate::stack::apt_sources::AptMirror;
use crate::stack::recipe::{BASE_PACKAGES, DPKG_RULES, SUITE, UID};

use crate::stack::debootstrap_output::{DebootstrapLine, DebootstrapOutput};

/// Why the base could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// A program is not installed.
    #[error("`{0}` is not installed")]
    Missing(&'static str),
    /// A program failed.
    #[error("`{program}` failed: {last}")]
    Failed {
        /// The program's name.
        program: &'static str,
        /// The last lines of its output.
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
apt-get dist-upgrade -y -q --no-install-recommends -o APT::Status-Fd=3 3>&1
groupadd --gid UID app
useradd --uid UID --gid UID --home-dir /app --no-create-home --shell /bin/bash app
mkdir -p /app /cache
chown UID:UID /app /cache
chmod 775 /app /cache
chgrp UID /etc/passwd
chmod 664 /etc/passwd
find /usr/share/doc -mindepth 2 -not -name copyright -not -type d -delete
rm -rf /usr/share/man/* /usr/share/info/* /usr/share/lintian/* /usr/share/locale/*
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/cache/ldconfig/aux-cache /var/log/* /var/lib/dpkg/*-old /etc/.pwd.lock /tmp/*
rm -f /etc/resolv.conf /etc/hostname
: > /etc/machine-id
"#;

/// Makes the system below `root`, which must be empty, telling each step to `progress`.
pub async fn make(root: &Path, mirror: &AptMirror, progress: Progress<'_>) -> Result<(), BootstrapError> {
    progress(ProgressEvent::Line(&format!("fetching packages from {}", mirror.archive)));
    // Only as the installer's helper does debootstrap say how far it is, on a third descriptor that a shell must open.
    let mut debootstrap = Command::new("sh");
    debootstrap.args(["-c", r#"exec "$@" 3>&1"#, "sh", "debootstrap", "--debian-installer", "--variant=minbase"]);
    debootstrap.arg(format!("--include={}", BASE_PACKAGES.join(","))).arg(SUITE).arg(root).arg(&mirror.archive);
    let mut output = DebootstrapOutput::default();
    run("debootstrap", debootstrap, &mut |line, last| match output.read_line(line) {
        DebootstrapLine::Meter(meter) => progress(ProgressEvent::Meter(&meter)),
        DebootstrapLine::Error(why) => *last = vec![why],
        DebootstrapLine::Nothing => {}
        DebootstrapLine::Text => keep(last, line),
    })
    .await?;
    std::fs::write(root.join("etc/dpkg/dpkg.cfg.d/slipway"), DPKG_RULES)?;
    std::fs::write(root.join("etc/apt/sources.list"), mirror.source_list(SUITE))?;
    std::fs::write(root.join("etc/apt/apt.conf.d/80slipway"), mirror.settings.join("\n") + "\n")?;
    progress(ProgressEvent::Line("bringing it up to date"));
    let mut chroot = Command::new("chroot");
    chroot.arg(root).args(["/bin/sh", "-c", &PREPARE.replace("UID", &UID.to_string())]);
    chroot.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LANG", "C.UTF-8");
    let mut apt = AptProgress::default();
    let told = |meter: Option<Meter>| meter.iter().for_each(|meter| progress(ProgressEvent::Meter(meter)));
    run("chroot", chroot, &mut |line, last| match apt.read_line(line) {
        AptLine::Status(meter) => told(meter),
        AptLine::Text => keep(last, line),
    })
    .await
}

/// Last lines that are kept for the case of a failure.
const WORDS: usize = 5;

fn keep(last: &mut Vec<String>, line: &str) {
    last.push(line.to_owned());
    if last.len() > WORDS {
        last.remove(0);
    }
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

/// Runs a program to its end. Each line goes to `heard`, which keeps those that matter when it fails.
async fn run(
    program: &'static str,
    mut command: Command,
    heard: &mut (dyn FnMut(&str, &mut Vec<String>) + Send),
) -> Result<(), BootstrapError> {
    /// What a shell ends with when there is no such program.
    const NOT_FOUND: i32 = 127;
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
            heard(&line, &mut last);
        }
    }
    match child.wait().await?.code() {
        Some(0) => Ok(()),
        Some(NOT_FOUND) if program == "debootstrap" => Err(BootstrapError::Missing(program)),
        _ => Err(BootstrapError::Failed { program, last: last.join(" / ") }),
    }
}

fn missing(program: &'static str, error: std::io::Error) -> BootstrapError {
    if error.kind() == std::io::ErrorKind::NotFound { BootstrapError::Missing(program) } else { error.into() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use super::*;

    /// As root, from the mirror of this machine, as the first `boot` does it.
    #[tokio::test]
    async fn the_base_is_measured_while_it_is_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("root");
        let told: Mutex<BTreeMap<String, Vec<Meter>>> = Mutex::default();
        let progress = |news: ProgressEvent<'_>| {
            if let ProgressEvent::Meter(meter) = news {
                told.lock().expect("no panic before").entry(meter.what.clone()).or_default().push(meter.clone());
            }
        };
        make(&root, &AptMirror::of_host().await, &progress).await.expect("a base");
        assert!(root.join("bin/sh").exists());
        let told = told.lock().expect("no panic before");
        for what in ["fetching packages", "extracting packages", "unpacking packages", "configuring packages"] {
            let meters = told.get(what).unwrap_or_else(|| panic!("{what} was not measured: {:?}", told.keys()));
            assert!(meters.len() > 10 && meters.iter().any(|meter| meter.total > 10 && meter.done >= meter.total), "{what}: {meters:?}");
            assert!(meters.iter().all(|meter| meter.done <= meter.total), "{what} passes its end");
        }
        assert!(told["fetching packages"].iter().any(|meter| meter.total > 20_000_000), "bytes are not bytes");
    }

    #[tokio::test]
    async fn a_mirror_that_has_nothing_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let mirror = AptMirror { archive: "http://127.0.0.1:9/debian".into(), security: None, settings: Vec::new() };
        let error = make(&folder.path().join("root"), &mirror, &|_| {}).await.expect_err("there is nobody");
        let told = error.to_string();
        assert!(told.starts_with("`debootstrap` failed: ") && told.contains("http://127.0.0.1:9/debian"), "{told}");
    }
}
