//! Builds.

use model::{AppEnv, Build, BuildId, Code, UserError};

pub(crate) fn unknown_build(id: &BuildId) -> UserError {
    UserError::new(Code::NotFound, format!("there is no build {id}")).next("slipway builds")
}

/// `builds:cancel` of a build that has ended.
pub(crate) fn ended_already(build: &Build) -> UserError {
    UserError::new(Code::BadRequest, format!("build {} has ended already: {}", build.id, build.state.as_str()))
}

/// A build that an earlier server process left open.
pub(crate) fn lost(app: &AppEnv) -> UserError {
    UserError::new(Code::ServerStopped, "the server stopped while this build ran")
        .why("Nothing was released; what served before still serves.")
        .next(format!("git push paas-{} main", app.env))
}

/// A build whose release had failed when the server stopped; `reason` is the release's.
pub(crate) fn release_failed(app: &AppEnv, reason: Option<String>) -> UserError {
    UserError::new(Code::ServerStopped, format!("the release of {app} that this build made did not go live"))
        .why(reason.unwrap_or_default())
        .next(format!("slipway releases {}", super::target(app)))
}

pub(crate) fn cancelled(build: &BuildId) -> UserError {
    UserError::new(Code::Cancelled, format!("build {build} was cancelled")).why("Nothing was released; what served before still serves.")
}
