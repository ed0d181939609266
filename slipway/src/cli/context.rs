//! What a verb works with: the server, the app that is meant, and where words go.

use model::{AppEnv, AppPath, AppRef, Code, EnvName, UserError};
use serde::Deserialize;

use super::args::Target;
use super::client::{CallError, Client, quote};
use super::console::Console;
use super::remotes;

/// For one call of a verb.
pub struct Context {
    /// The server.
    pub client: Client,
    /// Where words go.
    pub output: Console,
    /// Whether there is a folder of the user's to look into: not over SSH.
    pub local: bool,
}

#[derive(Deserialize)]
struct Resolved {
    tenant: String,
    app: String,
}

impl Context {
    /// Completes what a person wrote of an app.
    pub async fn resolve(&self, path: &str) -> Result<AppRef, CallError> {
        let path: AppPath = path.parse().map_err(|error| UserError::bad_name(&error))?;
        if let Some(tenant) = path.tenant {
            return Ok(AppRef { tenant, app: path.app });
        }
        let found: Resolved = self.client.get(&format!("/api/v1/resolve?path={}", quote(path.app.as_str()))).await?;
        let tenant = found.tenant.parse().map_err(|error| UserError::bad_name(&error))?;
        let app = found.app.parse().map_err(|error| UserError::bad_name(&error))?;
        Ok(AppRef { tenant, app })
    }

    /// The app in an environment that is meant: by name, else by the git remotes here.
    pub async fn target(&self, target: &Target) -> Result<AppEnv, CallError> {
        let env = |text: &str| -> Result<EnvName, CallError> { Ok(text.parse().map_err(|error| UserError::bad_name(&error))?) };
        if let Some(app) = &target.app {
            let path: AppPath = app.parse().map_err(|error| UserError::bad_name(&error))?;
            let chosen = match (&target.env, &path.env) {
                (Some(text), _) => env(text)?,
                (None, Some(env)) => env.clone(),
                (None, None) => EnvName::dev(),
            };
            let app = match path.tenant {
                Some(tenant) => AppRef { tenant, app: path.app },
                None => self.resolve(path.app.as_str()).await?,
            };
            return Ok(app.in_env(chosen));
        }
        let remotes = if self.local { remotes::here() } else { Vec::new() };
        if let Some(remote) = remotes::choose(&remotes, target.remote.as_deref(), target.env.as_deref()) {
            return Ok(remote.app.clone());
        }
        if let Some(name) = &target.remote {
            return Err(no_remote(name, &remotes).into());
        }
        // An environment that has no remote yet, of an app that has one.
        if let (Some(text), Some(remote)) = (&target.env, remotes.first()) {
            return Ok(remote.app.app_ref().in_env(env(text)?));
        }
        Err(UserError::new(Code::BadRequest, "which app?")
            .why(if self.local {
                "No app was named, and no git remote of this folder leads to this platform."
            } else {
                "No app was named."
            })
            .next("name it: -a acme/shop -e dev")
            .next("or run it in a repository with a remote: slipway init")
            .into())
    }
}

/// A remote was named that is not among those that lead to the platform.
fn no_remote(name: &str, remotes: &[remotes::Remote]) -> UserError {
    let known: Vec<&str> = remotes.iter().map(|remote| remote.name.as_str()).collect();
    let user_error = UserError::new(Code::BadRequest, format!("no git remote `{}` leads to this platform", name.escape_debug()));
    if known.is_empty() {
        user_error.why("No git remote of this folder does.").next("slipway init   # adds paas-dev and paas-prod").next("git remote -v")
    } else {
        user_error.why(format!("Those that do: {}.", known.join(", "))).next("git remote -v")
    }
}

/// The API path of an app in an environment.
pub fn env_path(app: &AppEnv) -> String {
    format!("/api/v1/apps/{}/{}/envs/{}", app.tenant, app.app, app.env)
}

/// The API path of an app.
pub fn app_path(app: &AppRef) -> String {
    format!("/api/v1/apps/{}/{}", app.tenant, app.app)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_remote_is_named_with_those_that_there_are() {
        let there = remotes::parse("paas-dev\tssh://paas@localhost:2222/acme/shop/dev (fetch)\n");
        let user_error = no_remote("nope", &there);
        assert_eq!(user_error.what, "no git remote `nope` leads to this platform");
        assert_eq!(user_error.why, "Those that do: paas-dev.");
        assert_eq!(no_remote("nope", &[]).next[0], "slipway init   # adds paas-dev and paas-prod");
    }
}
