//! Progress of the making of layers, and `ProgressLines`: the lines of it that a log shows.

use std::sync::Mutex;
use std::time::Instant;

use model::Meter;
use model::meter::Pace;

/// One report.
#[derive(Debug, Clone, Copy)]
pub enum ProgressEvent<'a> {
    /// A line to show.
    Line(&'a str),
    /// How far the step under way is; comes often.
    Meter(&'a Meter),
}

/// Receives the reports.
pub type Progress<'a> = &'a (dyn Fn(ProgressEvent<'_>) + Send + Sync);

/// Turns reports into the lines of a log: measurements only at intervals.
#[derive(Debug, Default)]
pub struct ProgressLines(Mutex<Option<Step>>);

#[derive(Debug)]
struct Step {
    what: String,
    begun: Instant,
    pace: Pace,
}

impl ProgressLines {
    /// The line for a report, if it is time for one.
    pub fn line(&self, event: ProgressEvent<'_>) -> Option<String> {
        let meter = match event {
            ProgressEvent::Line(line) => return Some(line.to_owned()),
            ProgressEvent::Meter(meter) => meter,
        };
        let mut step = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if step.as_ref().is_none_or(|step| step.what != meter.what) {
            *step = Some(Step { what: meter.what.clone(), begun: Instant::now(), pace: Pace::default() });
        }
        let step = step.as_mut()?;
        let elapsed = step.begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        step.pace.is_due(elapsed).then(|| meter.line(elapsed))
    }
}
