//! Tidiness as a test: who may know whom, what each file must say, and that docs and code name the same things.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Crates of ours that each crate may use, and crates of others that only some may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("store", &["model"]),
    ("manager", &["model", "store"]),
    ("registry", &["model"]),
    ("gitreceive", &["model", "manager"]),
    ("buildstep", &["model", "manager"]),
    ("slugrunner", &["model", "store"]),
    ("scheduler", &["model", "store"]),
    ("router", &["model", "store"]),
    ("web-ui", &["model", "manager", "store"]),
    ("tests", &[]),
];
const ONLY_IN: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("bollard", &["buildstep", "slugrunner"]),
    ("russh", &["gitreceive"]),
    ("git2", &["gitreceive"]),
    ("tera", &["buildstep", "web-ui"]),
    ("object_store", &["registry"]),
    ("clap", &["slipway"]),
];

#[test]
fn crates_know_only_whom_they_may() -> Result<()> {
    let output =
        Command::new(env!("CARGO")).args(["metadata", "--no-deps", "--format-version=1", "--offline"]).current_dir(root()).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("packages")?;
    let ours: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    for package in packages {
        let name = package["name"].as_str().context("a name")?;
        let dependencies = package["dependencies"].as_array().context("dependencies")?;
        // Tests may start the real neighbour; shipped code may not know it.
        let shipped = dependencies.iter().filter(|dependency| dependency["kind"].as_str() != Some("dev"));
        for dependency in shipped.filter_map(|dependency| dependency["name"].as_str()) {
            if ours.contains(dependency) && name != "slipway" {
                let allowed = MAY_USE.iter().find(|(crate_name, _)| *crate_name == name).map_or(&[][..], |(_, allowed)| allowed);
                assert!(allowed.contains(&dependency), "{name} must not know {dependency}");
            }
            if let Some((_, allowed)) = ONLY_IN.iter().find(|(other, _)| *other == dependency) {
                assert!(allowed.contains(&name), "only {allowed:?} may use {dependency}, not {name}");
            }
        }
    }
    Ok(())
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

#[test]
fn every_file_says_what_it_owns_and_none_is_two() -> Result<()> {
    /// A file beyond this is two nouns.
    const MOST: usize = 500;
    let mut files = Vec::new();
    for (name, _) in MAY_USE.iter().chain(&[("slipway", &[][..])]) {
        rust_files(&root().join(name).join("src"), &mut files)?;
    }
    for path in files {
        let text = std::fs::read_to_string(&path)?;
        assert!(text.starts_with("//!"), "{} has no head that says what it owns", path.display());
        let shipped = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().lines().count();
        assert!(shipped <= MOST, "{} has {shipped} lines; part it", path.display());
    }
    Ok(())
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() -> Result<()> {
    let codes: BTreeSet<String> = {
        let text = std::fs::read_to_string(root().join("model/src/code.rs"))?;
        text.lines().filter_map(|line| line.split_once(" = \"")?.1.strip_suffix("\",").map(str::to_owned)).collect()
    };
    assert!(codes.len() > 50, "the list of codes could not be read");
    let pages: BTreeSet<String> = std::fs::read_dir(root().join("docs/errors"))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".md").map(str::to_owned))
        .collect();
    let missing: Vec<_> = codes.difference(&pages).collect();
    let stale: Vec<_> = pages.difference(&codes).collect();
    assert!(missing.is_empty() && stale.is_empty(), "codes without a page: {missing:?}; pages without a code: {stale:?}");
    Ok(())
}

#[test]
fn nothing_is_left_to_be_done_silently() -> Result<()> {
    let mut files = Vec::new();
    for (name, _) in MAY_USE.iter().filter(|(name, _)| *name != "tests").chain(&[("slipway", &[][..])]) {
        rust_files(&root().join(name).join("src"), &mut files)?;
    }
    for path in files {
        let text = std::fs::read_to_string(&path)?;
        for word in ["todo!(", "unimplemented!(", "FIXME", "XXX", "#[ignore"] {
            assert!(!text.contains(word), "{} holds `{word}`", path.display());
        }
    }
    Ok(())
}
