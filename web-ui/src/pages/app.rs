//! The page of an app in an environment.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use chrono::Utc;
use manager::Identity;
use manager::env_state::StateKind;
use manager::ps::Ps;
use model::{AppEnv, Build, Code, EnvName, Maintenance, Release, UserError};
use serde::{Deserialize, Serialize};
use store::records::{App, Env};

use super::app_view::{self, BuildView, DomainView, EnvTab, EventView, May, ProcessView, ReleaseView};
use super::health::{Health, health};
use super::relative_time::{When, when};
use super::{Answer, Visitor, page_refresh};
use crate::Web;
use crate::extract::Asked;
use crate::path_params::{AtApp, AtEnv};

#[derive(Deserialize)]
pub(crate) struct Said {
    #[serde(default)]
    said: String,
}

#[derive(Serialize)]
struct Page {
    app: String,
    tenant: String,
    name: String,
    env: String,
    href: String,
    team: String,
    tabs: Vec<EnvTab>,
    /// `-a acme/shop -e dev`, at the end of every command shown.
    flags: String,
    mark: String,
    said: &'static str,
    url: String,
    /// The URL as people say it.
    host: String,
    remote: String,
    deploy_branch: String,
    serves: bool,
    /// Nothing was ever pushed.
    is_empty: bool,
    /// `page`, `hold`, or empty.
    maintenance: &'static str,
    health: Health,
    current: Option<Current>,
    processes: Vec<ProcessView>,
    blocked: Vec<String>,
    releases: Vec<ReleaseView>,
    builds: Vec<BuildView>,
    domains: Vec<DomainView>,
    config_keys: Vec<String>,
    events: Vec<EventView>,
    may: May,
}

#[derive(Serialize)]
struct Current {
    number: String,
    subject: String,
    commit: String,
    by: String,
    at: When,
    rolling: bool,
}

/// What the page is made of and what makes it change.
struct Read {
    app: App,
    envs: Vec<Env>,
    env: Env,
    ps: Ps,
    releases: Vec<Release>,
    builds: Vec<Build>,
}

async fn read(web: &Web, who: &Identity, at: &AppEnv) -> Result<Read, UserError> {
    let (app, envs) = web.manager.app_info(who, &at.app_ref()).await?;
    let Some(env) = envs.iter().find(|env| env.app == *at).cloned() else {
        return Err(UserError::new(Code::UnknownApp, format!("{} has no environment `{}`", at.app_ref(), at.env))
            .why("An environment is made by the first push to it.")
            .next(format!("git push paas-{} main", at.env)));
    };
    let (ps, releases, builds) =
        tokio::try_join!(web.manager.ps(who, at), web.manager.releases(who, at, 12), web.manager.builds(who, at, 8))?;
    Ok(Read { app, envs, env, ps, releases, builds })
}

fn mark_of(read: &Read) -> String {
    let releases: Vec<_> = read.releases.iter().map(|release| (release.number, release.state)).collect();
    let builds: Vec<_> = read.builds.iter().map(|build| (&build.id, build.state)).collect();
    page_refresh::mark(&(&read.ps, releases, builds, &read.env.config_keys, &read.env.deploy_branch, read.env.maintenance))
}

/// What was just done; a fixed sentence per word, so that nobody can write on the page by a link.
fn said(word: &str) -> &'static str {
    match word {
        "scale" => "The new count is set; instances come and go one by one.",
        "restart" => "Restarting: each instance is replaced once its successor is healthy.",
        "retry" => "Trying again: the release below is being rolled out with the config of now.",
        "maintenance-on" => "Maintenance has begun: visitors get the maintenance page.",
        "maintenance-off" => "Maintenance is over: the app serves again.",
        "rollback" => "Going back: the release below is being rolled out.",
        "config" => "The config is set; a release with it is being rolled out.",
        "config-same" => "The config is set. It takes effect with the first release.",
        "domain" => "The domain is added.",
        "domain-gone" => "The domain is removed.",
        _ => "",
    }
}

/// To the first environment of an app.
pub(crate) async fn redirect(State(web): State<Arc<Web>>, Visitor(who): Visitor, AtApp(app): AtApp) -> Answer {
    let (app, envs) = web.manager.app_info(&who, &app).await?;
    let first = app_view::tabs(&envs, &app.app.in_env(EnvName::dev())).into_iter().next();
    Ok(Redirect::to(&first.map_or_else(|| "/".into(), |tab| tab.href)).into_response())
}

/// The page.
pub(crate) async fn page(State(web): State<Arc<Web>>, Visitor(who): Visitor, AtEnv(at): AtEnv, Asked(query): Asked<Said>) -> Answer {
    let read = read(&web, &who, &at).await?;
    let now = Utc::now();
    let app = at.app_ref();
    let domains = web.manager.domains(&who, &at).await?;
    let events = web.manager.events(&who, &app.tenant, Some(&app), 12).await?;
    let current = read.releases.iter().find(|release| Some(release.number) == read.env.current);
    let page = Page {
        app: app.to_string(),
        tenant: at.tenant.to_string(),
        name: at.app.to_string(),
        env: at.env.to_string(),
        href: format!("/apps/{at}"),
        team: read.app.team.to_string(),
        tabs: app_view::tabs(&read.envs, &at),
        flags: format!("-a {app} -e {}", at.env),
        mark: mark_of(&read),
        said: said(&query.said),
        host: web.manager.app_url(&at).trim_start_matches("http://").trim_end_matches('/').to_owned(),
        url: web.manager.app_url(&at),
        remote: web.manager.remote_of(&at),
        deploy_branch: read.env.deploy_branch.clone().unwrap_or_default(),
        // A link that leads to an error page is none.
        serves: read.ps.state.serving.is_some(),
        is_empty: read.ps.state.kind == StateKind::Empty,
        maintenance: read.env.maintenance.map(Maintenance::as_str).unwrap_or_default(),
        health: health(&read.ps.state),
        current: current.map(|release| Current {
            number: release.number.to_string(),
            subject: release.subject.clone(),
            commit: app_view::short(&release.commit),
            by: release.by.to_string(),
            at: when(release.at, now),
            rolling: release.state == model::ReleaseState::Active,
        }),
        processes: app_view::processes(&read.ps, now),
        blocked: read.ps.blocked.clone(),
        releases: app_view::releases(&read.releases, read.env.current, now),
        builds: read.builds.iter().map(|build| app_view::build(build, now)).collect(),
        domains: app_view::domains(domains, |hostname| web.manager.url_of(hostname)),
        config_keys: read.env.config_keys.clone(),
        events: app_view::events(&events, &at, now),
        may: app_view::may(&who, &read.app),
    };
    Ok(web.pages.draw("app.html", Some(&who), &page))
}

/// Says when the page has changed.
pub(crate) async fn live(
    State(web): State<Arc<Web>>,
    Visitor(who): Visitor,
    AtEnv(at): AtEnv,
) -> Result<Response, crate::problem::Problem> {
    // Refused here as an answer, not as an empty stream.
    read(&web, &who, &at).await?;
    let of = web.clone();
    Ok(page_refresh::watch(&web, move || {
        let (web, who, at) = (of.clone(), who.clone(), at.clone());
        async move { read(&web, &who, &at).await.ok().map(|read| mark_of(&read)) }
    }))
}
