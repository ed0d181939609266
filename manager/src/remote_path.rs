//! The path of a git remote, `acme/shop/dev`, and its short form, `shop/dev`, whose tenant the platform completes.
//!
//! Owns the meaning of the short form. It stands only for an app that exists in a tenant whose member the user has become by
//! their own act, and must never make one: a push must not hand source to a tenant that the user did not name.

use model::{AppEnv, AppName, AppPath, AppRef, Code, EnvName, TenantName, UserError};

use crate::identity::Identity;
use crate::user_errors::apps as errors;
use crate::{Manager, OrInternal};

/// The environments that every app is made with.
pub(crate) fn first_envs() -> [EnvName; 2] {
    [EnvName::dev(), EnvName::prod()]
}

/// A path of two names, and what the records know of it.
struct ShortPath<'a> {
    app: &'a AppName,
    env: &'a EnvName,
    /// The app that it stands for, when only one tenant is possible.
    stands_for: Option<&'a AppRef>,
    app_exists: bool,
    env_exists: bool,
    /// Whether the first name is also that of one of the user's tenants.
    is_tenant: bool,
}

/// Refuses a short path that is probably a mistake. `ssh` is the URL of the git server.
fn check(short: &ShortPath<'_>, ssh: &str) -> Result<(), UserError> {
    let ShortPath { app, env, stands_for, app_exists, env_exists, is_tenant } = *short;
    let is_first_env = first_envs().contains(env);
    if env_exists {
        return Ok(());
    }
    if is_tenant {
        return Err(errors::remote_without_env(app, env, stands_for.filter(|_| app_exists || is_first_env), ssh));
    }
    if !app_exists {
        return Err(errors::remote_of_no_app(app, env, stands_for, ssh));
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
            let (mut app_exists, mut env_exists) = (false, false);
            if let Some(app) = stands_for {
                app_exists = self.records.app(app).await.or_internal()?.is_some();
                env_exists = self.records.env(&app.in_env(env.clone())).await.or_internal()?.is_some();
            }
            let is_tenant = self.tenants(who).await?.iter().any(|tenant| tenant.as_str() == path.app.as_str());
            let short = ShortPath { app: &path.app, env: &env, stands_for, app_exists, env_exists, is_tenant };
            check(&short, &self.settings.ssh)?;
        }
        Ok(resolved?.in_env(env))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check of `path`, by whether its app and environment exist and whether its first name is a tenant.
    fn checked(path: &str, stands_for: Option<&str>, there: (bool, bool), is_tenant: bool) -> Result<(), UserError> {
        let (app, env) = path.split_once('/').expect("two names");
        let (app, env) = (app.parse().expect("a name"), env.parse().expect("a name"));
        let known = stands_for.map(|tenant| AppRef { tenant: tenant.parse().expect("a name"), app: AppName::clone(&app) });
        let (app_exists, env_exists) = there;
        check(&ShortPath { app: &app, env: &env, stands_for: known.as_ref(), app_exists, env_exists, is_tenant }, "ssh://paas@host")
    }

    #[test]
    fn an_app_that_exists_passes() {
        assert_eq!(checked("shop/dev", Some("acme"), (true, true), false), Ok(()));
        assert_eq!(checked("shop/dev", Some("acme"), (true, true), true), Ok(()), "an app that is named as a tenant");
        assert_eq!(checked("shop/staging", Some("acme"), (true, false), false), Ok(()), "a new environment of an app");
    }

    #[test]
    fn a_tenant_is_no_app() {
        for (stands_for, app_exists) in [(None, false), (Some("acme"), false), (Some("demo"), false), (Some("acme"), true)] {
            let user_error = checked("demo/hello", stands_for, (app_exists, false), true).expect_err("refused");
            assert_eq!((user_error.code, user_error.what.as_str()), (Code::BadRequest, "`demo/hello` leaves out the environment"));
            assert!(user_error.why.contains("demo/hello/dev"), "{user_error:?}");
            assert_eq!(user_error.next[0], "git remote set-url paas-dev ssh://paas@host/demo/hello/dev");
            assert_eq!(user_error.next.len(), 1 + usize::from(app_exists), "{user_error:?}");
        }
        let user_error = checked("demo/dev", Some("acme"), (false, false), true).expect_err("refused, although it could be an environment");
        assert!(user_error.next[1].starts_with("git remote set-url paas-dev ssh://paas@host/acme/demo/dev "), "{user_error:?}");
    }

    #[test]
    fn no_app_begins_with_a_short_path() {
        let user_error = checked("shop/hello", Some("acme"), (false, false), false).expect_err("refused");
        let next = "git remote set-url paas-hello ssh://paas@host/acme/shop/hello";
        assert_eq!((user_error.code, user_error.next[0].as_str()), (Code::UnknownApp, next));
        assert!(checked("shop/hello", None, (false, false), false).is_err());
        let user_error = checked("shop/dev", Some("acme"), (false, false), false).expect_err("refused");
        assert_eq!(user_error.next[0], "git remote set-url paas-dev ssh://paas@host/acme/shop/dev");
    }
}
