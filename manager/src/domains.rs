//! Domains: the host names of an app, those that the platform gives it and those that its users add.

use chrono::Utc;
use model::{AppEnv, Hostname, UserError};
use serde_json::json;
use store::records::Taken;

use crate::authorize::Verb;
use crate::identity::Identity;
use crate::user_errors::domains as errors;
use crate::{Manager, OrInternal};

impl Manager {
    /// The host names of an app, the platform's first.
    pub async fn domains(&self, who: &Identity, app: &AppEnv) -> Result<Vec<Taken>, UserError> {
        self.reach_env(who, Verb::DomainsShow, app).await?;
        self.records.hostnames_of(app).await.or_internal()
    }

    /// Adds a host name. Names under the platform's own domain are the platform's to give.
    pub async fn add_domain(&self, who: &Identity, app: &AppEnv, hostname: &Hostname) -> Result<(), UserError> {
        self.reach_env(who, Verb::DomainsAdd, app).await?;
        if self.records.hostnames_of(app).await.or_internal()?.iter().any(|taken| taken.hostname == *hostname) {
            return Err(errors::added_already(hostname, app));
        }
        if hostname.is_within(&self.settings.domain) {
            return Err(errors::below_platform_domain(hostname, &self.settings.domain));
        }
        let mut change = self.records.change().await.or_internal()?;
        if let Err(error) = change.take_hostname(hostname, app, false, Utc::now()).await {
            return Err(if error.is_taken() { errors::taken(hostname) } else { crate::internal(&error) });
        }
        self.record(&mut change, who, Verb::DomainsAdd, Some(&app.tenant), app.to_string(), json!({ "hostname": hostname })).await?;
        change.commit().await.or_internal()?;
        self.project(app).await
    }

    /// Gives up an added host name.
    pub async fn remove_domain(&self, who: &Identity, app: &AppEnv, hostname: &Hostname) -> Result<(), UserError> {
        self.reach_env(who, Verb::DomainsRemove, app).await?;
        if self.records.hostnames_of(app).await.or_internal()?.iter().any(|taken| taken.hostname == *hostname && taken.platform) {
            return Err(errors::given_by_platform(hostname, app));
        }
        let mut change = self.records.change().await.or_internal()?;
        if !change.give_up_hostname(hostname, app).await.or_internal()? {
            return Err(errors::not_added(hostname, app));
        }
        self.record(&mut change, who, Verb::DomainsRemove, Some(&app.tenant), app.to_string(), json!({ "hostname": hostname })).await?;
        change.commit().await.or_internal()?;
        self.project(app).await
    }
}
