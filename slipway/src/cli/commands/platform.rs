//! Hosts, maintenance, and which way a request would take.

use model::{Code, Host, UserError};
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::args::{HostsVerb, MaintenanceVerb, RouterVerb, Switch, Target};
use crate::cli::client::{CallError, Payload, quote};
use crate::cli::context::{Context, env_path};

pub async fn hosts(context: &Context, verb: Option<&HostsVerb>) -> Result<(), CallError> {
    match verb {
        None => {
            let hosts: Vec<Host> = context.client.get("/api/v1/hosts").await?;
            context.output.answer(&hosts, |output| {
                let rows = hosts.iter().map(|host| {
                    vec![
                        host.name.to_string(),
                        host.zone.to_string(),
                        format!("{:?}", host.state).to_uppercase(),
                        host.capacity.slots.to_string(),
                        format!("{} MB", host.capacity.memory_mb),
                        format!("{:.1}", f64::from(host.capacity.cpu_millis) / 1000.0),
                        host.since.format("%Y-%m-%d %H:%M").to_string(),
                    ]
                });
                output.table(&["host", "zone", "state", "slots", "memory", "cpu", "since (utc)"], rows.collect());
            });
        }
        Some(HostsVerb::Maintenance { host, switch }) => {
            let path = format!("/api/v1/hosts/{}/maintenance", quote(host));
            let is_on = *switch == Switch::On;
            let done: Value = context.client.call(Method::PUT, &path, Payload::Json(json!({ "on": is_on }))).await?;
            context.output.answer(&done, |output| {
                output.line(match is_on {
                    true => format!("{host} is in maintenance: nothing new is placed on it, and what runs there moves away"),
                    false => format!("{host} takes instances again"),
                });
                output.note("slipway hosts   # shows the state of each host");
            });
        }
    }
    Ok(())
}

pub async fn maintenance(context: &Context, target: &Target, verb: Option<&MaintenanceVerb>) -> Result<(), CallError> {
    let app = context.target(target).await?;
    let path = format!("{}/maintenance", env_path(&app));
    let mode = match verb {
        None => {
            let now: Value = context.client.get(&path).await?;
            context.output.answer(&now, |output| {
                output.line(match now["mode"].as_str() {
                    Some("hold") => format!("{app} is in maintenance: requests wait for its end"),
                    Some(_) => format!("{app} is in maintenance: visitors get the maintenance page"),
                    None => format!("{app} is not in maintenance"),
                });
            });
            return Ok(());
        }
        Some(MaintenanceVerb::On { hold: false }) => Some("page"),
        Some(MaintenanceVerb::On { hold: true }) => Some("hold"),
        Some(MaintenanceVerb::Off) => None,
    };
    let done: Value = context.client.call(Method::PUT, &path, Payload::Json(json!({ "mode": mode }))).await?;
    context.output.answer(&done, |output| {
        output.line(match mode {
            Some("hold") => format!("{app} is in maintenance: requests wait, each for at most 30 s"),
            Some(_) => format!("{app} is in maintenance: visitors get the maintenance page, its instances run on"),
            None => format!("{app} serves again"),
        });
    });
    Ok(())
}

pub async fn router(context: &Context, verb: &RouterVerb) -> Result<(), CallError> {
    let RouterVerb::Trace { url } = verb;
    let host = host_of(url)?;
    let trace: Value = context.client.get(&format!("/api/v1/router/trace?host={}", quote(&host))).await?;
    context.output.answer(&trace, |output| {
        for step in trace["steps"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            output.line(step);
        }
    });
    Ok(())
}

/// The host name in a URL, or what was given where that is one.
fn host_of(url: &str) -> Result<String, CallError> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(authority, |(host, _)| host);
    if host.is_empty() || host.contains('@') {
        return Err(UserError::new(Code::BadRequest, format!("`{url}` has no host name"))
            .next("slipway router:trace http://shop-dev.acme.localhost:8080/")
            .into());
    }
    Ok(host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_found_in_what_people_paste() {
        for text in
            ["http://shop.localhost:8080/a?b#c", "shop.localhost", "shop.localhost:80", "https://shop.localhost", "shop.localhost/x:y"]
        {
            assert_eq!(host_of(text).ok().as_deref(), Some("shop.localhost"), "{text}");
        }
        assert!(host_of("http:///x").is_err() && host_of("http://u@h/").is_err());
    }
}
