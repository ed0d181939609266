//! Config: environment variables set on the server. Sealed at rest; a change is one release.

use std::collections::BTreeMap;

use model::manifest::{is_platforms, is_variable};
use model::{AppEnv, Code, ReleaseNumber, UserError, release::Cause};
use serde_json::json;

use crate::authorize::Verb;
use crate::identity::Identity;
use crate::{Manager, OrInternal};

/// Largest config of an app in bytes, names and values.
const MAX_CONFIG: usize = 64 * 1024;

/// What came of a change of config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigDone {
    /// Whether anything is other than before.
    pub changed: bool,
    /// The release of it; none when nothing runs yet or nothing changed.
    pub release: Option<ReleaseNumber>,
}

impl Manager {
    /// The names of the config keys.
    pub async fn config_keys(&self, who: &Identity, app: &AppEnv) -> Result<Vec<String>, UserError> {
        Ok(self.reach_env(who, Verb::ConfigKeys, app).await?.config_keys)
    }

    /// The values, which is a right of its own and an event.
    pub async fn config_values(&self, who: &Identity, app: &AppEnv) -> Result<BTreeMap<String, String>, UserError> {
        let env = self.reach_env(who, Verb::ConfigGet, app).await?;
        let mut change = self.records.change().await.or_internal()?;
        let detail = json!({ "keys": env.config_keys });
        self.record(&mut change, who, Verb::ConfigGet, Some(&app.tenant), app.to_string(), detail).await?;
        change.commit().await.or_internal()?;
        self.open_config(&env)
    }

    /// Sets and removes keys in one step.
    pub async fn set_config(
        &self,
        who: &Identity,
        app: &AppEnv,
        set: BTreeMap<String, String>,
        unset: Vec<String>,
    ) -> Result<ConfigDone, UserError> {
        self.reach_in(who, Verb::ConfigSet, app).await?;
        for key in set.keys().chain(&unset) {
            check_key(key)?;
        }
        let env = self.ensure_env(app).await?;
        let mut config = self.open_config(&env)?;
        let before = config.clone();
        for key in &unset {
            if config.remove(key).is_none() {
                return Err(UserError::new(Code::NotFound, format!("{app} has no config key `{key}`")).next(format!(
                    "slipway config -a {} -e {}",
                    app.app_ref(),
                    app.env
                )));
            }
        }
        config.extend(set.clone());
        if config == before {
            return Ok(ConfigDone { changed: false, release: None });
        }
        let size: usize = config.iter().map(|(key, value)| key.len() + value.len()).sum();
        if size > MAX_CONFIG {
            return Err(UserError::new(Code::BadRequest, format!("the config of {app} would be {size} bytes"))
                .why(format!("At most {} KiB ({MAX_CONFIG} bytes) are kept, names and values of all keys together.", MAX_CONFIG / 1024))
                .next("put large values into files of the repository, or fetch them when the app starts"));
        }
        let cause = Cause::Config { set: set.keys().cloned().collect(), unset: unset.clone() };
        let mut change = self.records.change().await.or_internal()?;
        let Some(mut locked) = change.lock_env(app).await.or_internal()? else {
            return Err(crate::events::unknown_app(&app.app_ref()));
        };
        if locked.config != env.config {
            return Err(
                UserError::new(Code::InUse, format!("somebody else changed the config of {app} at the same time")).next("try again")
            );
        }
        locked.config_keys = config.keys().cloned().collect();
        locked.config = Some(self.keyring.seal_map(&app.to_string(), &config));
        let base = match locked.current {
            Some(current) => self.records.release(app, current).await.or_internal()?,
            None => None,
        };
        let number = match base {
            Some(base) => {
                // What app.yaml set stays, unless a key goes over it.
                let mut whole = self.keyring.open_map(&app.to_string(), &base.spec.config).or_internal()?;
                whole.retain(|key, _| !before.contains_key(key));
                whole.extend(config);
                Some(self.release_again(&mut change, who, &mut locked, base, cause.clone(), &whole).await?)
            }
            None => {
                change.save_env(&locked).await.or_internal()?;
                None
            }
        };
        // One change is one event, in one transaction with all that it did.
        let detail = json!({ "release": number, "cause": cause });
        self.record(&mut change, who, Verb::ConfigSet, Some(&app.tenant), app.to_string(), detail).await?;
        change.commit().await.or_internal()?;
        if number.is_some() {
            self.project(app).await?;
        }
        Ok(ConfigDone { changed: true, release: number })
    }
}

fn check_key(key: &str) -> Result<(), UserError> {
    if !is_variable(key) {
        return Err(UserError::new(Code::BadName, format!("`{}` is not a config key", key.escape_debug()))
            .why("Letters, digits and underscores are allowed, not starting with a digit."));
    }
    if is_platforms(key) {
        return Err(UserError::new(Code::BadName, format!("`{key}` is set by the platform")).next("choose another name"));
    }
    Ok(())
}
