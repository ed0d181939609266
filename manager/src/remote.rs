//! The path of a git remote, `acme/shop/dev`, and its short form, `shop/dev`, whose tenant the platform fills in.
//!
//! Owns what the short form may mean. Must never make an app out of a path that leaves out something else than the tenant:
//! `acme/shop` reads as an app `acme` in an environment `shop`, and is somebody who forgot the environment.

use model::{AppEnv, AppName, AppPath, AppRef, Code, EnvName, TenantName, UserError};

use crate::identity::Identity;
use crate::{Manager, OrInternal};

/// The environments that every app is made with.
pub(crate) fn first_envs() -> [EnvName; 2] {
    [EnvName::dev(), EnvName::prod()]
}

/// What is known of a short path.
struct Short<'a> {
    app: &'a AppName,
    env: &'a EnvName,
    /// The app that it would stand for, when the tenant is clear.
    stands_for: Option<&'a AppRef>,
    app_is_there: bool,
    env_is_there: bool,
    /// Whether the first name is that of a tenant, too.
    is_tenant: bool,
}

/// Refuses a short path that does not say what it looks like. `ssh` is where git is served.
fn judge(short: &Short<'_>, ssh: &str) -> Result<(), UserError> {
    let Short { app, env, .. } = short;
    let set = |path: String, env: &EnvName| format!("git remote set-url paas-{env} {ssh}/{path}");
    if short.env_is_there {
        return Ok(());
    }
    if short.is_tenant {
        let dev = EnvName::dev();
        let user_error = UserError::new(Code::BadRequest, format!("`{app}/{env}` leaves out the environment"))
            .why(format!("`{app}` is a tenant, so its app `{env}` needs one: {app}/{env}/{dev}. Nothing was made or changed."))
            .next(set(format!("{app}/{env}/{dev}"), &dev));
        return Err(match short.stands_for.filter(|_| short.app_is_there || first_envs().contains(env)) {
            Some(app) => {
                let path = app.in_env((*env).clone()).to_string();
                user_error.next(format!("{}   # when the app {app} is meant", set(path, env)))
            }
            None => user_error,
        });
    }
    if !short.app_is_there && !first_envs().contains(env) {
        let why = "A path of two names is APP/ENVIRONMENT, and makes an app in dev and prod only; with the tenant before it, in any. Nothing was made.";
        let user_error = UserError::new(Code::UnknownApp, format!("there is no app `{app}` to have an environment `{env}`")).why(why);
        return Err(match short.stands_for {
            Some(would) => user_error.next(set(would.in_env((*env).clone()).to_string(), env)),
            None => user_error.next("slipway apps"),
        });
    }
    Ok(())
}

impl Manager {
    /// What the path of a remote stands for. The tenant may be left out when it is clear which, and nothing else.
    pub async fn resolve_remote(
        &self,
        who: &Identity,
        tenant: Option<TenantName>,
        app: AppName,
        env: EnvName,
    ) -> Result<AppEnv, UserError> {
        let is_short = tenant.is_none();
        let path = AppPath { tenant, app, env: Some(env.clone()) };
        let resolved = self.resolve(who, &path).await;
        if is_short && resolved.as_ref().err().is_none_or(|user_error| user_error.code == Code::UnknownApp) {
            let stands_for = resolved.as_ref().ok();
            let (mut app_is_there, mut env_is_there) = (false, false);
            if let Some(app) = stands_for {
                app_is_there = self.records.app(app).await.or_internal()?.is_some();
                env_is_there = self.records.env(&app.in_env(env.clone())).await.or_internal()?.is_some();
            }
            let is_tenant = self.tenants(who).await?.iter().any(|tenant| tenant.as_str() == path.app.as_str());
            let short = Short { app: &path.app, env: &env, stands_for, app_is_there, env_is_there, is_tenant };
            judge(&short, &self.settings.ssh)?;
        }
        Ok(resolved?.in_env(env))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of `path` when its app and environment are there or not, and its first name is a tenant's or not.
    fn said(path: &str, stands_for: Option<&str>, there: (bool, bool), is_tenant: bool) -> Result<(), UserError> {
        let (app, env) = path.split_once('/').expect("two names");
        let (app, env) = (app.parse().expect("a name"), env.parse().expect("a name"));
        let known = stands_for.map(|tenant| AppRef { tenant: tenant.parse().expect("a name"), app: AppName::clone(&app) });
        let (app_is_there, env_is_there) = there;
        judge(&Short { app: &app, env: &env, stands_for: known.as_ref(), app_is_there, env_is_there, is_tenant }, "ssh://paas@host")
    }

    #[test]
    fn what_is_there_or_begins_as_everything_does_passes() {
        assert_eq!(said("shop/dev", Some("acme"), (true, true), false), Ok(()));
        assert_eq!(said("shop/dev", Some("acme"), (true, true), true), Ok(()), "an app that is named as a tenant");
        assert_eq!(said("shop/dev", Some("acme"), (false, false), false), Ok(()));
        assert_eq!(said("shop/prod", Some("acme"), (false, false), false), Ok(()));
        assert_eq!(said("shop/staging", Some("acme"), (true, false), false), Ok(()), "a new environment of an app");
    }

    #[test]
    fn a_tenant_is_no_app() {
        for (stands_for, app_is_there) in [(None, false), (Some("acme"), false), (Some("demo"), false), (Some("acme"), true)] {
            let user_error = said("demo/hello", stands_for, (app_is_there, false), true).expect_err("refused");
            assert_eq!((user_error.code, user_error.what.as_str()), (Code::BadRequest, "`demo/hello` leaves out the environment"));
            assert!(user_error.why.contains("demo/hello/dev"), "{user_error:?}");
            assert_eq!(user_error.next[0], "git remote set-url paas-dev ssh://paas@host/demo/hello/dev");
            assert_eq!(user_error.next.len(), 1 + usize::from(app_is_there), "{user_error:?}");
        }
        let user_error = said("demo/dev", Some("acme"), (false, false), true).expect_err("refused, although it could be an environment");
        assert!(user_error.next[1].starts_with("git remote set-url paas-dev ssh://paas@host/acme/demo/dev "), "{user_error:?}");
    }

    #[test]
    fn an_app_does_not_begin_in_just_any_environment() {
        let user_error = said("shop/hello", Some("acme"), (false, false), false).expect_err("refused");
        let next = "git remote set-url paas-hello ssh://paas@host/acme/shop/hello";
        assert_eq!((user_error.code, user_error.next[0].as_str()), (Code::UnknownApp, next));
        assert!(said("shop/hello", None, (false, false), false).is_err());
    }
}
