//! Process types, their counts, and commands to run.

use model::{AppEnv, AppRef, Code, ProcessName, ReleaseNumber, RunSpec, UserError};

use super::target;

/// More instances of one process type than `most`.
pub(crate) fn too_many_instances(process: &ProcessName, count: u32, most: u32) -> UserError {
    UserError::new(Code::BadRequest, format!("{count} instances of `{process}` are too many")).why(format!("At most {most} are allowed."))
}

/// More instances of all process types together than `most`.
pub(crate) fn too_many_instances_in_all(app: &AppEnv, count: u64, most: u32) -> UserError {
    UserError::new(Code::BadRequest, format!("{app} would have {count} instances"))
        .why(format!("At most {most} are allowed, all process types together. Nothing was changed."))
}

/// More process types than `most`, from app.yaml, the Procfile and the template together.
pub(crate) fn too_many_processes(app: &AppEnv, count: usize, most: usize) -> UserError {
    UserError::new(Code::BadManifest, format!("{app} has {count} process types"))
        .why(format!("At most {most} are allowed, those of app.yaml, of the Procfile and of the template together."))
        .next("run several things in one process, or make several apps of them")
}

pub(crate) fn nothing_to_restart(app: &AppEnv) -> UserError {
    UserError::new(Code::NoRelease, format!("{app} has no release to restart")).next(format!("git push paas-{} main", app.env))
}

/// `restart` of an app whose only releases failed.
pub(crate) fn only_failed_releases(app: &AppEnv, failed: ReleaseNumber) -> UserError {
    UserError::new(Code::NoRelease, format!("nothing of {app} runs: {failed} failed, and no release before it was live"))
        .next(format!("slipway releases:retry {}   # tries {failed} again, with the config of now", target(app)))
        .next(format!("slipway logs {}", target(app)))
}

pub(crate) fn nothing_to_run_in(app: &AppEnv) -> UserError {
    UserError::new(Code::NoRelease, format!("{app} has no release to run a command of")).next(format!("git push paas-{} main", app.env))
}

/// A process type that the current release does not have.
pub(crate) fn unknown_process(app: &AppEnv, spec: &RunSpec, process: &ProcessName) -> UserError {
    let known: Vec<String> = spec.processes.keys().map(ToString::to_string).collect();
    UserError::new(Code::BadRequest, format!("{app} has no process type `{process}`")).why(format!("It has {}.", known.join(", ")))
}

/// A process type of app.yaml for which nothing says what to run.
pub(crate) fn process_without_command(process: &ProcessName) -> UserError {
    UserError::new(Code::BadManifest, format!("the process `{process}` has no command"))
        .why("app.yaml names it, and neither app.yaml nor the Procfile nor the template says what to run.")
        .next(format!("add `command:` under `processes: {process}:` in app.yaml"))
}

pub(crate) fn no_process(app: &AppEnv) -> UserError {
    UserError::new(Code::NoProcess, format!("{app} has nothing to run"))
        .why("Neither a Procfile, nor app.yaml, nor the template names a process.")
        .next("echo 'web: <the command that serves on $PORT>' > Procfile && git add Procfile")
}

/// A process that is larger than any host; `largest` is the memory in MiB and the processor time in thousandths of a core.
pub(crate) fn no_host_large_enough(process: &ProcessName, app: &AppEnv, wanted: &model::Resources, largest: (u32, u32)) -> UserError {
    UserError::new(Code::NoCapacity, format!("no host can ever take `{process}` of {app}"))
        .why(format!(
            "It asks for {} MiB of memory and {} cores. The largest host promises {} MiB and {} cores in all.",
            wanted.memory_mb,
            f64::from(wanted.cpu_millis) / 1000.0,
            largest.0,
            f64::from(largest.1) / 1000.0
        ))
        .next(format!("lower `memory` or `cpu` of {process} in app.yaml, commit and push again"))
}

/// An app.yaml whose `app:` is not the app that was pushed to; `remote` is the URL of the app that it names.
pub(crate) fn manifest_of_another_app(named: &model::AppName, app: &AppRef, env: &model::EnvName, remote: &str) -> UserError {
    UserError::new(Code::BadManifest, format!("app.yaml says that this repository is `{named}`, and it was pushed to {app}"))
        .next(format!("git remote set-url paas-{env} {remote}"))
        .next("or take `app:` out of app.yaml")
}

/// An app.yaml that can not be read.
pub(crate) fn bad_manifest(error: String) -> UserError {
    UserError::new(Code::BadManifest, error).why("Nothing was built.").next("slipway validate   # checks it before you push")
}
