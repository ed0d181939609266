//! Progress output of a verb, line by line, in the grammar of `model::push_output`.

use model::{UserError, push_output};

/// Takes lines of progress. Writing never waits and never fails: without a reader the lines are lost, nothing else.
pub trait Output: Send + Sync {
    /// Writes one line.
    fn line(&self, line: &str);
}

impl dyn Output + '_ {
    /// Writes the title of a step.
    pub fn step(&self, text: impl AsRef<str>) {
        self.line(&push_output::step(text));
    }

    /// Writes a detail of the current step.
    pub fn detail(&self, text: impl AsRef<str>) {
        self.line(&push_output::detail(text));
    }

    /// Writes a warning.
    pub fn warn(&self, text: impl AsRef<str>) {
        self.line(&push_output::warn(text));
    }

    /// Writes an error as one block of lines.
    pub fn error(&self, user_error: &UserError) {
        for line in push_output::user_error(user_error) {
            self.line(&line);
        }
    }
}

/// Discards every line.
pub struct Discard;

impl Output for Discard {
    fn line(&self, _: &str) {}
}

impl<F: Fn(&str) + Send + Sync> Output for F {
    fn line(&self, line: &str) {
        self(line);
    }
}
