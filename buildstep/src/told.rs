//! `News` of the making of layers, and `Spoken`: what of it a log gets to read.

use std::sync::Mutex;
use std::time::Instant;

use model::Meter;
use model::meter::Pace;

/// One piece of news.
#[derive(Debug, Clone, Copy)]
pub enum News<'a> {
    /// A line.
    Said(&'a str),
    /// How far the step under way is; comes often.
    Measured(&'a Meter),
}

/// Told what goes on.
pub type Progress<'a> = &'a (dyn Fn(News<'_>) + Send + Sync);

/// Turns news into the lines of a log: measurements only now and then.
#[derive(Debug, Default)]
pub struct Spoken(Mutex<Option<Step>>);

#[derive(Debug)]
struct Step {
    what: String,
    begun: Instant,
    pace: Pace,
}

impl Spoken {
    /// The line that a piece of news is worth.
    pub fn line(&self, news: News<'_>) -> Option<String> {
        let meter = match news {
            News::Said(line) => return Some(line.to_owned()),
            News::Measured(meter) => meter,
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
