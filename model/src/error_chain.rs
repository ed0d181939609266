//! One line out of an error and its sources, for log lines and for reasons that operators read.

use std::error::Error;

/// `could not write the plan: the session ended: connection reset`: an error and each of its sources, joined by colons.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not write")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn the_causes_follow_their_error() {
        assert_eq!(error_chain(&Outer(std::io::Error::other("no space"))), "could not write: no space");
    }
}
