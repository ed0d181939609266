//! `Outcome`: how a script ended by itself, judged by what the engine says and by what was seen of it.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::engine::Ended;
use crate::limits::Limits;
use crate::user_errors::Hit;

/// Lines kept as evidence.
const EVIDENCE: usize = 20;

/// How a script ended by itself.
pub struct Outcome {
    /// Its exit code.
    pub code: i64,
    /// The limit that it met.
    pub hit: Option<Hit>,
    /// The last lines that it printed.
    pub last: Vec<String>,
}

impl Outcome {
    /// Judges an end.
    pub fn of(ended: Ended, seen: &Seen, limits: &Limits) -> Self {
        let last = seen.last();
        let said = |words: &[&str]| last.iter().any(|line| words.iter().any(|word| line.contains(word)));
        let hit = if ended.out_of_memory {
            Some(Hit::Memory)
        } else if seen.was_crowded()
            || (limits.pids > 0
                && said(&["fork: Resource temporarily unavailable", "fork: retry", "can't start new thread", "pthread_create failed"]))
        {
            Some(Hit::Processes)
        } else if ended.code == 153 || said(&["File size limit exceeded"]) {
            Some(Hit::Disk)
        } else {
            None
        };
        Self { code: ended.code, hit, last }
    }
}

/// What was seen of a build, for its evidence.
#[derive(Debug, Default)]
pub struct Seen {
    state: Mutex<(VecDeque<String>, bool)>,
}

impl Seen {
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
    pub fn crowd(&self, crowded: bool) {
        self.state().1 |= crowded;
    }

    fn was_crowded(&self) -> bool {
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
