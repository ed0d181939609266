//! The progress of a rollout: what is printed of each instance while it starts.
//!
//! Prints each reason once. A failed rollout ends with an error that has the reason and the last lines of an instance; so a crash
//! is printed as it happens, and its reason is held back for that error, or for the line that says that the instance is healthy.

use std::collections::{BTreeMap, BTreeSet};

use model::{InstanceId, InstanceState, InstanceStatus};

use crate::output::Output;
use crate::rollout::status::is_broken;

/// What was printed, and what is held back.
#[derive(Debug, Default)]
pub(crate) struct RolloutProgress {
    /// States that were handled, with the restarts at that time.
    seen: BTreeSet<(InstanceId, InstanceState, u32)>,
    /// Reasons that were printed.
    printed: BTreeSet<(InstanceId, String)>,
    /// Reasons of crashes that were not printed yet.
    held: BTreeMap<InstanceId, String>,
}

impl RolloutProgress {
    /// Prints what is new about an instance; `at` is the time since the rollout began, as text.
    pub(crate) fn print(&mut self, status: &InstanceStatus, at: &str, output: &dyn Output) {
        if !self.seen.insert((status.id.clone(), status.state, status.restarts)) {
            return;
        }
        let place = format!("{} on {} in zone {}", status.label(), status.host, status.zone);
        let reason = status.reason.clone().unwrap_or_default();
        match status.state {
            InstanceState::Healthy => {
                let before = self.held.remove(&status.id).map(|reason| format!(", started again after a crash: {reason}"));
                output.detail(format!("{place}: healthy after {at}{}", before.unwrap_or_default()));
            }
            // The error that ends the rollout has its reason.
            _ if is_broken(status) => drop(self.held.remove(&status.id)),
            // The step's title says already that instances start.
            InstanceState::Pulling | InstanceState::Starting => {}
            InstanceState::Crashed if status.last_exit.is_some() => {
                self.held.insert(status.id.clone(), reason);
                output.warn(format!("{place}: crashed; it is started again"));
            }
            state if reason.is_empty() => output.warn(format!("{place}: {}", state.as_str())),
            state => {
                let is_new = self.printed.insert((status.id.clone(), reason.clone()));
                output.warn(format!("{place}: {}{}", state.as_str(), if is_new { format!(": {reason}") } else { " again".into() }));
            }
        }
    }

    /// Reasons of crashes that were held back, for a rollout that ends without a broken instance.
    pub(crate) fn held(&self) -> impl Iterator<Item = &str> {
        let reasons: BTreeSet<&str> = self.held.values().map(String::as_str).filter(|reason| !reason.is_empty()).collect();
        reasons.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    use model::{Code, Exit, ReleaseNumber};

    #[derive(Default)]
    struct Recorded(Mutex<Vec<String>>);

    impl Output for Recorded {
        fn line(&self, line: &str) {
            self.0.lock().expect("no test holds it").push(line.trim_start_matches([' ', '!']).to_owned());
        }
    }

    const EXITED: &str = "it ended while starting, exit code 1";

    /// An instance in each of these states, with its restarts, its reason, and whether it has exited before.
    fn printed(states: &[(InstanceState, u32, &str, bool)]) -> (Vec<String>, Vec<String>) {
        let (output, mut progress) = (Recorded::default(), RolloutProgress::default());
        for (state, restarts, reason, exited) in states {
            let exit = Exit { code: 1, oom: false, at: chrono::DateTime::UNIX_EPOCH, last_lines: vec!["boom".into()] };
            let status = InstanceStatus {
                id: InstanceId::mint([1; 10]),
                app: "acme/shop/dev".parse().expect("a path"),
                process: model::ProcessName::web(),
                ordinal: 1,
                release: ReleaseNumber(2),
                epoch: 0,
                host: "one".parse().expect("a name"),
                zone: "a".parse().expect("a name"),
                state: *state,
                address: None,
                since: chrono::DateTime::UNIX_EPOCH,
                restarts: *restarts,
                last_exit: exited.then_some(exit),
                reason: Some((*reason).to_owned()).filter(|reason| !reason.is_empty()),
                code: Some(Code::CrashedAtStart),
            };
            progress.print(&status, "3.0 s", &output);
        }
        (output.0.into_inner().expect("no test holds it"), progress.held().map(str::to_owned).collect())
    }

    #[test]
    fn a_crash_is_printed_and_its_reason_left_to_the_end() {
        use InstanceState::{Crashed, Healthy, Pulling, Starting};
        let first = [(Pulling, 0, "", false), (Starting, 0, "", false), (Crashed, 0, EXITED, true), (Starting, 1, EXITED, true)];
        let crashed = "web.1 on one in zone a: crashed; it is started again";
        assert_eq!(printed(&first), (vec![crashed.to_owned()], vec![EXITED.to_owned()]));
        let failed = [&first[..], &[(Crashed, 1, EXITED, true), (Starting, 2, EXITED, true), (Crashed, 2, EXITED, true)]].concat();
        assert_eq!(printed(&failed), (vec![crashed.to_owned(); 2], vec![]), "the error has it");
        let mended = [&first[..], &[(Healthy, 1, "", true)]].concat();
        let healthy = format!("web.1 on one in zone a: healthy after 3.0 s, started again after a crash: {EXITED}");
        assert_eq!(printed(&mended), (vec![crashed.to_owned(), healthy], vec![]));
    }

    #[test]
    fn a_reason_that_no_error_will_have_is_printed_once() {
        use InstanceState::{Crashed, ImagePullFailed, Pulling};
        let away = "the container engine of its host could not look for its image";
        let states = [
            (ImagePullFailed, 0, "no such host", false),
            (Pulling, 0, "no such host", false),
            (ImagePullFailed, 0, "no such host", false),
            (Crashed, 0, away, false),
            (ImagePullFailed, 1, "no such host", false),
        ];
        let place = "web.1 on one in zone a";
        let lines = [
            format!("{place}: {}: no such host", ImagePullFailed.as_str()),
            format!("{place}: crashed: {away}"),
            format!("{place}: {} again", ImagePullFailed.as_str()),
        ];
        assert_eq!(printed(&states), (lines.to_vec(), vec![]));
    }
}
