//! Process types of a slug: from its Procfile, else from what its build script named, else from its template; app.yaml on top.
//!
//! Pure.

use std::collections::BTreeMap;

use model::procfile::{self, ProcfileError};
use model::{Manifest, ProcessName};

/// The process types of a slug.
pub fn processes(
    procfile: Option<&str>,
    scripted: Option<&str>,
    template: &BTreeMap<String, String>,
    manifest: &Manifest,
) -> Result<BTreeMap<ProcessName, String>, ProcfileError> {
    let mut found = match (procfile, scripted) {
        (Some(text), _) => procfile::parse(text)?,
        // Names a build script made up from the source are taken as far as they are names.
        (None, Some(text)) => text.lines().filter_map(|line| procfile::parse(line).ok()).flatten().collect(),
        (None, None) => template.iter().filter_map(|(name, command)| Some((ProcessName::new(name).ok()?, command.clone()))).collect(),
    };
    for (name, hints) in &manifest.processes {
        if let Some(command) = &hints.command {
            found.insert(name.clone(), command.clone());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(procfile: Option<&str>, scripted: Option<&str>, manifest: &str) -> Vec<String> {
        let template = [("web".to_owned(), "from the template".to_owned())].into();
        let manifest = Manifest::parse(manifest).expect("app.yaml");
        let found = processes(procfile, scripted, &template, &manifest).expect("processes");
        found.into_iter().map(|(name, command)| format!("{name}={command}")).collect()
    }

    #[test]
    fn the_nearest_to_the_user_wins() {
        assert_eq!(names(None, None, ""), ["web=from the template"]);
        assert_eq!(names(None, Some("web: scripted\n"), ""), ["web=scripted"]);
        assert_eq!(names(Some("web: own\nworker: w"), Some("web: scripted"), ""), ["web=own", "worker=w"]);
        assert_eq!(names(Some("web: own"), None, "processes: { web: { command: best } }"), ["web=best"]);
    }
}
