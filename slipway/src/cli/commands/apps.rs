//! Apps, domains, events.

use model::Event;
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::args::{AppsVerb, DomainsVerb, Target};
use crate::cli::client::{CallError, Payload, quote};
use crate::cli::context::{Context, app_path, env_path};

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("-")
}

pub async fn run(context: &Context, verb: Option<&AppsVerb>) -> Result<(), CallError> {
    match verb {
        None => {
            let apps: Value = context.client.get("/api/v1/apps").await?;
            context.output.answer(&apps, |output| {
                let rows: Vec<Vec<String>> = apps
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|app| vec![text(app, "app").to_owned(), text(app, "team").to_owned()])
                    .collect();
                if rows.is_empty() {
                    output.note("no apps yet: slipway init, then git push paas-dev main");
                } else {
                    output.table(&["app", "team"], rows);
                }
            });
        }
        Some(AppsVerb::Create { app, team }) => {
            let made: Value = context.client.post("/api/v1/apps", json!({ "app": app, "team": team })).await?;
            context.output.answer(&made, |output| {
                output.line(format!("{} is made", text(&made, "app")));
                for env in made["envs"].as_array().into_iter().flatten() {
                    output.line(format!("  git remote add paas-{} {}", text(env, "env"), text(env, "remote")));
                }
            });
        }
        Some(AppsVerb::Info { app }) => {
            let target = Target { app: app.clone(), ..Target::default() };
            let app = context.target(&target).await?.app_ref();
            let info: Value = context.client.get(&app_path(&app)).await?;
            context.output.answer(&info, |output| {
                output.line(format!("{}  team {}", text(&info, "app"), text(&info, "team")));
                for env in info["envs"].as_array().into_iter().flatten() {
                    output.line(format!("  {}", text(env, "env")));
                    output.line(format!("    release  {}", env["current"].as_str().unwrap_or("none yet")));
                    output.line(format!("    url      {}", text(env, "url")));
                    output.line(format!("    remote   {}", text(env, "remote")));
                    output.line(format!("    branch   {}", env["deploy_branch"].as_str().unwrap_or("the first that is pushed")));
                }
            });
        }
        Some(AppsVerb::Destroy { app, confirm }) => {
            let app = context.resolve(app).await?;
            let path = format!("{}?confirm={}", app_path(&app), quote(confirm));
            let _: Value = context.client.call(Method::DELETE, &path, Payload::None).await?;
            context.output.answer(&json!({}), |output| output.line(format!("{app} is destroyed")));
        }
    }
    Ok(())
}

pub async fn domains(context: &Context, target: &Target, verb: Option<&DomainsVerb>) -> Result<(), CallError> {
    let app = context.target(target).await?;
    let path = format!("{}/domains", env_path(&app));
    match verb {
        None => {
            let domains: Value = context.client.get(&path).await?;
            context.output.answer(&domains, |output| {
                for domain in domains.as_array().into_iter().flatten() {
                    let note = if domain["platform"] == true { "  (given by the platform)" } else { "" };
                    output.line(format!("{}{note}", text(domain, "hostname")));
                }
            });
        }
        Some(DomainsVerb::Add { hostname }) => {
            let _: Value = context.client.post(&path, json!({ "hostname": hostname })).await?;
            context.output.answer(&json!({}), |output| output.line(format!("{hostname} leads to {app} now")));
        }
        Some(DomainsVerb::Remove { hostname }) => {
            let path = format!("{path}?hostname={}", quote(hostname));
            let _: Value = context.client.call(Method::DELETE, &path, Payload::None).await?;
            context.output.answer(&json!({}), |output| output.line(format!("{hostname} does not lead to {app} any more")));
        }
    }
    Ok(())
}

pub async fn events(context: &Context, target: &Target, lines: u32) -> Result<(), CallError> {
    let app = context.target(target).await?.app_ref();
    let events: Vec<Event> = context.client.get(&format!("{}/events?limit={lines}", app_path(&app))).await?;
    context.output.answer(&events, |output| {
        let rows = events.iter().map(|event| {
            vec![
                event.at.format("%Y-%m-%d %H:%M:%S").to_string(),
                event.actor.to_string(),
                event.verb.clone(),
                event.object.clone(),
                event.outcome.as_str().to_owned(),
                event.origin.0.clone(),
            ]
        });
        output.table(&["when (utc)", "who", "what", "to", "result", "from"], rows.collect());
    });
    Ok(())
}
