//! Authorization and events: `allow` asks the authorizer and counts a refusal, `record` adds an event to a change's transaction.

use model::{AppEnv, AppRef, Event, EventId, Outcome, TenantName, UserError};
use serde_json::Value;
use store::records::{App, Change, EventFilter, Refusal, Role};

use crate::authorize::{Decision, Object, Verb, authorize};
use crate::identity::Identity;
use crate::user_errors::{apps, platform, tenants};
use crate::{Manager, OrInternal};

impl Manager {
    /// Refuses, and counts the refusal, unless `who` may do `verb` to `object`.
    pub(crate) async fn allow(&self, who: &Identity, verb: Verb, object: &Object) -> Result<(), UserError> {
        self.allow_named(who, verb, object, describe(object)).await
    }

    /// The same, where the object has a more precise name than its rights depend on.
    async fn allow_named(&self, who: &Identity, verb: Verb, object: &Object, named: String) -> Result<(), UserError> {
        let decision = authorize(who, verb, object);
        if decision == Decision::Allow {
            return Ok(());
        }
        let mut change = self.records.change().await.or_internal()?;
        let event = self.event(who, verb, tenant_of(object), named.clone(), Outcome::Denied, Value::Null);
        change.count_refusal(&event).await.or_internal()?;
        change.commit().await.or_internal()?;
        Err(match decision {
            Decision::Hide => hidden(who, verb, object),
            Decision::Allow | Decision::Deny => platform::not_allowed(verb, &named),
        })
    }

    /// Appends an event to a change.
    pub(crate) async fn record(
        &self,
        change: &mut Change,
        who: &Identity,
        verb: Verb,
        tenant: Option<&TenantName>,
        object: String,
        detail: Value,
    ) -> Result<(), UserError> {
        let event = self.event(who, verb, tenant.cloned(), object, Outcome::Done, detail);
        change.add_event(&event).await.or_internal()
    }

    fn event(&self, who: &Identity, verb: Verb, tenant: Option<TenantName>, object: String, outcome: Outcome, detail: Value) -> Event {
        Event {
            id: EventId::mint(store::random::bytes()),
            at: chrono::Utc::now(),
            actor: who.actor.clone(),
            origin: who.origin.clone(),
            verb: verb.name().into(),
            tenant,
            object,
            outcome,
            detail,
        }
    }

    /// Finds an app that `who` may do `verb` to.
    pub(crate) async fn reach(&self, who: &Identity, verb: Verb, app: &AppRef) -> Result<App, UserError> {
        let Some(found) = self.records.app(app).await.or_internal()? else {
            return Err(self.absent(who, verb, app).await?);
        };
        self.allow(who, verb, &Object::App(app.clone(), found.team.clone())).await?;
        Ok(found)
    }

    /// Finds an app that `who` may do `verb` to in one of its environments, which need not be there yet.
    pub(crate) async fn reach_in(&self, who: &Identity, verb: Verb, app: &AppEnv) -> Result<App, UserError> {
        let Some(found) = self.records.app(&app.app_ref()).await.or_internal()? else {
            return Err(self.absent(who, verb, &app.app_ref()).await?);
        };
        self.allow_named(who, verb, &Object::App(app.app_ref(), found.team.clone()), app.to_string()).await?;
        Ok(found)
    }

    /// The error for an app that does not exist.
    async fn absent(&self, who: &Identity, verb: Verb, app: &AppRef) -> Result<UserError, UserError> {
        if who.is_super && self.records.tenant(&app.tenant).await.or_internal()?.is_none() {
            return Ok(apps::unknown_app_and_tenant(app));
        }
        Ok(unreachable_app(who, verb, app))
    }

    /// Finds an app in an environment that `who` may do `verb` to.
    pub(crate) async fn reach_env(&self, who: &Identity, verb: Verb, app: &AppEnv) -> Result<store::records::Env, UserError> {
        self.reach_in(who, verb, app).await?;
        match self.records.env(app).await.or_internal()? {
            Some(env) => Ok(env),
            None => Err(apps::unknown_env(app)),
        }
    }

    /// The newest events of an app, or of a tenant.
    pub async fn events(&self, who: &Identity, tenant: &TenantName, app: Option<&AppRef>, limit: u32) -> Result<Vec<Event>, UserError> {
        match app {
            Some(app) => drop(self.reach(who, Verb::EventsShow, app).await?),
            None => self.allow(who, Verb::TenantsPolicy, &Object::Tenant(tenant.clone())).await?,
        }
        let filter = EventFilter { tenant: Some(tenant.clone()), object: app.map(ToString::to_string) };
        self.records.events(&filter, limit.min(1_000)).await.or_internal()
    }

    /// What was refused in a tenant, counted per hour, actor and verb, the newest first.
    pub async fn refusals(&self, who: &Identity, tenant: &TenantName, limit: u32) -> Result<Vec<Refusal>, UserError> {
        self.allow(who, Verb::TenantsPolicy, &Object::Tenant(tenant.clone())).await?;
        self.records.refusals(tenant, limit.min(1_000)).await.or_internal()
    }
}

fn tenant_of(object: &Object) -> Option<TenantName> {
    match object {
        Object::Tenant(tenant) => Some(tenant.clone()),
        Object::App(app, _) => Some(app.tenant.clone()),
        Object::Platform | Object::User(_) => None,
    }
}

fn describe(object: &Object) -> String {
    match object {
        Object::Platform => "the platform".into(),
        Object::User(user) => format!("user {user}"),
        Object::Tenant(tenant) => format!("tenant {tenant}"),
        Object::App(app, _) => app.to_string(),
    }
}

/// The error for an object that the user may not know of: the same as for one that does not exist.
fn hidden(who: &Identity, verb: Verb, object: &Object) -> UserError {
    match object {
        Object::App(app, team) if verb == Verb::AppsCreate => match who.role_in_tenant(&app.tenant) {
            Some(_) => tenants::unknown_team(&app.tenant, team),
            None => tenants::unknown_tenant(&app.tenant),
        },
        Object::App(app, _) => unreachable_app(who, verb, app),
        Object::Tenant(tenant) => tenants::unknown_tenant(tenant),
        other => platform::unknown_object(&describe(other)),
    }
}

/// An app that a user can not reach: it must read alike whether the app exists or not. Making it is advised only to a user who
/// may make it, and not for `apps:destroy`.
fn unreachable_app(who: &Identity, verb: Verb, app: &AppRef) -> UserError {
    let may_make = who.is_super || who.role_in_tenant(&app.tenant).is_some_and(|role| role >= Role::Deployer);
    if may_make && verb != Verb::AppsDestroy { apps::unknown_app_to_create(app) } else { apps::unknown_app(app) }
}
