//! Config keys and values.

use std::collections::BTreeMap;

use model::{Code, UserError};
use reqwest::Method;
use serde_json::json;

use super::{stream, twice};
use crate::cli::args::{ConfigVerb, Target};
use crate::cli::client::{CallError, Payload};
use crate::cli::context::{Context, env_path};

pub async fn run(context: &Context, target: &Target, verb: Option<&ConfigVerb>) -> Result<(), CallError> {
    let app = context.target(target).await?;
    let path = format!("{}/config", env_path(&app));
    match verb {
        None => {
            let keys: Vec<String> = context.client.get(&path).await?;
            context.output.answer(&keys, |output| {
                if keys.is_empty() {
                    output.note(format!("no config yet: slipway config:set KEY=value -a {} -e {}", app.app_ref(), app.env));
                }
                keys.iter().for_each(|key| output.line(key));
            });
            Ok(())
        }
        Some(ConfigVerb::Get { key }) => {
            let values: BTreeMap<String, String> = context.client.get(&format!("{path}/values")).await?;
            match key {
                None => context.output.answer(&values, |output| values.iter().for_each(|(k, v)| output.line(format!("{k}={v}")))),
                Some(key) => match values.get(key) {
                    Some(value) => context.output.answer(value, |output| output.line(value)),
                    None => {
                        return Err(UserError::new(Code::NotFound, format!("{app} has no config key `{key}`"))
                            .next("slipway config")
                            .into());
                    }
                },
            }
            Ok(())
        }
        Some(ConfigVerb::Set { pairs }) => {
            let mut set = BTreeMap::new();
            for pair in pairs {
                let Some((key, value)) = pair.split_once('=') else {
                    return Err(UserError::new(Code::BadRequest, format!("`{pair}` is not KEY=VALUE"))
                        .next("slipway config:set KEY=value")
                        .into());
                };
                if set.insert(key.to_owned(), value.to_owned()).is_some() {
                    return Err(twice(key, "value").into());
                }
            }
            change(context, &path, json!({ "set": set, "unset": [] })).await
        }
        Some(ConfigVerb::Unset { keys }) => change(context, &path, json!({ "set": {}, "unset": keys })).await,
    }
}

async fn change(context: &Context, path: &str, body: serde_json::Value) -> Result<(), CallError> {
    let pieces = context.client.stream(Method::PATCH, path, Payload::Json(body)).await?;
    let done = stream::progress(context, pieces).await?;
    context.output.answer(&done, |output| {
        output.line(match done["release"].as_str() {
            Some(release) => format!("config is set with release {release}"),
            None if done["changed"] == false => "nothing changed: the config is like that already".to_owned(),
            None => "config is set; it takes effect with the next release".to_owned(),
        });
    });
    Ok(())
}
