//! Config: environment variables set on the server. Sealed at rest; a change is one release.

use std::collections::BTreeMap;

use model::manifest::{is_platforms, is_variable};
use model::{AppEnv, ReleaseNumber, UserError, release::Cause};
use serde_json::json;

use crate::authorize::Verb;
use crate::identity::Identity;
use crate::user_errors::apps::unknown_app;
use crate::user_errors::config as config_errors;
use crate::{Manager, OrInternal};

/// Largest config of an app in bytes, names and values.
const MAX_CONFIG: usize = 64 * 1024;

/// The result of a change of config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigChange {
    /// Whether any value differs from before.
    pub changed: bool,
    /// The release with the new config; `None` when nothing runs yet or nothing changed.
    pub release: Option<ReleaseNumber>,
}

impl Manager {
    /// The names of the config keys.
    pub async fn config_keys(&self, who: &Identity, app: &AppEnv) -> Result<Vec<String>, UserError> {
        Ok(self.reach_env(who, Verb::ConfigKeys, app).await?.config_keys)
    }

    /// The config with its values. Reading them is a right of its own, and recorded as an event.
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
    ) -> Result<ConfigChange, UserError> {
        self.reach_in(who, Verb::ConfigSet, app).await?;
        for key in set.keys().chain(&unset) {
            check_key(key)?;
        }
        if let Some((key, _)) = set.iter().find(|(_, value)| value.contains('\0')) {
            return Err(config_errors::nul_in_value(key));
        }
        let env = self.ensure_env(app).await?;
        let mut config = self.open_config(&env)?;
        let before = config.clone();
        for key in &unset {
            if config.remove(key).is_none() {
                return Err(config_errors::unknown_key(app, key));
            }
        }
        config.extend(set.clone());
        if config == before {
            return Ok(ConfigChange { changed: false, release: None });
        }
        let size: usize = config.iter().map(|(key, value)| key.len() + value.len()).sum();
        if size > MAX_CONFIG {
            return Err(config_errors::too_large(app, size, MAX_CONFIG));
        }
        let cause = Cause::Config { set: set.keys().cloned().collect(), unset: unset.clone() };
        let mut change = self.records.change().await.or_internal()?;
        let Some(mut locked) = change.lock_env(app).await.or_internal()? else {
            return Err(unknown_app(&app.app_ref()));
        };
        if locked.config != env.config {
            return Err(config_errors::changed_meanwhile(app));
        }
        locked.config_keys = config.keys().cloned().collect();
        locked.config = Some(self.keyring.seal_map(&app.to_string(), &config));
        let base = match locked.current {
            Some(current) => self.records.release(app, current).await.or_internal()?,
            // No release was ever good: the one that failed is tried with the new config.
            None => self.newest_failed(app).await?,
        };
        let number = match base {
            Some(base) => {
                let whole = match base.release.app_yaml_keys {
                    Some(_) => self.config_over(&base, &locked)?,
                    // It was not noted which keys are from app.yaml: those that were not set before.
                    None => {
                        let mut whole = self.keyring.open_map(&app.to_string(), &base.spec.config).or_internal()?;
                        whole.retain(|key, _| !before.contains_key(key));
                        whole.extend(config);
                        whole
                    }
                };
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
        Ok(ConfigChange { changed: true, release: number })
    }
}

fn check_key(key: &str) -> Result<(), UserError> {
    if !is_variable(key) {
        return Err(config_errors::bad_key(key));
    }
    if is_platforms(key) {
        return Err(config_errors::reserved_key(key));
    }
    Ok(())
}
