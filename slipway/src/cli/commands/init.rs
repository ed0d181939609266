//! `slipway init`: a commented app.yaml and the two git remotes. Run again, it changes nothing.

use std::path::Path;
use std::process::Command;

use model::{AppRef, Code, EnvName, Trouble};

use crate::cli::output::Output;
use crate::cli::remotes;

/// What a new app.yaml says.
pub fn template(app: &AppRef) -> String {
    include_str!("app.template.yaml").replace("@APP@", app.app.as_str())
}

/// Writes app.yaml and adds the remotes. `ssh` is the server's address for git: `ssh://paas@host:2222`.
pub fn run(output: &Output, dir: &Path, app: &AppRef, ssh: &str) -> Result<(), Trouble> {
    let failed = |what: &str, error: &dyn std::fmt::Display| Trouble::new(Code::BadRequest, format!("could not {what}: {error}"));
    let path = dir.join("app.yaml");
    if path.exists() {
        output.line("app.yaml         is there already; left as it is");
    } else {
        std::fs::write(&path, template(app)).map_err(|error| failed("write app.yaml", &error))?;
        output.line("app.yaml         written");
    }
    let git = |arguments: &[&str]| Command::new("git").arg("-C").arg(dir).args(arguments).output();
    let inside = git(&["rev-parse", "--git-dir"]).map_err(|error| failed("run git", &error))?;
    if !inside.status.success() {
        let made = git(&["init", "--initial-branch=main"]).map_err(|error| failed("run git", &error))?;
        if !made.status.success() {
            return Err(failed("make a git repository", &String::from_utf8_lossy(&made.stderr).trim()));
        }
        output.line("git repository   made");
    }
    let listed = git(&["remote", "-v"]).map_err(|error| failed("run git", &error))?;
    let known = remotes::parse(&String::from_utf8_lossy(&listed.stdout));
    for env in [EnvName::dev(), EnvName::prod()] {
        let name = format!("paas-{env}");
        let url = format!("{}/{}", ssh.trim_end_matches('/'), app.in_env(env.clone()));
        if known.iter().any(|remote| remote.name == name) {
            output.line(format!("{name:<16} is there already; left as it is"));
            continue;
        }
        let added = git(&["remote", "add", &name, &url]).map_err(|error| failed("run git", &error))?;
        if !added.status.success() {
            return Err(failed(&format!("add the remote {name}"), &String::from_utf8_lossy(&added.stderr).trim()));
        }
        output.line(format!("{name:<16} {url}"));
    }
    output.line("");
    output.line("next: git add app.yaml && git commit -m 'Add app.yaml' && git push paas-dev main");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_init_writes_is_valid_with_and_without_its_comments() {
        let app = AppRef { tenant: "acme".parse().expect("a name"), app: "shop".parse().expect("a name") };
        let text = template(&app);
        assert_eq!(model::Manifest::parse(&text).expect("valid").app.expect("an app").as_str(), "shop");
        let whole: String = text
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .filter(|l| !l.starts_with('#'))
            .collect::<Vec<_>>()
            .join("\n");
        let manifest = model::Manifest::parse(&whole).expect("valid with every hint switched on");
        assert!(!manifest.processes.is_empty() && !manifest.environments.is_empty());
    }
}
