//! `ScriptOutcome`: how a script ended by itself, from the engine's exit state and from what was observed of it.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::engine::ContainerExit;
use crate::sandbox::limits::{LimitHit, Limits};

/// Last lines of output that are kept as evidence.
const EVIDENCE: usize = 20;

/// How a script ended by itself.
pub struct ScriptOutcome {
    /// Its exit code.
    pub code: i64,
    /// The limit that it met.
    pub hit: Option<LimitHit>,
    /// The last lines that it printed.
    pub last: Vec<String>,
}

impl ScriptOutcome {
    /// The outcome, from the engine's exit state and from what was observed.
    pub fn of(ended: ContainerExit, seen: &Evidence, limits: &Limits) -> Self {
        let last = seen.last();
        let said = |words: &[&str]| last.iter().any(|line| words.iter().any(|word| line.contains(word)));
        let hit = if ended.out_of_memory {
            Some(LimitHit::Memory)
        } else if seen.reached_pids_limit()
            || (limits.pids > 0
                && said(&["fork: Resource temporarily unavailable", "fork: retry", "can't start new thread", "pthread_create failed"]))
        {
            Some(LimitHit::Processes)
        } else if ended.code == 153 || said(&["File size limit exceeded"]) {
            Some(LimitHit::Disk)
        } else {
            None
        };
        Self { code: ended.code, hit, last }
    }
}

/// What is observed of a build while it runs: its last lines, and whether it reached its limit of processes.
#[derive(Debug, Default)]
pub struct Evidence {
    state: Mutex<(VecDeque<String>, bool)>,
}

impl Evidence {
    fn state(&self) -> std::sync::MutexGuard<'_, (VecDeque<String>, bool)> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Keeps the last of these lines.
    pub fn note(&self, lines: impl Iterator<Item = String>) {
        let mut state = self.state();
        for line in lines.filter(|line| !line.trim().is_empty()) {
            if state.0.len() == EVIDENCE {
                state.0.pop_front();
            }
            state.0.push_back(line);
        }
    }

    /// Whether there were, at this moment, as many processes as there may be.
    pub fn note_pids(&self, at_limit: bool) {
        self.state().1 |= at_limit;
    }

    fn reached_pids_limit(&self) -> bool {
        self.state().1
    }

    /// The last lines, for reading: a screen's width or two, without colours.
    pub fn last(&self) -> Vec<String> {
        self.state().0.iter().map(|line| strip_colours(line).chars().take(300).collect()).collect()
    }
}

/// A clean line without its colour sequences.
fn strip_colours(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    plain.extend(parts.filter_map(|part| part.split_once('m')).map(|(_, text)| text));
    plain
}
