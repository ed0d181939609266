//! What a verb writes: text for people, or JSON; and how failures look.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use model::{Printable, UserError};
use serde::Serialize;
use tokio::sync::Notify;

/// Bytes that may wait for a slow reader before a stream holds still.
const AHEAD: usize = 256 * 1024;

/// How much waits for a slow reader.
pub struct Pressure {
    pub queued: AtomicUsize,
    pub eased: Notify,
}

/// Where words go: a terminal, a pipe, or an SSH channel.
pub trait Sink: Send {
    /// Standard output. False when nobody reads any more.
    fn out(&mut self, text: &Printable) -> bool;
    /// Standard error.
    fn err(&mut self, text: &Printable);
    /// How much waits; none when writing itself waits.
    fn pressure(&self) -> Option<Arc<Pressure>> {
        None
    }
}

/// The process's own.
pub struct Std;

impl Sink for Std {
    fn out(&mut self, text: &Printable) -> bool {
        use std::io::Write;
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_str().as_bytes()).and_then(|()| out.flush()).is_ok()
    }

    fn err(&mut self, text: &Printable) {
        use std::io::Write;
        // There is nowhere left to complain about a broken standard error.
        drop(std::io::stderr().lock().write_all(text.as_str().as_bytes()));
    }
}

/// The one type that verbs write through.
#[derive(Clone)]
pub struct Console {
    sink: Arc<Mutex<Box<dyn Sink>>>,
    json: bool,
}

impl Console {
    /// Through a sink, in JSON or for people.
    pub fn new(sink: Box<dyn Sink>, json: bool) -> Self {
        Self { sink: Arc::new(Mutex::new(sink)), json }
    }

    /// Whether JSON is wanted.
    pub fn is_json(&self) -> bool {
        self.json
    }

    fn sink(&self) -> std::sync::MutexGuard<'_, Box<dyn Sink>> {
        self.sink.lock().expect("no sink panics")
    }

    /// A piece of a stream. False when nobody reads any more.
    pub fn piece(&self, text: &Printable) -> bool {
        self.sink().out(text)
    }

    /// Waits until a slow reader has caught up.
    pub async fn caught_up(&self) {
        let Some(pressure) = self.sink().pressure() else { return };
        loop {
            let eased = pressure.eased.notified();
            if pressure.queued.load(Ordering::Relaxed) < AHEAD {
                return;
            }
            eased.await;
        }
    }

    /// A line for people.
    pub fn line(&self, text: impl AsRef<str>) {
        // A reader that has gone misses lines; a stream asks `piece` and stops.
        let _ = self.sink().out(&Printable::text(&format!("{}\n", text.as_ref())));
    }

    /// A line of progress or advice, which is not the answer.
    pub fn note(&self, text: impl AsRef<str>) {
        self.sink().err(&Printable::text(&format!("{}\n", text.as_ref())));
    }

    /// The answer: JSON when that is wanted, else what `people` writes.
    pub fn answer<T: Serialize>(&self, value: &T, people: impl FnOnce(&Self)) {
        if self.json {
            let text = serde_json::to_string_pretty(value).unwrap_or_else(|_| "null".into());
            let _ = self.sink().out(&Printable::json(&format!("{text}\n")));
        } else {
            people(self);
        }
    }

    /// A table for people.
    pub fn table(&self, head: &[&str], rows: Vec<Vec<String>>) {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(head.iter().map(|name| name.to_uppercase()));
        for row in rows {
            table.add_row(row);
        }
        for line in table.lines() {
            self.line(line.trim_end().trim_start_matches(' '));
        }
    }

    /// A failure.
    pub fn error(&self, user_error: &UserError) {
        if self.json {
            let text = serde_json::to_string_pretty(user_error).unwrap_or_default();
            self.sink().err(&Printable::json(&format!("{text}\n")));
        } else {
            for line in model::push_output::user_error(user_error) {
                self.note(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Code;

    #[derive(Clone, Default)]
    struct Shown(Arc<Mutex<String>>);

    impl Sink for Shown {
        fn out(&mut self, text: &Printable) -> bool {
            self.0.lock().expect("not poisoned").push_str(text.as_str());
            true
        }
        fn err(&mut self, text: &Printable) {
            self.out(text);
        }
    }

    #[test]
    fn no_name_steers_the_terminal_on_any_path() {
        let evil = "a\x1b]52;c;ZXZpbA==\x07\u{9b}2J\u{202e}b";
        for json in [false, true] {
            let shown = Shown::default();
            let console = Console::new(Box::new(shown.clone()), json);
            console.line(evil);
            console.note(evil);
            console.table(&["file"], vec![vec![evil.into()]]);
            console.answer(&evil, |console| console.line(evil));
            console.error(&UserError::new(Code::BuildFailed, evil).why(evil).evidence(evil).next(evil));
            let text = shown.0.lock().expect("not poisoned").clone();
            assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || matches!(c, '\u{9b}' | '\u{202e}')), "{text:?}");
        }
    }
}
