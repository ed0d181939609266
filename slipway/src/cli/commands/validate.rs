//! `slipway validate`: app.yaml and Procfile, offline.

use std::path::Path;

use model::{Code, Manifest, Trouble, procfile};

use crate::cli::output::Output;

/// Checks a folder; says what it found.
pub fn run(output: &Output, dir: &Path) -> Result<(), Trouble> {
    let read = |name: &str| match std::fs::read_to_string(dir.join(name)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Trouble::new(Code::BadManifest, format!("could not read {}: {error}", dir.join(name).display()))),
    };
    let manifest = match read("app.yaml")? {
        Some(text) => Some(Manifest::parse(&text).map_err(|error| Trouble::new(Code::BadManifest, error.to_string()))?),
        None => None,
    };
    let root = match manifest.as_ref().and_then(|manifest| manifest.root.clone()) {
        Some(root) => format!("{root}/"),
        None => String::new(),
    };
    let processes = match read(&format!("{root}Procfile"))? {
        Some(text) => Some(procfile::parse(&text).map_err(|error| Trouble::new(Code::BadManifest, error.to_string()))?),
        None => None,
    };
    output.answer(&serde_json::json!({ "manifest": manifest, "procfile": processes }), |output| {
        match &manifest {
            Some(manifest) => {
                let names: Vec<&str> = manifest.processes.keys().map(|name| name.as_str()).collect();
                let names = if names.is_empty() { "no processes of its own".to_owned() } else { names.join(", ") };
                output.line(format!("app.yaml   ok: {names}"));
            }
            None => output.line("app.yaml   none (it is optional): slipway init writes one"),
        }
        match &processes {
            Some(processes) => {
                let names: Vec<&str> = processes.keys().map(|name| name.as_str()).collect();
                output.line(format!("Procfile   ok: {}", names.join(", ")));
            }
            None => output.line("Procfile   none (it is optional)"),
        }
    });
    Ok(())
}
