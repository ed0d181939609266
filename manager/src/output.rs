//! `Output`: where a verb tells of its progress, line by line, in the grammar of `model::push_output`.

use model::{UserError, push_output};

/// A listener to progress. Saying never waits and never fails: a listener that is gone misses lines, nothing else.
pub trait Output: Send + Sync {
    /// One line.
    fn line(&self, line: &str);
}

impl dyn Output + '_ {
    /// Opens a step.
    pub fn step(&self, text: impl AsRef<str>) {
        self.line(&push_output::step(text));
    }

    /// Tells a detail of the open step.
    pub fn detail(&self, text: impl AsRef<str>) {
        self.line(&push_output::detail(text));
    }

    /// Warns.
    pub fn warn(&self, text: impl AsRef<str>) {
        self.line(&push_output::warn(text));
    }

    /// Tells a failure as one block.
    pub fn error(&self, user_error: &UserError) {
        for line in push_output::user_error(user_error) {
            self.line(&line);
        }
    }
}

/// Discard listens.
pub struct Discard;

impl Output for Discard {
    fn line(&self, _: &str) {}
}

impl<F: Fn(&str) + Send + Sync> Output for F {
    fn line(&self, line: &str) {
        self(line);
    }
}
