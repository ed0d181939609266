//! `Screen`: where `slipway boot` shows what goes on. On a terminal the step under way is one line that is drawn again in place;
//! anywhere else a log grows, and nothing returns to the beginning of a line.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use buildstep::{ProgressEvent, ProgressLines};
use model::{Meter, push_output};

/// Between two drawings of one bar.
const REDRAW: Duration = Duration::from_millis(100);
/// Columns of a terminal that does not say how many it has.
const COLUMNS: usize = 80;
/// To the beginning of the line, which is wiped.
const WIPE: &str = "\r\x1b[K";

/// One of the two.
pub enum Screen {
    /// Standard output is a terminal.
    Terminal(Mutex<Drawing>),
    /// It is not.
    Log(ProgressLines),
}

/// What stands in the last line of a terminal.
#[derive(Default)]
pub struct Drawing {
    step: Option<Step>,
}

struct Step {
    what: String,
    begun: Instant,
    drawn: Instant,
}

impl Screen {
    /// That of this process.
    pub fn of_process() -> Self {
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        if std::io::stdout().is_terminal() && !dumb { Self::Terminal(Mutex::default()) } else { Self::Log(ProgressLines::default()) }
    }

    /// Shows a piece of news.
    pub fn show(&self, news: ProgressEvent<'_>) {
        let text = match self {
            Self::Terminal(drawing) => drawing.lock().unwrap_or_else(PoisonError::into_inner).take(news, Instant::now(), columns()),
            Self::Log(spoken) => spoken.line(news).map(|line| format!("{}\n", push_output::detail(line))),
        };
        write(text);
    }

    /// Leaves the terminal with nothing half-drawn.
    pub fn end(&self) {
        if let Self::Terminal(drawing) = self {
            write(drawing.lock().unwrap_or_else(PoisonError::into_inner).wiped());
        }
    }
}

impl Drawing {
    /// What is to be written for a piece of news.
    fn take(&mut self, news: ProgressEvent<'_>, now: Instant, columns: usize) -> Option<String> {
        let meter = match news {
            ProgressEvent::Line(line) => return Some(format!("{}{}\n", self.wiped().unwrap_or_default(), push_output::detail(line))),
            ProgressEvent::Meter(meter) => meter,
        };
        let begun = match &self.step {
            Some(step) if step.what == meter.what => {
                if now.duration_since(step.drawn) < REDRAW && meter.done < meter.total {
                    return None;
                }
                step.begun
            }
            _ => now,
        };
        self.step = Some(Step { what: meter.what.clone(), begun, drawn: now });
        Some(format!("{WIPE}{}", bar(meter, columns, now.duration_since(begun))))
    }

    fn wiped(&mut self) -> Option<String> {
        self.step.take().map(|_| WIPE.to_owned())
    }
}

/// One column stays free: a full line would wrap on some terminals.
fn bar(meter: &Meter, columns: usize, elapsed: Duration) -> String {
    meter.bar(columns.saturating_sub(1), elapsed.as_millis().try_into().unwrap_or(u64::MAX))
}

fn columns() -> usize {
    rustix::termios::tcgetwinsize(std::io::stdout())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0)
        .unwrap_or(COLUMNS)
}

/// Who reads may have gone; what is made is made all the same.
fn write(text: Option<String>) {
    if let Some(text) = text {
        let mut out = std::io::stdout().lock();
        drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_drawn_in_place_and_gone_before_the_next_line() {
        let (mut drawing, start) = (Drawing::default(), Instant::now());
        let meter = |done| Meter::bytes("storing", done, 1_000);
        let first = drawing.take(ProgressEvent::Meter(&meter(1)), start, 80).expect("drawn at once");
        assert!(first.starts_with("\r\x1b[K       storing  [>") && !first.contains('\n'), "{first:?}");
        assert_eq!(drawing.take(ProgressEvent::Meter(&meter(2)), start + REDRAW / 2, 80), None);
        let later = drawing.take(ProgressEvent::Meter(&meter(500)), start + Duration::from_secs(3), 80).expect("drawn again");
        assert!(later.ends_with(" 50%  500 B of 1.0 kB  3s"), "{later:?}");
        assert!(drawing.take(ProgressEvent::Meter(&meter(1_000)), start + Duration::from_secs(3), 80).is_some(), "the end is not shown");
        assert_eq!(drawing.take(ProgressEvent::Line("stored"), start, 80).as_deref(), Some("\r\x1b[K       stored\n"));
        assert_eq!(drawing.take(ProgressEvent::Line("more"), start, 80).as_deref(), Some("       more\n"));
    }
}
