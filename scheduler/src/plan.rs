//! What should change, as data. Owns the buckets and the documents that they make; decides nothing.

use std::collections::BTreeMap;
use std::fmt;

use model::{Assignment, HostAssignments, HostName, InstanceId, Intent, Time};
use store::live::Fenced;

use crate::blocked::Blocked;

/// One change on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which host.
    pub host: HostName,
    /// The assignment: new, or as it was before.
    pub assignment: Assignment,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, assignment } = self;
        write!(f, "{} of {} {} on {host} ({})", assignment.label(), assignment.app, assignment.release, assignment.instance)
    }
}

/// The outcome of one look at the whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// New instances.
    pub place: Vec<Change>,
    /// Instances that take no new requests, finish and stop.
    pub drain: Vec<Change>,
    /// Assignments whose instances are no more.
    pub remove: Vec<Change>,
    /// Instances that go on as they are.
    pub keep: Vec<InstanceId>,
    /// Wanted instances without a host.
    pub blocked: Vec<Blocked>,
    /// When time alone will change the outcome: a missed host counts as gone.
    pub look_again: Option<Time>,
    /// The documents of changed hosts, fenced by the versions that were read.
    pub(crate) documents: Vec<Fenced>,
}

impl Plan {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// The documents of the changed hosts, for one fenced commit.
    pub fn changes(&self) -> &[Fenced] {
        &self.documents
    }

    /// Makes the documents out of the buckets.
    pub(crate) fn write(&mut self, before: &BTreeMap<HostName, Fenced>) {
        let mut changed: BTreeMap<&HostName, Fenced> = BTreeMap::new();
        let hosts = [&self.place, &self.drain, &self.remove].into_iter().flatten();
        for host in hosts.map(|change| &change.host) {
            changed.entry(host).or_insert_with(|| before.get(host).cloned().unwrap_or_else(|| fresh(host)));
        }
        for change in &self.remove {
            if let Some(document) = changed.get_mut(&change.host) {
                document.assignments.assignments.retain(|assignment| assignment.instance != change.assignment.instance);
            }
        }
        for change in &self.drain {
            let assignments = changed.get_mut(&change.host).map(|document| &mut document.assignments.assignments);
            let instance = &change.assignment.instance;
            if let Some(assignment) = assignments.and_then(|all| all.iter_mut().find(|assignment| assignment.instance == *instance)) {
                assignment.intent = Intent::Drain;
            }
        }
        for change in &self.place {
            if let Some(document) = changed.get_mut(&change.host) {
                document.assignments.assignments.push(change.assignment.clone());
            }
        }
        self.documents = changed
            .into_values()
            .map(|mut document| {
                document.assignments.generation += 1;
                document.assignments.assignments.sort_by(|a, b| order(a).cmp(&order(b)));
                document
            })
            .collect();
    }
}

fn fresh(host: &HostName) -> Fenced {
    Fenced { assignments: HostAssignments { host: host.clone(), generation: 0, assignments: Vec::new() }, version: None }
}

fn order(assignment: &Assignment) -> impl Ord + '_ {
    (&assignment.app, &assignment.process, assignment.ordinal, &assignment.instance)
}

/// One line per change and per blocked instance; one line when there is neither.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        for (verb, bucket) in [("place", &self.place), ("drain", &self.drain), ("remove", &self.remove)] {
            lines.extend(bucket.iter().map(|change| format!("{verb} {change}")));
        }
        lines.extend(self.blocked.iter().map(|blocked| format!("blocked {blocked}")));
        if lines.is_empty() {
            return write!(f, "nothing to do, {} as wanted", model::push_output::count(self.keep.len() as u64, "instance"));
        }
        f.write_str(&lines.join("\n"))
    }
}
