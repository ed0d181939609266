//! What users read when a build fails: one function per failure, all words in one place.

use std::time::Duration;

use model::procfile::ProcfileError;
use model::push_output;
use model::{AppRef, Code, TemplateName, UserError};

use crate::engine::EngineError;
use crate::registry::RegistryError;
use crate::sandbox::limits::{LimitHit, Limits};
use crate::slug::layer::SlugError;
use crate::stack::layers::LayerError;
use crate::stack::recipe::TITLE;
use crate::template::catalog::Catalog;
use crate::template::definition::ToolSpec;
use crate::template::detect::Hints;
use crate::template::pins::Pin;
use crate::template::version::Version;

fn failed(app: &AppRef) -> String {
    format!("the build of {app} failed")
}

/// No template fits: what was looked for, what is there, what may have been meant.
pub fn no_template(app: &AppRef, hints: &Hints, root: Option<&str>) -> UserError {
    let place = root.map_or("the top of the repository".to_owned(), |root| format!("`{root}/`"));
    let mut user_error = UserError::new(Code::NoTemplate, format!("no template fits the source of {app}"))
        .why(format!("A template is chosen by the files at {place}. These were looked for:"));
    for (title, names) in &hints.looked_for {
        user_error = user_error.evidence(format!("{title}: {}", names.join(", ")));
    }
    user_error = user_error.evidence(if hints.listing.is_empty() {
        format!("{place} is empty")
    } else {
        format!("{place} has: {}", hints.listing.join("  "))
    });
    for (name, meant) in &hints.misspelt {
        user_error = user_error.evidence(format!("`{name}` is there; was `{meant}` meant?"));
    }
    if let Some((name, meant)) = hints.misspelt.first() {
        user_error = user_error.next(format!("git mv {} {meant}, if that is what it holds; then commit and push again", quoted(name)));
    }
    for (folder, template) in &hints.folders {
        user_error = user_error.next(format!("the {template} app in `{folder}/` is built with `root: {folder}` in app.yaml"));
    }
    user_error
        .next("git ls-files shows what is committed: a file that git ignores is not pushed")
        .next("or name a template in app.yaml: `template: python`; or bring your own build: a Procfile and an executable bin/build")
}

/// app.yaml names a template that is not there.
pub fn unknown_template(name: &TemplateName, catalog: &Catalog) -> UserError {
    let known: Vec<&str> = catalog.iter().map(|template| template.name().as_str()).collect();
    let user_error = UserError::new(Code::NoTemplate, format!("app.yaml asks for the template `{name}`, which is not there"))
        .why(format!("Known are: {}.", known.join(", ")));
    match catalog.nearest(name.as_str()) {
        Some(near) => user_error.next(format!("write `template: {near}` in app.yaml, commit and push again")),
        None => user_error.next("write one of them in app.yaml, or take the line out to have it detected; commit and push again"),
    }
}

/// app.yaml names a folder that is not there.
pub fn no_such_root(root: &str, folders: &[String]) -> UserError {
    UserError::new(Code::BadManifest, format!("app.yaml says `root: {root}`, and there is no such folder"))
        .evidence(format!("folders: {}", if folders.is_empty() { "none".to_owned() } else { folders.join("  ") }))
        .next("correct `root` in app.yaml, or take it out; commit and push again")
}

/// A wanted version is not there.
pub fn version_unavailable(tool: &ToolSpec, pin: &Pin, available: &[Version]) -> UserError {
    let have: Vec<String> = available.iter().map(ToString::to_string).collect();
    UserError::new(Code::VersionUnavailable, format!("{} {} is not available", tool.title, pin.text))
        .why(format!("{} asks for it. The stack ({TITLE}) has {} {}.", pin.file, tool.title, have.join(", ")))
        .next(format!("allow {} in {}, commit and push again", have.first().map_or("another version", String::as_str), pin.file))
}

/// The stack lacks a tool.
pub fn tool_missing(tool: &ToolSpec) -> UserError {
    UserError::new(Code::StackUnavailable, format!("the stack has no {}", tool.title))
        .why("Its layer was made without it. This is a fault of the platform's set-up, not of your app.")
        .next("tell the operator of this platform; `slipway boot` makes the layers")
}

/// A limit ended the build.
pub fn limit(app: &AppRef, hit: LimitHit, limits: &Limits, last: Vec<String>) -> UserError {
    let (code, why, next) = match hit {
        LimitHit::Memory => (
            Code::BuildMemory,
            format!("It used more than its {} MiB of memory.", limits.memory >> 20),
            "build with fewer workers at a time (such as `NODE_OPTIONS=--max-old-space-size=1024`, `GOFLAGS=-p=1`), or raise what sets the limit: `build: {memory: …}` in app.yaml, else the operator's `builds.memory_mb`",
        ),
        LimitHit::Time => (
            Code::BuildTime,
            format!("It did not end within {}.", minutes(limits.time)),
            "see in the output above what it waited for; a build must end by itself and must not start the app",
        ),
        LimitHit::Processes => (
            Code::BuildProcesses,
            format!("It had more than {} processes and threads at a time.", limits.pids),
            "build with fewer workers at a time, such as `make -j2`",
        ),
        LimitHit::Disk => (
            Code::BuildDisk,
            format!("It wrote more than {} MiB or {} files, its cache included.", limits.disk >> 20, limits.files),
            "write less in the build; its cache was trimmed, so that a push of a mended build starts afresh",
        ),
    };
    UserError::new(code, failed(app)).why(why).evidence_lines(last).next(next)
}

fn minutes(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds / 60),
    }
}

/// The script ended with a failure.
pub fn script_failed(app: &AppRef, code: i64, last: Vec<String>) -> UserError {
    let how = match code {
        126 | 127 => format!("A command of the build could not be found or run (exit code {code})."),
        137 => "The build was killed (exit code 137).".to_owned(),
        _ => format!("The build script ended with exit code {code}."),
    };
    UserError::new(Code::BuildFailed, failed(app))
        .why(format!("{how} The last lines it printed:"))
        .evidence_lines(last)
        .next("mend what the last lines name, commit and push again")
}

/// The build was cancelled by a user or by a newer push.
pub fn cancelled(app: &AppRef) -> UserError {
    UserError::new(Code::Cancelled, format!("the build of {app} was cancelled")).next("push again to build again")
}

/// The Procfile can not be read.
pub fn bad_procfile(error: &ProcfileError) -> UserError {
    UserError::new(Code::BadManifest, "Procfile can not be read")
        .why(format!("{error}."))
        .next("write one `type: command` per line, such as `web: bin/server`; commit and push again")
}

/// A slug with nothing to run.
pub fn no_process(app: &AppRef, advice: Option<&str>) -> UserError {
    UserError::new(Code::NoProcess, format!("{app} was built, but nothing says how to run it"))
        .why("There is no Procfile, no command in app.yaml, and none follows from the source.")
        .next(advice.unwrap_or("add a file named Procfile with a line such as `web: bin/server`, commit it and push again"))
}

/// A slug or a source that is too large.
pub fn too_large(app: &AppRef, limit: u64, largest: &[(String, u64)]) -> UserError {
    let names = largest.iter().map(|(name, size)| format!("{:>9}  {name}", push_output::size(*size)));
    UserError::new(Code::SlugTooLarge, format!("the slug of {app} is too large"))
        .why(format!("It is over {}. The largest parts:", push_output::size(limit)))
        .evidence_lines(names)
        .next("let the build remove what the app does not need at run time (or name source files in .slugignore), commit and push again")
}

/// The source is too large.
pub fn source_too_large(app: &AppRef, limit: u64) -> UserError {
    UserError::new(Code::PushTooLarge, format!("the source of {app} is too large"))
        .why(format!("Its files are over {} together.", push_output::size(limit)))
        .next("keep large data out of the repository; commit and push again")
}

/// Turns a failure while making the slug into words; the rest is the platform's.
pub fn slug(app: &AppRef, build: &str, error: SlugError) -> UserError {
    match error {
        SlugError::TooLarge { limit, largest } => too_large(app, limit, &largest),
        SlugError::TooMany(limit) => UserError::new(Code::SlugTooLarge, format!("the slug of {app} has too many files"))
            .why(format!("It has more than {limit} files and folders."))
            .next(
                "let the build remove what the app does not need at run time (or name source files in .slugignore), commit and push again",
            ),
        SlugError::Broken(error) => {
            log(build, &error);
            UserError::new(Code::BuildFailed, failed(app))
                .why("Its slug can not be read: something in the build wrote to the standard output of the container.")
                .next("let the build write to its own standard output, commit and push again")
        }
        SlugError::Io(error) => io(build, error),
    }
}

/// The engine failed: down, full, or a fault of the platform.
pub fn engine(build: &str, error: &EngineError) -> UserError {
    if error.is_full() {
        return disk_full();
    }
    log(build, error);
    if error.is_unreachable() {
        return UserError::new(Code::EngineDown, "Docker can not be reached")
            .why("The builder works with the Docker Engine of its host, and that does not answer. Nothing was released.")
            .evidence(error.evidence())
            .next("sudo slipway doctor   # the operator, on the host: what is wrong with Docker")
            .next("push again when Docker answers");
    }
    UserError::internal(build)
}

/// The registry failed: down, full, or a fault of the platform.
pub fn registry(build: &str, error: RegistryError) -> UserError {
    log(build, &error);
    match error {
        RegistryError::Refused { status, .. } if status.as_u16() == 507 => disk_full(),
        RegistryError::Unreachable(_) => UserError::new(Code::RegistryDown, "the registry can not be reached")
            .why("The slug was made, but could not be stored.")
            .next("push again in a while: an unchanged build is quick; the operator finds out more with `slipway doctor`"),
        _ => UserError::internal(build),
    }
}

/// The stack is not there.
pub fn layers(build: &str, error: LayerError) -> UserError {
    match error {
        LayerError::Engine(error) => engine(build, &error),
        LayerError::Registry(error) => registry(build, error),
        LayerError::Io(error) => io(build, error),
        LayerError::Bootstrap(_) | LayerError::Install { .. } => {
            log(build, &error);
            UserError::new(Code::StackUnavailable, "the stack could not be made")
                .why(format!("A layer that builds stand on is missing and could not be made. It is not a fault of your app. The server's log has the cause under `{build}`."))
                .next("push again in a while; the operator runs `slipway boot` to see what is wrong")
        }
    }
}

/// A file of this machine.
pub fn io(build: &str, error: std::io::Error) -> UserError {
    if error.kind() == std::io::ErrorKind::StorageFull || error.to_string().contains("no space left on device") {
        return disk_full();
    }
    // A stream out of the engine breaks as a file does.
    let causes = std::iter::successors(error.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static)), |cause| cause.source());
    if let Some(broken) = causes.filter_map(|cause| cause.downcast_ref::<EngineError>()).next() {
        return engine(build, broken);
    }
    log(build, &error);
    UserError::internal(build)
}

fn disk_full() -> UserError {
    UserError::new(Code::DiskFull, "the disk of the builder is full")
        .why("There is no room for another build. Nothing was released, and what runs keeps running.")
        .next("sudo slipway doctor   # the operator, on the host: where the space is")
        .next("push again when there is room")
}

fn log(build: &str, error: &(dyn std::error::Error + 'static)) {
    tracing::error!(build, error = model::error_chain(error), "build failed for a cause of the platform");
}

/// A file name as a shell takes it.
fn quoted(name: &str) -> String {
    shlex::try_quote(name).unwrap_or(name.into()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::memory::Memory;
    use crate::template::detect::{Detection, detect};

    fn app() -> AppRef {
        "acme/shop/dev".parse::<model::AppEnv>().expect("an app").app_ref()
    }

    #[test]
    fn a_source_without_a_template_is_explained() {
        let catalog = Catalog::builtin().expect("built-in templates");
        let tree = Memory::of(&[("requirments.txt", ""), ("backend/go.mod", ""), ("README.md", "")]);
        let Detection::Nothing(hints) = detect(&catalog, &tree) else { panic!("nothing should fit") };
        let block = no_template(&app(), &hints, None).to_string();
        assert_eq!(
            block,
            "no template fits the source of acme/shop [SW-B101]
A template is chosen by the files at the top of the repository. These were looked for:
  | Go: go.mod
  | Node.js: package.json, Procfile, server.js, app.js, index.js, main.js, server.mjs, index.mjs, src/index.js, src/server.js
  | Procfile with bin/build: Procfile, bin/build
  | Python: requirements.txt, pyproject.toml, Pipfile.lock, poetry.lock, uv.lock, pdm.lock, Pipfile, manage.py, setup.py, environment.yml
  | Static site: Staticfile, index.html, public/index.html, public/
  | the top of the repository has: README.md  backend/  requirments.txt
  | `requirments.txt` is there; was `requirements.txt` meant?
  → git mv requirments.txt requirements.txt, if that is what it holds; then commit and push again
  → the go app in `backend/` is built with `root: backend` in app.yaml
  → git ls-files shows what is committed: a file that git ignores is not pushed
  → or name a template in app.yaml: `template: python`; or bring your own build: a Procfile and an executable bin/build"
        );
    }

    #[test]
    fn a_limit_is_named_with_its_size_and_the_way_out() {
        let block = limit(&app(), LimitHit::Memory, &Limits::default(), vec!["Killed".into()]).to_string();
        assert!(
            block.starts_with("the build of acme/shop failed [SW-B104]\nIt used more than its 2048 MiB of memory.\n  | Killed\n  → "),
            "{block}"
        );
        let block = limit(&app(), LimitHit::Time, &Limits::default(), Vec::new()).to_string();
        assert!(block.contains("[SW-B105]\nIt did not end within 20 minutes."), "{block}");
    }

    #[test]
    fn a_file_name_from_a_repository_can_not_become_a_command() {
        for name in ["a; rm -rf '$HOME'", "two words", "-rf", "plain.txt"] {
            assert_eq!(shlex::split(&quoted(name)), Some(vec![name.to_owned()]), "{}", quoted(name));
        }
        assert_eq!(quoted("requirments.txt"), "requirments.txt");
    }
}
