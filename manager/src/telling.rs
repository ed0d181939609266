//! `Telling`: what is said of each instance while a rollout is watched.
//!
//! Owns that a reason is said once. A rollout that fails ends with a block that has the reason and the last lines of an instance; so a
//! crash is told as it happens, and its reason is held back for that block, or for the line that says that all is well again.

use std::collections::{BTreeMap, BTreeSet};

use model::{InstanceId, InstanceState, InstanceStatus};

use crate::output::Output;
use crate::rollout::is_broken;

/// What has been said, and what is held back.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    seen: BTreeSet<(InstanceId, InstanceState, u32)>,
    said: BTreeSet<(InstanceId, String)>,
    held: BTreeMap<InstanceId, String>,
}

impl Telling {
    /// Tells of an instance whatever is new; `at` is the time since the rollout began, in words.
    pub(crate) fn tell(&mut self, status: &InstanceStatus, at: &str, to: &dyn Output) {
        if !self.seen.insert((status.id.clone(), status.state, status.restarts)) {
            return;
        }
        let place = format!("{} on {} in zone {}", status.label(), status.host, status.zone);
        let reason = status.reason.clone().unwrap_or_default();
        match status.state {
            InstanceState::Healthy => {
                let before = self.held.remove(&status.id).map(|reason| format!(", started again after a crash: {reason}"));
                to.detail(format!("{place}: healthy after {at}{}", before.unwrap_or_default()));
            }
            // The block that ends the rollout says it, at once.
            _ if is_broken(status) => drop(self.held.remove(&status.id)),
            // Its start is no news of its own.
            InstanceState::Pulling | InstanceState::Starting => {}
            InstanceState::Crashed if status.last_exit.is_some() => {
                self.held.insert(status.id.clone(), reason);
                to.warn(format!("{place}: crashed; it is started again"));
            }
            state if reason.is_empty() => to.warn(format!("{place}: {}", state.as_str())),
            state => {
                let is_new = self.said.insert((status.id.clone(), reason.clone()));
                to.warn(format!("{place}: {}{}", state.as_str(), if is_new { format!(": {reason}") } else { " again".into() }));
            }
        }
    }

    /// Reasons that were held back, for a rollout that ends without an instance to blame.
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
    struct Heard(Mutex<Vec<String>>);

    impl Output for Heard {
        fn line(&self, line: &str) {
            self.0.lock().expect("no test holds it").push(line.trim_start_matches([' ', '!']).to_owned());
        }
    }

    const EXITED: &str = "it ended while starting, exit code 1";

    /// An instance in each of these states, with its restarts, its reason, and whether it has exited before.
    fn told(states: &[(InstanceState, u32, &str, bool)]) -> (Vec<String>, Vec<String>) {
        let (heard, mut telling) = (Heard::default(), Telling::default());
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
            telling.tell(&status, "3.0 s", &heard);
        }
        (heard.0.into_inner().expect("no test holds it"), telling.held().map(str::to_owned).collect())
    }

    #[test]
    fn a_crash_is_told_and_its_reason_left_to_the_end() {
        use InstanceState::{Crashed, Healthy, Pulling, Starting};
        let first = [(Pulling, 0, "", false), (Starting, 0, "", false), (Crashed, 0, EXITED, true), (Starting, 1, EXITED, true)];
        let crashed = "web.1 on one in zone a: crashed; it is started again";
        assert_eq!(told(&first), (vec![crashed.to_owned()], vec![EXITED.to_owned()]));
        let failed = [&first[..], &[(Crashed, 1, EXITED, true), (Starting, 2, EXITED, true), (Crashed, 2, EXITED, true)]].concat();
        assert_eq!(told(&failed), (vec![crashed.to_owned(); 2], vec![]), "the block says it");
        let mended = [&first[..], &[(Healthy, 1, "", true)]].concat();
        let healthy = format!("web.1 on one in zone a: healthy after 3.0 s, started again after a crash: {EXITED}");
        assert_eq!(told(&mended), (vec![crashed.to_owned(), healthy], vec![]));
    }

    #[test]
    fn what_no_block_will_say_is_said_once() {
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
        assert_eq!(told(&states), (lines.to_vec(), vec![]));
    }
}
