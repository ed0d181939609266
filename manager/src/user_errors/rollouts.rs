//! Rollouts that do not end well.

use std::time::Duration;

use model::{AppEnv, Code, InstanceState, InstanceStatus, ReleaseNumber, UserError, release::Cause};

use super::target;

/// An instance that fails the rollout, with its reason and its last lines.
pub(crate) fn broken_instance(status: &InstanceStatus) -> UserError {
    let app = &status.app;
    let code = status.code.unwrap_or(match status.state {
        InstanceState::ImageMissing => Code::ImageMissing,
        InstanceState::ImagePullFailed => Code::ImagePullFailed,
        _ => Code::CrashedAtStart,
    });
    let mut why = status.reason.clone().unwrap_or_default();
    if let Some(exit) = &status.last_exit
        && why.is_empty()
    {
        why = if exit.oom { "It ran out of memory.".into() } else { format!("It exited with status {}.", exit.code) };
    }
    let lines = status.last_exit.iter().flat_map(|exit| exit.last_lines.iter().cloned());
    UserError::new(code, format!("{} of {app} {} did not become healthy", status.label(), status.release))
        .why(why)
        .evidence_lines(lines)
        .next(format!("slipway logs {}", target(app)))
}

/// The app was destroyed during the rollout.
pub(crate) fn destroyed_meanwhile(app: &AppEnv) -> UserError {
    UserError::new(Code::UnknownApp, format!("{app} was destroyed meanwhile"))
}

/// A newer release took the place of the one that was rolled out.
pub(crate) fn superseded(app: &AppEnv, number: ReleaseNumber, newer: ReleaseNumber) -> UserError {
    UserError::new(Code::Superseded, format!("{newer} of {app} took the place of {number}"))
        .next(format!("slipway releases {}", target(app)))
}

/// Not healthy in time. `blocked` says why instances have no place, `crashes` are reasons of crashes that were not printed yet.
pub(crate) fn timed_out<'a>(
    app: &AppEnv,
    number: ReleaseNumber,
    limit: Duration,
    (healthy, wanted): (u32, u32),
    blocked: &str,
    crashes: impl Iterator<Item = &'a str>,
) -> UserError {
    let code = if blocked.is_empty() { Code::RolloutTimeout } else { Code::NoCapacity };
    let user_error = UserError::new(code, format!("{number} of {app} did not become healthy in time"))
        .why(format!("After {} s, {healthy} of {wanted} were healthy. {blocked}", limit.as_secs()))
        .next(format!("slipway ps {}", target(app)));
    crashes.fold(user_error, |user_error, reason| user_error.also(format!("One crashed: {reason}.")))
}

/// Adds what a user can do after a failed release, by what made it. `serving` is the release that still serves.
pub(crate) fn with_ways_on(
    user_error: UserError,
    app: &AppEnv,
    number: ReleaseNumber,
    cause: Option<&Cause>,
    serving: Option<ReleaseNumber>,
) -> UserError {
    let at = target(app);
    let user_error = match serving {
        Some(good) => user_error.also(format!("{good} still serves.")),
        None => user_error,
    };
    match cause {
        // The value stays set: the next push would meet it again.
        Some(Cause::Config { set, .. }) if !set.is_empty() => {
            let keys = set.join(" ");
            let user_error =
                user_error.also(format!("{keys} stays set for the next release.")).next(format!("slipway config:unset {keys} {at}"));
            match serving {
                Some(_) => user_error.next(format!("slipway rollback {at}   # back to the release and the config that serve")),
                None => user_error,
            }
        }
        // The ref has moved already: the same commit can not be pushed again, but its release can be tried again.
        Some(Cause::Push) => user_error
            .next("mend it, commit and push again")
            .next(format!("slipway releases:retry {at}   # tries {number} again, with the config of now")),
        _ => user_error.next(format!("slipway releases {at}")),
    }
}
