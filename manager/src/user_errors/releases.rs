//! Releases and going back to one.

use model::{AppEnv, Code, Release, ReleaseNumber, UserError};

use super::target;

pub(crate) fn unknown_release(app: &AppEnv, number: ReleaseNumber) -> UserError {
    UserError::new(Code::NoRelease, format!("{app} has no release {number}")).next(format!("slipway releases {}", target(app)))
}

pub(crate) fn nothing_to_roll_back_to(app: &AppEnv) -> UserError {
    UserError::new(Code::NoRelease, format!("{app} has no earlier release that served")).next(format!("slipway releases {}", target(app)))
}

/// A release whose push never moved its ref.
pub(crate) fn never_released(release: &Release) -> UserError {
    UserError::new(Code::NoRelease, format!("{} of {} was never released", release.number, release.app))
}

pub(crate) fn image_missing(release: &Release) -> UserError {
    UserError::new(Code::ImageMissing, format!("the image of {} is not in the registry any more", release.number))
        .next(format!("check out {} and push it again", release.commit))
}

pub(crate) fn nothing_to_retry(app: &AppEnv) -> UserError {
    UserError::new(Code::NoRelease, format!("the newest release of {app} did not fail"))
        .why("Only a release that failed can be tried again.")
        .next(format!("slipway releases {}", target(app)))
}

pub(crate) fn did_not_fail(release: &Release) -> UserError {
    UserError::new(Code::NoRelease, format!("{} of {} did not fail: it is {}", release.number, release.app, release.state.as_str()))
        .why("Only a release that failed can be tried again.")
        .next(format!("slipway rollback {} {}   # brings back what it was", release.number, target(&release.app)))
}

/// A push with nothing new, after a release that failed.
pub(crate) fn up_to_date_but_failed(release: &Release) -> UserError {
    UserError::new(Code::RolloutTimeout, format!("{} of {} failed, and this push brings nothing new", release.number, release.app))
        .why(release.reason.clone().unwrap_or_default())
        .next(format!("slipway releases:retry {}   # tries it again, with the config of now", target(&release.app)))
        .next("or mend it, commit and push again")
}
