//! `slipway init`: a commented app.yaml and the two git remotes. Run again, it changes nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use model::{AppName, AppPath, AppRef, Code, EnvName, UserError};
use serde_json::Value;

use crate::cli::client::CallError;
use crate::cli::console::Console;
use crate::cli::context::Context;
use crate::cli::exit;

/// What a new app.yaml says.
pub fn template(app: &AppName) -> String {
    include_str!("app.template.yaml").replace("@APP@", app.as_str())
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> UserError {
    UserError::new(Code::BadRequest, format!("could not {what}: {error}"))
}

fn git(dir: &Path, arguments: &[&str]) -> Result<std::process::Output, UserError> {
    Command::new("git").arg("-C").arg(dir).args(arguments).output().map_err(|error| failed("run git", &error))
}

/// Where the project is: the root of the repository around a folder, or the folder itself.
pub struct Place {
    root: PathBuf,
    here: PathBuf,
    repository: bool,
}

impl Place {
    /// Looks; a repository without files to work on has no place for app.yaml.
    pub fn find(dir: &Path) -> Result<Self, UserError> {
        let inside = git(dir, &["rev-parse", "--is-inside-work-tree"])?;
        if !inside.status.success() {
            return Ok(Self { root: dir.to_owned(), here: dir.to_owned(), repository: false });
        }
        if inside.stdout.trim_ascii() != b"true" {
            return Err(UserError::new(Code::BadRequest, "this folder is git's own: a bare repository, or a `.git` folder")
                .why("It has no files, so there is no place for app.yaml. Nothing was written.")
                .next("git clone <this folder> <a new folder>, and there: slipway init"));
        }
        let root = git(dir, &["rev-parse", "--show-toplevel"])?;
        let text = String::from_utf8_lossy(&root.stdout).trim_end().to_owned();
        Ok(Self { root: PathBuf::from(text), here: dir.to_owned(), repository: true })
    }

    /// A name for the app, after the folder.
    pub fn app_name(&self) -> String {
        let folder = self.root.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        folder.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect::<String>().trim_matches('-').to_owned()
    }

    /// Writes app.yaml, unless there is one.
    pub fn write(&self, output: &Console, app: &AppName) -> Result<(), UserError> {
        let path = self.root.join("app.yaml");
        let elsewhere = self.root.canonicalize().ok() != self.here.canonicalize().ok();
        let place = if elsewhere { format!(" in {}, the root of the repository", self.root.display()) } else { String::new() };
        if path.exists() {
            output.line(format!("app.yaml         is there already{place}; left as it is"));
        } else {
            std::fs::write(&path, template(app)).map_err(|error| failed("write app.yaml", &error))?;
            output.line(format!("app.yaml         written{place}"));
        }
        Ok(())
    }

    /// Adds the remotes. `ssh` is the server's address for git: `ssh://paas@host:2222`.
    pub fn add_remotes(&self, output: &Console, app: &AppRef, ssh: &str) -> Result<(), UserError> {
        if !self.repository {
            let made = git(&self.root, &["init", "--initial-branch=main"])?;
            if !made.status.success() {
                return Err(failed("make a git repository", &String::from_utf8_lossy(&made.stderr).trim()));
            }
            output.line("git repository   made");
        }
        let mut elsewhere = Vec::new();
        for env in [EnvName::dev(), EnvName::prod()] {
            let name = format!("paas-{env}");
            let url = format!("{}/{}", ssh.trim_end_matches('/'), app.in_env(env));
            let there = git(&self.root, &["config", "--get", &format!("remote.{name}.url")])?;
            let there = String::from_utf8_lossy(&there.stdout).trim().to_owned();
            if there.is_empty() {
                let added = git(&self.root, &["remote", "add", &name, &url])?;
                if !added.status.success() {
                    return Err(failed(&format!("add the remote {name}"), &String::from_utf8_lossy(&added.stderr).trim()));
                }
                output.line(format!("{name:<16} {url}"));
            } else if there.trim_end_matches(".git") == url {
                output.line(format!("{name:<16} is there already; left as it is"));
            } else {
                output.line(format!("{name:<16} leads to {there}; left as it is"));
                elsewhere.push(format!("git remote set-url {name} {url}"));
            }
        }
        output.line("");
        if elsewhere.is_empty() {
            output.line("next: git add app.yaml && git commit -m 'Add app.yaml' && git push paas-dev main");
        } else {
            output.line(format!("to let them lead to {app}:"));
            elsewhere.iter().for_each(|step| output.line(format!("  {step}")));
        }
        Ok(())
    }
}

/// Which app is meant by a path: the app, or its name and the tenants that it could be of.
pub enum Meant {
    App(AppRef),
    Of(AppName, Vec<String>),
}

/// Asks the server whose app it is, when the path does not say it.
pub async fn whose(context: &Context, path: &str) -> Result<Meant, CallError> {
    let path: AppPath = path.parse().map_err(|error| UserError::bad_name(&error).next("slipway init my-app   # names the app"))?;
    match context.resolve(&path_text(&path)).await {
        Ok(app) => Ok(Meant::App(app)),
        Err(CallError::UserError(user_error)) if matches!(user_error.code, Code::UnknownApp | Code::BadRequest) => {
            Ok(Meant::Of(path.app, context.client.get("/api/v1/tenants").await?))
        }
        Err(error) => Err(error),
    }
}

fn path_text(path: &AppPath) -> String {
    path.tenant.as_ref().map_or_else(|| path.app.to_string(), |tenant| format!("{tenant}/{}", path.app))
}

/// What to say when an app could be of several tenants, or of none.
pub fn which_tenant(app: &AppName, tenants: &[String]) -> UserError {
    match tenants.first() {
        Some(first) => UserError::new(Code::BadRequest, format!("which tenant? {}", tenants.join(", ")))
            .why("app.yaml is written; the git remotes need the tenant.")
            .next(format!("slipway init {first}/{app}")),
        None => UserError::new(Code::BadRequest, "you are in no tenant yet, so the git remotes can not be made")
            .why("app.yaml is written.")
            .next("ask an owner: slipway members:set <tenant> <team> <you> deployer"),
    }
}

/// `slipway init`: a commented app.yaml and the remotes, in the repository one stands in.
pub async fn run(context: &Context, app: Option<&str>, ssh: Option<&str>) -> Result<u8, CallError> {
    let dir = std::env::current_dir().map_err(|error| UserError::new(Code::BadRequest, error.to_string()))?;
    let place = Place::find(&dir)?;
    let name = app.map_or_else(|| place.app_name(), str::to_owned);
    let app = match whose(context, &name).await? {
        Meant::App(app) => app,
        Meant::Of(app, tenants) => {
            place.write(&context.output, &app)?;
            return Err(which_tenant(&app, &tenants).into());
        }
    };
    let ssh = match ssh {
        Some(ssh) => ssh.to_owned(),
        None => {
            let about: Value = context.client.get("/api/v1/whoami").await?;
            match about["ssh"].as_str() {
                Some(ssh) => ssh.to_owned(),
                None => {
                    return Err(UserError::new(Code::BadRequest, "the server did not say where its git is")
                        .next("slipway init --ssh ssh://paas@host:2222")
                        .into());
                }
            }
        }
    };
    place.write(&context.output, &app.app)?;
    place.add_remotes(&context.output, &app, &ssh)?;
    Ok(exit::OK)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::cli::console::Sink;

    #[derive(Clone, Default)]
    struct Said(Arc<Mutex<String>>);

    impl Sink for Said {
        fn out(&mut self, text: &model::Printable) -> bool {
            self.0.lock().expect("unpoisoned").push_str(text.as_str());
            true
        }
        fn err(&mut self, text: &model::Printable) {
            self.out(text);
        }
    }

    fn app() -> AppRef {
        AppRef { tenant: "acme".parse().expect("a name"), app: "shop".parse().expect("a name") }
    }

    fn init(dir: &Path) -> String {
        let said = Said::default();
        let output = Console::new(Box::new(said.clone()), false);
        let place = Place::find(dir).expect("a place");
        place.write(&output, &app().app).expect("app.yaml");
        place.add_remotes(&output, &app(), "ssh://paas@host:2222").expect("remotes");
        said.0.lock().expect("unpoisoned").clone()
    }

    #[test]
    fn what_init_writes_is_valid_with_and_without_its_comments() {
        let text = template(&app().app);
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

    #[test]
    fn app_yaml_goes_to_the_root_and_twice_is_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let said = init(dir.path());
        assert!(said.contains("git push paas-dev main") && said.contains("git repository   made"), "{said}");
        let below = dir.path().join("deep/er");
        std::fs::create_dir_all(&below).expect("folders");
        std::fs::remove_file(dir.path().join("app.yaml")).expect("app.yaml");
        let said = init(&below);
        assert!(said.contains("the root of the repository") && said.contains("paas-dev         is there already"), "{said}");
        assert!(dir.path().join("app.yaml").exists() && !below.join("app.yaml").exists());
    }

    #[test]
    fn a_remote_that_leads_elsewhere_is_not_pushed_to() {
        let dir = tempfile::tempdir().expect("a directory");
        git(dir.path(), &["init", "-q"]).expect("git");
        git(dir.path(), &["remote", "add", "paas-dev", "https://elsewhere.example/x.git"]).expect("git");
        let said = init(dir.path());
        assert!(!said.contains("git push"), "{said}");
        assert!(said.contains("git remote set-url paas-dev ssh://paas@host:2222/acme/shop/dev"), "{said}");
    }

    #[test]
    fn a_bare_repository_is_refused_and_nothing_is_written() {
        let dir = tempfile::tempdir().expect("a directory");
        git(dir.path(), &["init", "-q", "--bare"]).expect("git");
        let user_error = Place::find(dir.path()).err().expect("a refusal");
        assert!(user_error.what.contains("bare"), "{user_error}");
        assert!(!dir.path().join("app.yaml").exists());
    }

    #[test]
    fn one_of_several_tenants_is_asked_for() {
        let tenants = ["demo", "evil"].map(str::to_owned);
        let user_error = which_tenant(&"odd-dir".parse().expect("a name"), &tenants);
        assert_eq!((user_error.what.as_str(), user_error.next[0].as_str()), ("which tenant? demo, evil", "slipway init demo/odd-dir"));
    }
}
