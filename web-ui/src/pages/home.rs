//! Home: the apps by environment, how each does, what is deployed, when and by whom.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use chrono::Utc;
use manager::Identity;
use manager::env_state::{EnvState, StateKind};
use model::{AppEnv, AppRef, Release, ReleaseNumber, ReleaseState, UserError};
use serde::{Deserialize, Serialize};
use store::records::{App, Env};

use super::health::{Health, health};
use super::relative_time::{When, when};
use super::{Answer, Visitor, page_refresh};
use crate::Web;
use crate::extract::Asked;

#[derive(Deserialize)]
pub(crate) struct Filter {
    #[serde(default)]
    q: String,
}

#[derive(Serialize)]
struct Page {
    q: String,
    mark: String,
    tenants: Vec<TenantView>,
    /// Apps, whatever the filter.
    total: usize,
    shown: usize,
    tally: Vec<Tally>,
    /// A tenant for the commands of an empty page.
    tenant: String,
    ssh: String,
}

#[derive(Serialize)]
struct Tally {
    class: &'static str,
    text: String,
}

#[derive(Serialize)]
struct TenantView {
    name: String,
    apps: Vec<AppView>,
}

#[derive(Serialize)]
struct AppView {
    name: String,
    href: String,
    team: String,
    envs: Vec<EnvView>,
}

#[derive(Serialize)]
struct EnvView {
    env: String,
    href: String,
    health: Health,
    deployed: Option<Deployed>,
    is_empty: bool,
}

#[derive(Serialize)]
struct Deployed {
    release: String,
    subject: String,
    by: String,
    at: When,
    rolling: bool,
}

/// What is read for one page.
struct Read {
    apps: Vec<App>,
    envs: Vec<Env>,
    states: HashMap<AppEnv, EnvState>,
    releases: HashMap<(AppEnv, ReleaseNumber), Release>,
}

async fn read(web: &Web, who: &Identity) -> Result<Read, UserError> {
    let apps = web.manager.apps(who).await?;
    let records = web.manager.records();
    let failed = |error: store::records::RecordsError| manager::internal(&error);
    let seen: std::collections::HashSet<&AppRef> = apps.iter().map(|app| &app.app).collect();
    let mut envs = records.all_envs().await.map_err(failed)?;
    envs.retain(|env| seen.contains(&env.app.app_ref()));
    let mut releases = HashMap::new();
    for state in [ReleaseState::Live, ReleaseState::Active] {
        for stored in records.releases_in(state).await.map_err(failed)? {
            releases.insert((stored.release.app.clone(), stored.release.number), stored.release);
        }
    }
    releases.retain(|(app, _): &(AppEnv, ReleaseNumber), _| seen.contains(&app.app_ref()));
    for env in &envs {
        // A release that serves in spite of its state: one that stayed when a later one failed.
        if let Some(number) = env.current
            && !releases.contains_key(&(env.app.clone(), number))
            && let Some(stored) = records.release(&env.app, number).await.map_err(failed)?
        {
            releases.insert((env.app.clone(), number), stored.release);
        }
    }
    let shown: Vec<AppEnv> = envs.iter().map(|env| env.app.clone()).collect();
    let states = web.manager.env_states(&shown).await?;
    Ok(Read { apps, envs, states, releases })
}

/// `dev` and `prod` first, the others by name.
fn order(env: &str) -> (u8, &str) {
    match env {
        "dev" => (0, env),
        "prod" => (1, env),
        _ => (2, env),
    }
}

fn view(read: &Read, q: &str, now: model::Time) -> (Vec<TenantView>, Vec<Health>) {
    let mut tenants: BTreeMap<String, Vec<AppView>> = BTreeMap::new();
    let mut all = Vec::new();
    for app in &read.apps {
        let mut envs: Vec<EnvView> = Vec::new();
        for env in read.envs.iter().filter(|env| env.app.app_ref() == app.app) {
            let Some(state) = read.states.get(&env.app) else { continue };
            let health = health(state);
            all.push(health.clone());
            let release = env.current.and_then(|number| read.releases.get(&(env.app.clone(), number)));
            let deployed = release.map(|release| Deployed {
                release: release.number.to_string(),
                subject: release.subject.clone(),
                by: release.by.to_string(),
                at: when(release.at, now),
                rolling: release.state == ReleaseState::Active,
            });
            let is_empty = state.kind == StateKind::Empty;
            envs.push(EnvView { env: env.app.env.to_string(), href: format!("/apps/{}", env.app), health, deployed, is_empty });
        }
        envs.sort_by(|a, b| order(&a.env).cmp(&order(&b.env)));
        let name = app.app.to_string();
        if !name.contains(q) && !app.team.as_str().contains(q) {
            continue;
        }
        let href = envs.first().map_or(format!("/apps/{name}"), |env| env.href.clone());
        let view = AppView { name: app.app.app.to_string(), href, team: app.team.to_string(), envs };
        tenants.entry(app.app.tenant.to_string()).or_default().push(view);
    }
    (tenants.into_iter().map(|(name, apps)| TenantView { name, apps }).collect(), all)
}

fn tally(all: &[Health]) -> Vec<Tally> {
    let count = |class| all.iter().filter(|health| health.class == class).count();
    let (ok, busy, bad) = (count("ok"), count("busy"), count("bad"));
    let mut tally = Vec::new();
    for (n, class, word) in [(bad, "bad", "failing"), (busy, "busy", "on the way"), (ok, "ok", "healthy")] {
        if n > 0 {
            tally.push(Tally { class, text: format!("{n} {word}") });
        }
    }
    tally
}

/// What of the page is worth drawing it anew: not the times, which the browser counts on by itself.
fn mark_of(read: &Read) -> String {
    let releases: BTreeMap<String, &str> =
        read.releases.iter().map(|((app, number), release)| (format!("{app} {number}"), release.state.as_str())).collect();
    let envs: Vec<(String, String)> = read
        .envs
        .iter()
        .map(|env| {
            (format!("{} {:?}", env.app, env.current), read.states.get(&env.app).map(|state| state.text.clone()).unwrap_or_default())
        })
        .collect();
    page_refresh::mark(&(read.apps.len(), envs, releases))
}

/// The page.
pub(crate) async fn page(State(web): State<Arc<Web>>, Visitor(who): Visitor, Asked(filter): Asked<Filter>) -> Answer {
    let read = read(&web, &who).await?;
    let q: String = filter.q.trim().to_lowercase().chars().take(60).collect();
    let (tenants, all) = view(&read, &q, Utc::now());
    let tenant = web.manager.tenants(&who).await?.into_iter().next();
    let page = Page {
        mark: mark_of(&read),
        total: read.apps.len(),
        shown: tenants.iter().map(|tenant| tenant.apps.len()).sum(),
        tally: tally(&all),
        tenants,
        q,
        tenant: tenant.map_or_else(|| "acme".into(), |tenant| tenant.to_string()),
        ssh: web.manager.settings().ssh.clone(),
    };
    Ok(web.pages.draw("home.html", Some(&who), &page))
}

/// Says when the page has changed.
pub(crate) async fn live(State(web): State<Arc<Web>>, Visitor(who): Visitor) -> Response {
    let of = web.clone();
    page_refresh::watch(&web, move || {
        let (web, who) = (of.clone(), who.clone());
        async move { read(&web, &who).await.ok().map(|read| mark_of(&read)) }
    })
}
