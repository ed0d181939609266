//! Apps and their environments.

use chrono::Utc;
use model::{AppEnv, AppPath, AppRef, EnvName, Hostname, TeamName, TenantName, UserError};
use serde_json::json;
use store::records::{App, Change, Env, Role};

use crate::authorize::{Object, Verb};
use crate::identity::Identity;
use crate::user_errors::{apps as errors, tenants};
use crate::{Manager, OrInternal};

impl Manager {
    /// Completes an app's path with its tenant: the user's only one, or the only one that has such an app.
    pub async fn resolve(&self, who: &Identity, path: &AppPath) -> Result<AppRef, UserError> {
        if let Some(tenant) = &path.tenant {
            return Ok(AppRef { tenant: tenant.clone(), app: path.app.clone() });
        }
        let tenants = self.tenants(who).await?;
        let mut holders = Vec::new();
        for tenant in &tenants {
            let app = AppRef { tenant: tenant.clone(), app: path.app.clone() };
            if self.records.app(&app).await.or_internal()?.is_some() {
                holders.push(app);
            }
        }
        match (holders.len(), tenants.as_slice()) {
            (1, _) => Ok(holders.remove(0)),
            (0, [tenant]) => Ok(AppRef { tenant: tenant.clone(), app: path.app.clone() }),
            (0, _) => Err(errors::unknown_app_name(&path.app)),
            _ => Err(errors::ambiguous_app(&path.app, &holders)),
        }
    }

    /// Makes an app.
    pub async fn create_app(&self, who: &Identity, app: &AppRef, team: Option<&TeamName>) -> Result<App, UserError> {
        if self.records.tenant(&app.tenant).await.or_internal()?.is_none() {
            return Err(tenants::unknown_tenant(&app.tenant));
        }
        let team = match team {
            Some(team) => team.clone(),
            None => self.default_team(who, &app.tenant).await?,
        };
        self.allow(who, Verb::AppsCreate, &Object::App(app.clone(), team.clone())).await?;
        if !self.records.teams(&app.tenant).await.or_internal()?.iter().any(|known| known.name == team) {
            return Err(tenants::unknown_team(&app.tenant, &team));
        }
        // A destroyed app of this name must leave nothing to this one.
        self.clean_up(app).await?;
        let now = Utc::now();
        let mut change = self.records.change().await.or_internal()?;
        let made = match change.add_app(app, &team, now).await {
            Ok(made) => made,
            Err(error) if error.is_taken() => return Err(errors::app_exists(app)),
            Err(error) => return Err(crate::internal(&error)),
        };
        // After the app is added: whoever destroyed the one before has committed by now.
        if change.has_app_cleanup(app).await.or_internal()? {
            return Err(errors::cleanup_pending(app));
        }
        self.record(&mut change, who, Verb::AppsCreate, Some(&app.tenant), app.to_string(), json!({ "team": team })).await?;
        // Every app starts with these; other environments are made by their first push.
        for env in crate::remote_path::first_envs() {
            self.add_env(&mut change, &app.in_env(env)).await?;
        }
        change.commit().await.or_internal()?;
        Ok(made)
    }

    /// The first team in which the user may make apps.
    async fn default_team(&self, who: &Identity, tenant: &TenantName) -> Result<TeamName, UserError> {
        if let Some(member) = who.memberships.iter().find(|m| m.tenant == *tenant && m.role >= Role::Deployer) {
            return Ok(member.team.clone());
        }
        let teams = self.records.teams(tenant).await.or_internal()?;
        match teams.into_iter().next() {
            Some(team) if who.is_super || who.role_in_tenant(tenant).is_some() => Ok(team.name),
            _ => Err(tenants::unknown_tenant(tenant)),
        }
    }

    /// Adds an environment and its host name. A host name that another app has is refused here, not at the first request.
    pub(crate) async fn add_env(&self, change: &mut Change, app: &AppEnv) -> Result<(), UserError> {
        let now = Utc::now();
        change.add_env(app, now).await.or_internal()?;
        let hostname = Hostname::of_app(app, &self.settings.domain);
        match change.take_hostname(&hostname, app, true, now).await {
            Ok(()) => Ok(()),
            Err(error) if error.is_taken() => Err(errors::hostname_of_env_taken(&hostname, app)),
            Err(error) => Err(crate::internal(&error)),
        }
    }

    /// The environment of an app, made if there is none.
    pub(crate) async fn ensure_env(&self, app: &AppEnv) -> Result<Env, UserError> {
        if let Some(env) = self.records.env(app).await.or_internal()? {
            return Ok(env);
        }
        let mut change = self.records.change().await.or_internal()?;
        self.add_env(&mut change, app).await?;
        change.commit().await.or_internal()?;
        self.records.env(app).await.or_internal()?.ok_or_else(|| errors::unknown_app(&app.app_ref()))
    }

    /// The apps that a user may see.
    pub async fn apps(&self, who: &Identity) -> Result<Vec<App>, UserError> {
        let mut apps = Vec::new();
        for tenant in self.tenants(who).await? {
            let all = self.records.apps(&tenant).await.or_internal()?;
            apps.extend(all.into_iter().filter(|app| {
                let object = Object::App(app.app.clone(), app.team.clone());
                crate::authorize::authorize(who, Verb::AppsInfo, &object) == crate::authorize::Decision::Allow
            }));
        }
        Ok(apps)
    }

    /// An app with its environments.
    pub async fn app_info(&self, who: &Identity, app: &AppRef) -> Result<(App, Vec<Env>), UserError> {
        let found = self.reach(who, Verb::AppsInfo, app).await?;
        Ok((found, self.records.envs(app).await.or_internal()?))
    }

    /// Destroys an app: its instances, routes, releases, builds, config. `confirm` must be its name.
    pub async fn destroy_app(&self, who: &Identity, app: &AppRef, confirm: &str) -> Result<(), UserError> {
        self.reach(who, Verb::AppsDestroy, app).await?;
        if confirm != app.app.as_str() && confirm != app.to_string() {
            return Err(errors::destroy_not_confirmed(app));
        }
        let envs = self.records.envs(app).await.or_internal()?;
        // A running build would go on for an app that does not exist any more.
        for env in &envs {
            for build in self.records.builds(&env.app, 20).await.or_internal()?.iter().filter(|build| !build.state.is_final()) {
                self.queue.cancel(&build.id);
            }
        }
        let mut change = self.records.change().await.or_internal()?;
        change.release_hostnames_of(app, Utc::now()).await.or_internal()?;
        change.remove_app(app).await.or_internal()?;
        let names: Vec<EnvName> = envs.iter().map(|env| env.app.env.clone()).collect();
        change.add_app_cleanup(app, &names, Utc::now()).await.or_internal()?;
        self.record(&mut change, who, Verb::AppsDestroy, Some(&app.tenant), app.to_string(), json!({})).await?;
        change.commit().await.or_internal()?;
        for env in &envs {
            self.unproject(&env.app).await?;
        }
        self.clean_up(app).await?;
        Ok(())
    }

    /// Opens an app for a push or a fetch: checks the right, and makes the app when the tenant's policy says so.
    pub async fn open_repository(&self, who: &Identity, app: &AppEnv, push: bool) -> Result<Option<String>, UserError> {
        let verb = if push { Verb::Push } else { Verb::Fetch };
        if self.records.app(&app.app_ref()).await.or_internal()?.is_none() {
            let policy = self.records.tenant(&app.tenant).await.or_internal()?;
            let may_make = policy.is_some_and(|tenant| tenant.create_on_push) && push;
            if !may_make || (!who.is_super && who.role_in_tenant(&app.tenant).is_none()) {
                return Err(errors::unknown_app(&app.app_ref()));
            }
            self.create_app(who, &app.app_ref(), None).await?;
        }
        self.reach_in(who, verb, app).await?;
        let env = if push { Some(self.ensure_env(app).await?) } else { self.records.env(app).await.or_internal()? };
        Ok(env.and_then(|env| env.deploy_branch))
    }

    /// The URL of an app by a host name.
    pub fn url_of(&self, hostname: &Hostname) -> String {
        match self.settings.router_port {
            80 => format!("http://{hostname}/"),
            port => format!("http://{hostname}:{port}/"),
        }
    }

    /// The platform's URL of an app.
    pub fn app_url(&self, app: &AppEnv) -> String {
        self.url_of(&Hostname::of_app(app, &self.settings.domain))
    }

    /// The git remote of an app.
    pub fn remote_of(&self, app: &AppEnv) -> String {
        format!("{}/{app}", self.settings.ssh)
    }
}
