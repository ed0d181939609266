//! Apps, their environments and remotes.

use model::{AppEnv, AppName, AppRef, Code, EnvName, Hostname, UserError};

/// No app of that name in any of the user's tenants.
pub(crate) fn unknown_app_name(app: &AppName) -> UserError {
    UserError::new(Code::UnknownApp, format!("there is no app `{app}`")).next("slipway apps")
}

/// A name without a tenant that several tenants have.
pub(crate) fn ambiguous_app(app: &AppName, holders: &[AppRef]) -> UserError {
    let names: Vec<String> = holders.iter().map(ToString::to_string).collect();
    UserError::new(Code::BadRequest, format!("`{app}` is more than one app"))
        .why(format!("It could be {}.", names.join(" or ")))
        .next(format!("say which: {}", names.first().map_or("tenant/app", String::as_str)))
}

/// An app of that name exists.
pub(crate) fn app_exists(app: &AppRef) -> UserError {
    UserError::new(Code::NameTaken, format!("there is an app {app} already")).next(format!("slipway apps:info {app}"))
}

/// What a destroyed app of that name left is not removed yet.
pub(crate) fn cleanup_pending(app: &AppRef) -> UserError {
    UserError::new(Code::InUse, format!("the name {app} is not free yet"))
        .why("An app of that name was destroyed, and its source, images or logs are still being removed. Nothing was made.")
        .next("try again in a minute, or choose another name")
}

/// The host name that the platform gives to an environment belongs to another app.
pub(crate) fn hostname_of_env_taken(hostname: &Hostname, app: &AppEnv) -> UserError {
    UserError::new(Code::NameTaken, format!("the host name {hostname} of {app} is taken"))
        .why("Another app in this tenant has a name that leads to the same host name.")
        .next("choose another name for the app or the environment")
}

/// `apps:destroy` without the app's name repeated.
pub(crate) fn destroy_not_confirmed(app: &AppRef) -> UserError {
    UserError::new(Code::BadRequest, format!("{app} was not destroyed"))
        .why("Everything of it would be gone; its name must be repeated.")
        .next(format!("slipway apps:destroy {app} --confirm {}", app.app))
}

fn missing_app(app: &AppRef) -> UserError {
    UserError::new(Code::UnknownApp, format!("there is no app {app}"))
}

/// An app that does not exist, or that the user may not know of: both read alike.
pub(crate) fn unknown_app(app: &AppRef) -> UserError {
    missing_app(app).why("Or you are not a member of its team.").next("slipway apps")
}

/// The same, for a user who may make the app.
pub(crate) fn unknown_app_to_create(app: &AppRef) -> UserError {
    unknown_app(app).next(format!("slipway apps:create {app}   # makes it"))
}

/// An app in a tenant that does not exist either, for whoever may know all tenants.
pub(crate) fn unknown_app_and_tenant(app: &AppRef) -> UserError {
    missing_app(app).why(format!("There is no tenant `{}` either.", app.tenant)).next("slipway tenants")
}

/// An environment that was never pushed to.
pub(crate) fn unknown_env(app: &AppEnv) -> UserError {
    UserError::new(Code::UnknownApp, format!("{} has no environment `{}`", app.app_ref(), app.env))
        .why("An environment is made by the first push to it.")
        .next(format!("git push paas-{} main", app.env))
}

fn set_remote(ssh: &str, path: &str, env: &EnvName) -> String {
    format!("git remote set-url paas-{env} {ssh}/{path}")
}

/// A remote path of two names whose first is a tenant; `meant` is the app that it would be read as.
pub(crate) fn remote_without_env(app: &AppName, env: &EnvName, meant: Option<&AppRef>, ssh: &str) -> UserError {
    let dev = EnvName::dev();
    let user_error = UserError::new(Code::BadRequest, format!("`{app}/{env}` leaves out the environment"))
        .why(format!("`{app}` is a tenant, so its app `{env}` needs one: {app}/{env}/{dev}. Nothing was made or changed."))
        .next(set_remote(ssh, &format!("{app}/{env}/{dev}"), &dev));
    match meant {
        Some(app) => {
            let path = app.in_env(env.clone()).to_string();
            user_error.next(format!("{}   # when the app {app} is meant", set_remote(ssh, &path, env)))
        }
        None => user_error,
    }
}

/// A remote path of two names whose app does not exist: only a path with its tenant makes one.
pub(crate) fn remote_of_no_app(app: &AppName, env: &EnvName, meant: Option<&AppRef>, ssh: &str) -> UserError {
    let why = "A path of two names is APP/ENVIRONMENT of an app that is there. With the tenant before it, a push makes the app. Nothing was made.";
    let user_error = UserError::new(Code::UnknownApp, format!("there is no app `{app}` to have an environment `{env}`")).why(why);
    match meant {
        Some(app) => user_error.next(set_remote(ssh, &app.in_env(env.clone()).to_string(), env)),
        None => user_error.next("slipway apps"),
    }
}
