//! What the page of an app in an environment shows, made of what was read. Pure: now comes in.

use std::collections::BTreeMap;

use manager::authorize::{Decision, authorize};
use manager::ps::Ps;
use manager::{Identity, Object, Verb};
use model::{AppEnv, Build, Event, InstanceStatus, ProcessName, Release, ReleaseNumber, ReleaseState, push_output};
use serde::Serialize;
use store::records::{App, Env, Taken};

use super::health::class_of;
use super::relative_time::{When, when};

/// What a viewer of the page may do: forms that would be refused are not shown.
#[derive(Serialize)]
pub(crate) struct May {
    pub(crate) scale: bool,
    pub(crate) restart: bool,
    pub(crate) rollback: bool,
    pub(crate) retry: bool,
    pub(crate) maintenance: bool,
    pub(crate) config: bool,
    pub(crate) domains: bool,
}

/// The rights of a viewer on an app.
pub(crate) fn may(who: &Identity, app: &App) -> May {
    let object = Object::App(app.app.clone(), app.team.clone());
    let can = |verb| authorize(who, verb, &object) == Decision::Allow;
    May {
        scale: can(Verb::PsScale),
        restart: can(Verb::PsRestart),
        rollback: can(Verb::Rollback),
        retry: can(Verb::ReleasesRetry),
        maintenance: can(Verb::MaintenanceSet),
        config: can(Verb::ConfigSet),
        domains: can(Verb::DomainsAdd),
    }
}

/// A process type with its instances.
#[derive(Serialize)]
pub(crate) struct ProcessView {
    pub(crate) name: String,
    pub(crate) wanted: u32,
    pub(crate) fewer: u32,
    pub(crate) more: u32,
    pub(crate) healthy: usize,
    pub(crate) class: &'static str,
    pub(crate) instances: Vec<InstanceView>,
}

/// One instance.
#[derive(Serialize)]
pub(crate) struct InstanceView {
    label: String,
    state: &'static str,
    class: &'static str,
    release: String,
    old: bool,
    zone: String,
    host: String,
    since: When,
    restarts: u32,
    reason: String,
    code: String,
    last_lines: Vec<String>,
}

fn instance(status: &InstanceStatus, current: Option<ReleaseNumber>, now: model::Time) -> InstanceView {
    let exit = status.last_exit.as_ref();
    let reason = status.reason.clone().or_else(|| {
        exit.filter(|_| class_of(status.state) == "bad").map(|exit| match exit.oom {
            true => "ran out of memory".into(),
            false => format!("exited with status {}", exit.code),
        })
    });
    InstanceView {
        label: status.label(),
        state: status.state.as_str(),
        class: class_of(status.state),
        release: status.release.to_string(),
        old: Some(status.release) != current,
        zone: status.zone.to_string(),
        host: status.host.to_string(),
        since: when(status.since, now),
        restarts: status.restarts,
        reason: reason.unwrap_or_default(),
        code: status.code.map(|code| code.to_string()).unwrap_or_default(),
        last_lines: exit.filter(|_| class_of(status.state) == "bad").map(|exit| exit.last_lines.clone()).unwrap_or_default(),
    }
}

/// The process types: those that should run, and those that still do.
pub(crate) fn processes(ps: &Ps, now: model::Time) -> Vec<ProcessView> {
    let mut by_name: BTreeMap<(bool, &ProcessName), Vec<&InstanceStatus>> = BTreeMap::new();
    for name in ps.wanted.keys() {
        by_name.entry((!name.is_web(), name)).or_default();
    }
    for status in ps.instances.iter().filter(|status| !status.state.is_gone()) {
        by_name.entry((!status.process.is_web(), &status.process)).or_default().push(status);
    }
    by_name
        .into_iter()
        .map(|((_, name), statuses)| {
            let wanted = ps.wanted.get(name).copied().unwrap_or(0);
            let of_release = |status: &&&InstanceStatus| Some(status.release) == ps.release;
            let healthy = statuses.iter().filter(of_release).filter(|status| status.state.takes_requests()).count();
            let broken = statuses.iter().filter(of_release).any(|status| class_of(status.state) == "bad");
            let class = match (wanted as usize, broken) {
                (0, _) => "idle",
                (wanted, _) if healthy >= wanted => "ok",
                (_, true) => "bad",
                _ => "busy",
            };
            ProcessView {
                name: name.to_string(),
                wanted,
                fewer: wanted.saturating_sub(1),
                more: wanted + 1,
                healthy: healthy.min(wanted as usize),
                class,
                instances: statuses.into_iter().map(|status| instance(status, ps.release, now)).collect(),
            }
        })
        .collect()
}

/// A release in the list.
#[derive(Serialize)]
pub(crate) struct ReleaseView {
    number: String,
    state: &'static str,
    class: &'static str,
    current: bool,
    can_go_back: bool,
    subject: String,
    commit: String,
    cause: String,
    by: String,
    at: When,
    build: String,
    before: String,
    reason: String,
}

/// The releases, newest first.
pub(crate) fn releases(releases: &[Release], current: Option<ReleaseNumber>, now: model::Time) -> Vec<ReleaseView> {
    let mut views: Vec<ReleaseView> = Vec::new();
    for (index, release) in releases.iter().enumerate() {
        // Compared with what came before it and was released at all.
        let before = releases[index + 1..].iter().find(|older| older.state != ReleaseState::Aborted);
        let class = match release.state {
            ReleaseState::Live => "ok",
            ReleaseState::Active | ReleaseState::Prepared => "busy",
            ReleaseState::Failed => "bad",
            ReleaseState::Retired | ReleaseState::Superseded | ReleaseState::Aborted => "idle",
        };
        views.push(ReleaseView {
            number: release.number.to_string(),
            state: match release.state {
                ReleaseState::Active => "rolling out",
                state => state.as_str(),
            },
            class,
            current: current == Some(release.number),
            can_go_back: current != Some(release.number) && release.state.was_good(),
            subject: release.subject.clone(),
            commit: short(&release.commit),
            cause: match release.cause {
                model::release::Cause::Push => String::new(),
                ref cause => cause.to_string(),
            },
            by: release.by.to_string(),
            at: when(release.at, now),
            build: release.build.as_ref().map(ToString::to_string).unwrap_or_default(),
            before: before.map(|older| older.number.to_string()).unwrap_or_default(),
            reason: release.reason.clone().unwrap_or_default(),
        });
    }
    views
}

/// The first letters of a commit.
pub(crate) fn short(commit: &str) -> String {
    commit.get(..8).unwrap_or(commit).to_owned()
}

/// A build in a list, or at the head of its page.
#[derive(Serialize)]
pub(crate) struct BuildView {
    pub(crate) id: String,
    pub(crate) state: &'static str,
    pub(crate) class: &'static str,
    pub(crate) is_final: bool,
    pub(crate) subject: String,
    pub(crate) commit: String,
    pub(crate) by: String,
    pub(crate) at: When,
    pub(crate) took: String,
    pub(crate) release: String,
    pub(crate) template: String,
    pub(crate) reused: bool,
    pub(crate) code: String,
}

/// The state of a push in words: a build that has ended well is not the end of it.
fn build_state(state: model::BuildState) -> &'static str {
    match state {
        model::BuildState::Running => "building",
        model::BuildState::Releasing => "rolling out",
        model::BuildState::Succeeded => "live",
        state => state.as_str(),
    }
}

/// A build for a page.
pub(crate) fn build(build: &Build, now: model::Time) -> BuildView {
    use model::BuildState::{Cancelled, Failed, Lost, Queued, Releasing, Running, Succeeded, Superseded};
    let took = build.started.map(|started| build.ended.unwrap_or(now) - started);
    BuildView {
        id: build.id.to_string(),
        state: build_state(build.state),
        class: match build.state {
            Queued | Running | Releasing => "busy",
            Succeeded => "ok",
            Failed | Lost => "bad",
            Cancelled | Superseded => "idle",
        },
        is_final: build.state.is_final(),
        subject: build.subject.clone(),
        commit: short(&build.commit),
        by: build.by.to_string(),
        at: when(build.at, now),
        took: took.map(|took| push_output::elapsed(took.num_milliseconds().max(0) as u64)).unwrap_or_default(),
        release: build.release.map(|number| number.to_string()).unwrap_or_default(),
        template: build.template.as_ref().map(ToString::to_string).unwrap_or_default(),
        reused: build.reused,
        code: build.error.as_ref().map(|user_error| user_error.code.to_string()).unwrap_or_default(),
    }
}

/// A host name in the list.
#[derive(Serialize)]
pub(crate) struct DomainView {
    hostname: String,
    url: String,
    platform: bool,
}

/// The host names.
pub(crate) fn domains(taken: Vec<Taken>, url_of: impl Fn(&model::Hostname) -> String) -> Vec<DomainView> {
    taken
        .into_iter()
        .map(|taken| DomainView { url: url_of(&taken.hostname), hostname: taken.hostname.to_string(), platform: taken.platform })
        .collect()
}

/// An event in the list of activity.
#[derive(Serialize)]
pub(crate) struct EventView {
    verb: String,
    actor: String,
    origin: String,
    env: String,
    detail: String,
    at: When,
    outcome: &'static str,
    denied: bool,
}

/// One line of what an event changed: values of strings, numbers and lists, without their marks.
fn detail(value: &serde_json::Value) -> String {
    use serde_json::Value;
    fn word(value: &Value) -> String {
        match value {
            Value::Null => String::new(),
            Value::String(text) => text.chars().take(60).collect(),
            Value::Array(list) => list.iter().map(word).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", "),
            Value::Object(map) => detail(&Value::Object(map.clone())),
            other => other.to_string(),
        }
    }
    let Some(map) = value.as_object() else { return word(value) };
    let mut parts = Vec::new();
    for (key, value) in map {
        match (key.as_str(), word(value)) {
            (_, text) if text.is_empty() => {}
            ("release" | "to" | "failed" | "serving", text) if value.is_number() => parts.push(format!("{key} v{text}")),
            ("commit", text) => parts.push(short(&text)),
            // Said by the verb or the link to the build, or meaningful to machines only.
            ("build" | "epoch", _) => {}
            ("cause", text) if value.is_object() => parts.push(text),
            ("cause", _) => {}
            ("hostname", text) => parts.push(text),
            (key, text) => parts.push(format!("{key} {text}")),
        }
    }
    parts.join(", ")
}

/// The events, newest first.
pub(crate) fn events(events: &[Event], app: &AppEnv, now: model::Time) -> Vec<EventView> {
    let whole = app.app_ref().to_string();
    events
        .iter()
        .map(|event| EventView {
            verb: event.verb.clone(),
            actor: event.actor.to_string(),
            origin: event.origin.0.clone(),
            env: event.object.strip_prefix(&whole).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default().to_owned(),
            detail: detail(&event.detail),
            at: when(event.at, now),
            outcome: event.outcome.as_str(),
            denied: event.outcome != model::Outcome::Done,
        })
        .collect()
}

/// A tab of an environment.
#[derive(Serialize)]
pub(crate) struct EnvTab {
    pub(crate) name: String,
    pub(crate) href: String,
    pub(crate) here: bool,
}

/// The environments of an app, `dev` and `prod` first.
pub(crate) fn tabs(envs: &[Env], here: &AppEnv) -> Vec<EnvTab> {
    let mut tabs: Vec<EnvTab> = envs
        .iter()
        .map(|env| EnvTab { name: env.app.env.to_string(), href: format!("/apps/{}", env.app), here: env.app == *here })
        .collect();
    tabs.sort_by_key(|tab| {
        let rank = match tab.name.as_str() {
            "dev" => 0,
            "prod" => 1,
            _ => 2,
        };
        (rank, tab.name.clone())
    });
    tabs
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn details_of_events_read_as_words() {
        assert_eq!(
            detail(&json!({ "release": 3, "commit": "0123456789abcdef", "build": "b-1", "branch": "main" })),
            "branch main, 01234567, release v3"
        );
        assert_eq!(detail(&json!({ "web": 2 })), "web 2");
        assert_eq!(detail(&json!({ "hostname": "a.example" })), "a.example");
        assert_eq!(detail(&json!({ "set": ["A", "B"], "unset": [] })), "set A, B");
        assert_eq!(detail(&json!({ "release": 4, "cause": { "cause": "config", "set": ["A"] } })), "set A, release v4");
        assert_eq!(detail(&json!(null)), "");
    }
}
