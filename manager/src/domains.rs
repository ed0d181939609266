//! Domains: host names of its own that an app is reached by.

use chrono::Utc;
use model::{AppEnv, Code, Hostname, UserError};
use serde_json::json;
use store::records::Taken;

use crate::authorize::Verb;
use crate::identity::Identity;
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
            return Err(UserError::new(Code::NameTaken, format!("{hostname} leads to {app} already")).why("Nothing was changed."));
        }
        if hostname.is_within(&self.settings.domain) {
            return Err(UserError::new(Code::NameTaken, format!("{hostname} belongs to the platform"))
                .why(format!("Names under {} are given to apps by the platform.", self.settings.domain)));
        }
        let mut change = self.records.change().await.or_internal()?;
        if let Err(error) = change.take_hostname(hostname, app, false, Utc::now()).await {
            return Err(if error.is_taken() {
                UserError::new(Code::NameTaken, format!("{hostname} is taken"))
                    .why("An app of this platform has it.")
                    .next(format!("slipway domains:remove {hostname}   # by whoever has it"))
            } else {
                crate::internal(&error)
            });
        }
        self.record(&mut change, who, Verb::DomainsAdd, Some(&app.tenant), app.to_string(), json!({ "hostname": hostname })).await?;
        change.commit().await.or_internal()?;
        self.project(app).await
    }

    /// Gives up an added host name.
    pub async fn remove_domain(&self, who: &Identity, app: &AppEnv, hostname: &Hostname) -> Result<(), UserError> {
        self.reach_env(who, Verb::DomainsRemove, app).await?;
        if self.records.hostnames_of(app).await.or_internal()?.iter().any(|taken| taken.hostname == *hostname && taken.platform) {
            return Err(UserError::new(
                Code::BadRequest,
                format!("{hostname} is given to {app} by the platform and stays as long as the app"),
            )
            .why("Only added host names can be removed. Nothing was changed."));
        }
        let mut change = self.records.change().await.or_internal()?;
        if !change.give_up_hostname(hostname, app).await.or_internal()? {
            return Err(UserError::new(Code::NotFound, format!("{app} has no added domain {hostname}")).next(format!(
                "slipway domains -a {} -e {}",
                app.app_ref(),
                app.env
            )));
        }
        self.record(&mut change, who, Verb::DomainsRemove, Some(&app.tenant), app.to_string(), json!({ "hostname": hostname })).await?;
        change.commit().await.or_internal()?;
        self.project(app).await
    }
}
