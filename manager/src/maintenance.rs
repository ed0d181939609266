//! Maintenance of an app: what visitors get while it is worked on. Instances go on running; only requests stay away.

use model::{AppEnv, Maintenance, UserError};
use serde_json::json;

use crate::authorize::Verb;
use crate::identity::Identity;
use crate::user_errors::apps::unknown_app;
use crate::{Manager, OrInternal};

impl Manager {
    /// What visitors get now; none: the app.
    pub async fn maintenance(&self, who: &Identity, app: &AppEnv) -> Result<Option<Maintenance>, UserError> {
        Ok(self.reach_env(who, Verb::PsShow, app).await?.maintenance)
    }

    /// Begins or ends maintenance. It holds over releases and restarts until somebody ends it.
    pub async fn set_maintenance(&self, who: &Identity, app: &AppEnv, mode: Option<Maintenance>) -> Result<(), UserError> {
        self.reach_env(who, Verb::MaintenanceSet, app).await?;
        let mut change = self.records.change().await.or_internal()?;
        let Some(mut env) = change.lock_env(app).await.or_internal()? else {
            return Err(unknown_app(&app.app_ref()));
        };
        if env.maintenance == mode {
            return Ok(());
        }
        env.maintenance = mode;
        change.save_env(&env).await.or_internal()?;
        let detail = json!({ "maintenance": mode });
        self.record(&mut change, who, Verb::MaintenanceSet, Some(&app.tenant), app.to_string(), detail).await?;
        change.commit().await.or_internal()?;
        self.project(app).await
    }

    /// Refuses a user who may not see which way requests for an app take.
    pub async fn may_trace(&self, who: &Identity, app: &AppEnv) -> Result<(), UserError> {
        self.reach_in(who, Verb::RouterTrace, app).await.map(drop)
    }
}
