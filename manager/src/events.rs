//! The choke point: `allow` asks the authorizer and records a denial, `record` appends what was done to the same transaction.

use model::{AppEnv, AppRef, Code, Event, EventId, Outcome, TeamName, TenantName, UserError};
use serde_json::Value;
use store::records::{App, Change, EventFilter, Role};

use crate::authorize::{Decision, Object, Verb, authorize};
use crate::identity::Identity;
use crate::{Manager, OrInternal};

impl Manager {
    /// Says no, in words and as an event, unless `who` may do `verb` to `object`.
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
        change.add_event(&event).await.or_internal()?;
        change.commit().await.or_internal()?;
        Err(match decision {
            Decision::Hide => hidden(who, verb, object),
            _ => UserError::new(Code::NotAllowed, format!("you may not do `{}` to {named}", verb.name()))
                .why(match verb.need() {
                    crate::authorize::Need::Role(role) => format!("It takes the role `{}` or a higher one.", role.as_str()),
                    _ => "It takes the rights of the platform's operator.".into(),
                })
                .next(match verb.need() {
                    crate::authorize::Need::Role(_) => "ask an owner of the team",
                    _ => "ask the operator of this platform",
                }),
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

    /// What to say of an app that is not there.
    async fn absent(&self, who: &Identity, verb: Verb, app: &AppRef) -> Result<UserError, UserError> {
        if who.is_super && self.records.tenant(&app.tenant).await.or_internal()?.is_none() {
            return Ok(missing_app(app).why(format!("There is no tenant `{}` either.", app.tenant)).next("slipway tenants"));
        }
        Ok(unreachable_app(who, verb, app))
    }

    /// Finds an app in an environment that `who` may do `verb` to.
    pub(crate) async fn reach_env(&self, who: &Identity, verb: Verb, app: &AppEnv) -> Result<store::records::Env, UserError> {
        self.reach_in(who, verb, app).await?;
        match self.records.env(app).await.or_internal()? {
            Some(env) => Ok(env),
            None => Err(UserError::new(Code::UnknownApp, format!("{} has no environment `{}`", app.app_ref(), app.env))
                .why("An environment is made by the first push to it.")
                .next(format!("git push paas-{} main", app.env))),
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

/// The same words for what does not exist and for what may not be known.
fn hidden(who: &Identity, verb: Verb, object: &Object) -> UserError {
    match object {
        Object::App(app, team) if verb == Verb::AppsCreate => match who.role_in_tenant(&app.tenant) {
            Some(_) => unknown_team(&app.tenant, team),
            None => unknown_tenant(&app.tenant),
        },
        Object::App(app, _) => unreachable_app(who, verb, app),
        Object::Tenant(tenant) => unknown_tenant(tenant),
        other => UserError::new(Code::NotFound, format!("there is no {} that you may know of", describe(other))),
    }
}

pub(crate) fn unknown_tenant(tenant: &TenantName) -> UserError {
    UserError::new(Code::NotFound, format!("there is no tenant `{tenant}`")).next("slipway whoami")
}

pub(crate) fn unknown_team(tenant: &TenantName, team: &TeamName) -> UserError {
    UserError::new(Code::NotFound, format!("{tenant} has no team `{team}`"))
        .why("Or you are not a member of it.")
        .next("slipway whoami")
        .next(format!("slipway teams:create {tenant} {team}   # as an owner"))
}

fn missing_app(app: &AppRef) -> UserError {
    UserError::new(Code::UnknownApp, format!("there is no app {app}"))
}

/// An app that is gone in the middle of what is done to it.
pub(crate) fn unknown_app(app: &AppRef) -> UserError {
    missing_app(app).why("Or you are not a member of its team.").next("slipway apps")
}

/// An app that is not there for somebody. It must read alike whether the app exists or not. Making it is advised only to
/// whoever may, and not to whoever wants it gone.
fn unreachable_app(who: &Identity, verb: Verb, app: &AppRef) -> UserError {
    let may_make = who.is_super || who.role_in_tenant(&app.tenant).is_some_and(|role| role >= Role::Deployer);
    let user_error = unknown_app(app);
    if may_make && verb != Verb::AppsDestroy { user_error.next(format!("slipway apps:create {app}   # makes it")) } else { user_error }
}
