//! `Say`: where a verb tells of its progress, line by line, in the grammar of `model::say`.

use model::{Trouble, say};

/// A listener to progress. Saying never waits and never fails: a listener that is gone misses lines, nothing else.
pub trait Say: Send + Sync {
    /// One line.
    fn line(&self, line: &str);
}

impl dyn Say + '_ {
    /// Opens a step.
    pub fn step(&self, text: impl AsRef<str>) {
        self.line(&say::step(text));
    }

    /// Tells a detail of the open step.
    pub fn detail(&self, text: impl AsRef<str>) {
        self.line(&say::detail(text));
    }

    /// Warns.
    pub fn warn(&self, text: impl AsRef<str>) {
        self.line(&say::warn(text));
    }

    /// Tells a failure as one block.
    pub fn trouble(&self, trouble: &Trouble) {
        for line in say::trouble(trouble) {
            self.line(&line);
        }
    }
}

/// Nobody listens.
pub struct Nobody;

impl Say for Nobody {
    fn line(&self, _: &str) {}
}

impl<F: Fn(&str) + Send + Sync> Say for F {
    fn line(&self, line: &str) {
        self(line);
    }
}
