//! How far long steps are: bars on a real terminal, plain lines anywhere else.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use tests::Platform;

/// Columns of the terminal.
const COLUMNS: usize = 100;
/// What a bar is drawn after.
const REDRAW: &str = "\r\u{1b}[K";

/// Gives a shell line a terminal of its own and returns what that was told to show.
fn on_a_terminal(platform: Option<&Platform>, line: &str) -> Result<String> {
    let line = format!("stty cols {COLUMNS} -onlcr; {line}");
    let mut command = platform.map_or_else(|| Command::new("script"), |platform| platform.command("script"));
    let output = command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").env("SHELL", "/bin/bash").stdin(Stdio::null()).output()?;
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{line}: {shown}");
    Ok(shown)
}

fn bars<'a>(shown: &'a str, what: &str) -> Vec<&'a str> {
    let drawn = shown.split(REDRAW).skip(1).filter_map(|piece| piece.lines().next());
    drawn.filter(|line| line.starts_with(&format!("       {what}  [")) && line.contains('%')).collect()
}

fn is_plain(shown: &str) {
    assert!(!shown.contains(['\r', '\u{1b}']), "a log can not return to the beginning of a line: {shown:?}");
}

/// A registry without the layer: it is pushed, and how large it is is known.
#[test]
fn boot_draws_a_bar_on_a_terminal() -> Result<()> {
    let platform = Platform::start()?;
    let boot = platform.command_of_slipway(&["boot", "procfile"])?;
    let shown = on_a_terminal(Some(&platform), &format!("{} boot procfile", Path::new(boot.get_program()).display()))?;
    let bars = bars(&shown, "storing");
    assert!(!bars.is_empty(), "no bar: {shown:?}");
    for bar in &bars {
        assert!(bar.chars().count() < COLUMNS && bar.contains("MB"), "{bar:?}");
    }
    assert!(bars.last().is_some_and(|bar| bar.contains("]  100%")), "{bars:#?}");
    let last = shown.lines().last().context("a last line")?;
    assert!(last.starts_with("       layers are ready after"), "something is left of a bar: {last:?}");
    Ok(())
}

#[test]
fn boot_writes_lines_into_a_pipe() -> Result<()> {
    let platform = Platform::start()?;
    let said = platform.slipway(&["boot", "procfile"])?;
    is_plain(&said);
    assert!(said.contains("storing the layer in the registry\n"), "nothing was pushed: {said}");
    assert!(said.lines().last().is_some_and(|last| last.contains("layers are ready after")), "{said}");
    Ok(())
}

/// What apt writes of the fetching and the installing of a package.
const APT: &str = "Need to get 6398 kB of archives.\ndlstatus:4:45.1792:Retrieving file 4 of 12\ndlstatus:12:100.0000:Retrieving file 12 of 12\npmstatus:libc6:amd64:62.5000:Unpacking libc6 (amd64)\nSetting up libc6 ...\n";

fn lib() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/lib.sh")
}

#[test]
fn scripts_draw_the_same_bars() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (apt, log) = (dir.path().join("apt"), dir.path().join("log"));
    std::fs::write(&apt, APT)?;
    let line = format!("source '{}'; apt_progress '{}' <'{}'; detail done", lib().display(), log.display(), apt.display());
    let shown = on_a_terminal(None, &line)?;
    assert_eq!(bars(&shown, "fetching packages").len(), 2, "{shown:?}");
    let half = format!("       installing packages  [{}>{}]   62%  0s", "=".repeat(24), " ".repeat(15));
    assert_eq!(bars(&shown, "installing packages").first().map(|bar| bar.replace("1s", "0s")), Some(half), "{shown:?}");
    assert!(shown.ends_with(&format!("{REDRAW}       done\n")), "something is left of a bar: {shown:?}");
    let words = std::fs::read_to_string(&log)?;
    assert_eq!(words, "Need to get 6398 kB of archives.\nSetting up libc6 ...\n");

    let piped = Command::new("bash").args(["-c", &line]).env("TERM", "xterm").output()?;
    let said = String::from_utf8(piped.stdout)?;
    is_plain(&said);
    assert_eq!(said, "       done\n", "{}", String::from_utf8_lossy(&piped.stderr));
    Ok(())
}
