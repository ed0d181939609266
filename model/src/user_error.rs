//! `UserError`: a failure that a user reads. What failed, why, evidence, the next command, a stable code.
//!
//! The same value is shown by `git push`, the CLI, the API and the pages. Internal text (SQL, paths of the server, error
//! chains) must never be put into one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::code::Code;

/// A failure in words that end the search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct UserError {
    /// The stable code.
    pub code: Code,
    /// What failed, as one sentence without a full stop: "the build of acme/shop/dev failed".
    pub what: String,
    /// Why, as one or more sentences.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The last lines, the values seen: what a person would go and look for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// Commands or steps to do next, most likely first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<String>,
}

impl UserError {
    /// Starts a failure; the other parts are added by the methods below.
    pub fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), why: String::new(), evidence: Vec::new(), next: Vec::new() }
    }

    /// Says why.
    #[must_use]
    pub fn why(mut self, why: impl Into<String>) -> Self {
        self.why = why.into();
        self
    }

    /// Adds a sentence to why, on a line of its own.
    #[must_use]
    pub fn also(mut self, sentence: impl AsRef<str>) -> Self {
        if !self.why.is_empty() {
            self.why.push('\n');
        }
        self.why.push_str(sentence.as_ref());
        self
    }

    /// Adds one line of evidence.
    #[must_use]
    pub fn evidence(mut self, line: impl Into<String>) -> Self {
        self.evidence.push(line.into());
        self
    }

    /// Adds lines of evidence.
    #[must_use]
    pub fn evidence_lines(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(lines);
        self
    }

    /// Adds a command or step to do next.
    #[must_use]
    pub fn next(mut self, step: impl Into<String>) -> Self {
        self.next.push(step.into());
        self
    }

    /// A name that breaks its grammar.
    pub fn bad_name(error: &crate::name::InvalidName) -> Self {
        Self::new(Code::BadName, error.to_string())
    }

    /// A fault of the platform. The cause goes to the log, never to the user; `id` lets an operator find it there.
    pub fn internal(id: impl fmt::Display) -> Self {
        Self::new(Code::Internal, "something in the platform failed")
            .why(format!("It is not a fault of your app. The server's log has the cause under `{id}`."))
            .next("try again; if it fails again, give the id to the operator of this platform")
    }
}

impl From<crate::name::InvalidName> for UserError {
    fn from(error: crate::name::InvalidName) -> Self {
        Self::bad_name(&error)
    }
}

/// The block without colours, one line per line; see `push_output::user_error` for the form in a push.
impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.what, self.code)?;
        for line in self.why.lines() {
            write!(f, "\n{line}")?;
        }
        for line in &self.evidence {
            write!(f, "\n  | {line}")?;
        }
        for step in &self.next {
            write!(f, "\n  → {step}")?;
        }
        Ok(())
    }
}
