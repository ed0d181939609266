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

/// The crates of ours whose sources are looked at.
fn our_crates() -> impl Iterator<Item = &'static str> {
    MAY_USE.iter().map(|(name, _)| *name).chain(["slipway"])
}

/// What of a file is shipped: the text before its tests, without comments.
fn shipped(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path)?;
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    Ok(text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n"))
}

#[test]
fn the_engine_is_known_to_one_file_per_crate() -> Result<()> {
    for (name, file) in [("buildstep", "buildstep/src/engine.rs"), ("slugrunner", "slugrunner/src/docker.rs")] {
        let mut files = Vec::new();
        rust_files(&root().join(name).join("src"), &mut files)?;
        for path in files {
            let knows = shipped(&path)?.contains("bollard::") && !path.ends_with(file);
            assert!(!knows, "{} names bollard; only {file} may", path.display());
        }
    }
    Ok(())
}

/// Files whose functions are pure: values in, values out.
const PURE: &[&str] = &[
    "scheduler/src/reconcile.rs",
    "scheduler/src/plan.rs",
    "scheduler/src/feasible.rs",
    "scheduler/src/score.rs",
    "scheduler/src/evaluate.rs",
    "scheduler/src/rollout.rs",
    "slugrunner/src/plan.rs",
    "slugrunner/src/disk.rs",
    "router/src/routing/table.rs",
    "router/src/routing/trace.rs",
    "router/src/hold/admission.rs",
    "router/src/upstream/load_balancer.rs",
    "router/src/upstream/retry.rs",
    "router/src/downstream/request_head.rs",
    "manager/src/authorize.rs",
    "manager/src/env_state.rs",
    "manager/src/rollout/status.rs",
    "gitreceive/src/git/refs.rs",
    "gitreceive/src/ssh/session.rs",
];

#[test]
fn pure_cores_stay_pure() -> Result<()> {
    let mut files: Vec<PathBuf> = PURE.iter().map(|file| root().join(file)).collect();
    rust_files(&root().join("model/src"), &mut files)?;
    for path in files {
        let text = shipped(&path).with_context(|| format!("{} is not there: the list of pure files is out of date", path.display()))?;
        for word in [
            "async fn",
            ".await",
            "tokio::",
            "Instant::now",
            "Utc::now",
            "SystemTime::now",
            "std::fs::",
            "fastrand::Rng::new",
            "random::bytes",
        ] {
            assert!(!text.contains(word), "{} holds `{word}`: it must be pure", path.display());
        }
    }
    Ok(())
}

/// Every path that begins with `crate::` in a text, braces of `use` unfolded.
fn crate_paths(text: &str) -> Vec<Vec<String>> {
    fn unfold(prefix: &[String], rest: &str, found: &mut Vec<Vec<String>>) {
        let rest = rest.trim();
        if let Some(inner) = rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            let (mut depth, mut from) = (0, 0);
            for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        unfold(prefix, &inner[from..at], found);
                        from = at + 1;
                    }
                    _ => {}
                }
            }
            return;
        }
        match rest.split_once("::") {
            Some((head, tail)) => unfold(&[prefix, &[head.trim().to_owned()]].concat(), tail, found),
            None => found.push([prefix, &[rest.split_whitespace().next().unwrap_or_default().to_owned()]].concat()),
        }
    }
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let is_use = text[..at].rfind(['\n', ';']).is_none_or(|line| text[line + 1..at].trim_start().contains("use "));
        let end = match is_use {
            true => rest.find(';').unwrap_or(rest.len()),
            false => rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len()),
        };
        unfold(&[], &rest[..end], &mut found);
    }
    found
}

#[test]
fn no_files_import_each_other_in_a_circle() -> Result<()> {
    for name in our_crates() {
        let src = root().join(name).join("src");
        let mut files = Vec::new();
        rust_files(&src, &mut files)?;
        let module = |path: &Path| -> Vec<String> {
            let inside = path.strip_prefix(&src).expect("below").with_extension("");
            inside.iter().map(|part| part.to_string_lossy().into_owned()).collect()
        };
        let modules: Vec<(Vec<String>, PathBuf)> = files.into_iter().map(|path| (module(&path), path)).collect();
        let mut edges: Vec<BTreeSet<usize>> = Vec::new();
        for (own, path) in &modules {
            let mut to = BTreeSet::new();
            // A sibling is named from the parent as often as from the root.
            let parents = |up: usize| own[..own.len().saturating_sub(up)].iter().map(|part| format!("{part}::")).collect::<String>();
            let text = shipped(path)?.replace("super::super::", &format!("crate::{}", parents(2)));
            let text = text.replace("super::", &format!("crate::{}", parents(1)));
            for wanted in crate_paths(&text) {
                // The deepest file whose module the path goes through; the root of a crate holds what all of it shares.
                let target = (1..=wanted.len()).rev().find_map(|len| modules.iter().position(|(there, _)| there[..] == wanted[..len]));
                to.extend(target.filter(|target| modules[*target].0 != *own));
            }
            edges.push(to);
        }
        // A file is in a circle when it can be reached from itself.
        for start in 0..modules.len() {
            let (mut seen, mut todo) = (BTreeSet::new(), vec![start]);
            while let Some(at) = todo.pop() {
                for next in &edges[at] {
                    assert!(
                        *next != start,
                        "{} and {} import each other, directly or by others",
                        modules[start].1.display(),
                        modules[at].1.display()
                    );
                    if seen.insert(*next) {
                        todo.push(*next);
                    }
                }
            }
        }
    }
    Ok(())
}

#[test]
fn paths_of_a_crate_are_unfolded() {
    let text = "use crate::a::{self, b::{C, D}, e};\nfn x() -> crate::f::G { crate::h::i() }";
    let found: Vec<String> = crate_paths(text).iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["a::self", "a::b::C", "a::b::D", "a::e", "f::G", "h::i"]);
}
