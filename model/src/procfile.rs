//! Procfile: `type: command`, one per line.

use std::collections::BTreeMap;

use crate::manifest::{MAX_COMMAND, MAX_PROCESSES};
use crate::name::ProcessName;

/// Why a Procfile can not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Procfile line {line}: {why}")]
pub struct ProcfileError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

/// Reads a Procfile. Blank lines and lines that start with `#` are skipped.
pub fn parse(text: &str) -> Result<BTreeMap<ProcessName, String>, ProcfileError> {
    let mut processes = BTreeMap::new();
    for (index, raw) in text.lines().enumerate() {
        let fail = |why: String| ProcfileError { line: index + 1, why };
        let line = raw.trim().trim_start_matches('\u{feff}');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, command)) = line.split_once(':') else {
            return Err(fail("expected `type: command`".into()));
        };
        // Heroku's Procfiles use underscores here and there; a process name is a DNS label.
        let name = ProcessName::new(name.trim().to_ascii_lowercase().replace('_', "-")).map_err(|error| fail(error.to_string()))?;
        let command = command.trim();
        if command.is_empty() {
            return Err(fail(format!("`{name}` has no command")));
        }
        if command.len() > MAX_COMMAND || command.contains('\0') {
            return Err(fail(format!("the command of `{name}` is longer than {MAX_COMMAND} bytes, or holds a NUL byte")));
        }
        if processes.insert(name.clone(), command.to_owned()).is_some() {
            return Err(fail(format!("`{name}` stands twice")));
        }
        if processes.len() > MAX_PROCESSES {
            return Err(fail(format!("more than {MAX_PROCESSES} process types")));
        }
    }
    Ok(processes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_lines_are_read() {
        let text = "# processes\nweb: gunicorn app:app -b :$PORT\n\nsidekiq_worker: run: this\r\n";
        let processes = parse(text).expect("a Procfile");
        let read: Vec<_> = processes.iter().map(|(name, command)| (name.as_str(), command.as_str())).collect();
        assert_eq!(read, [("sidekiq-worker", "run: this"), ("web", "gunicorn app:app -b :$PORT")]);
    }

    #[test]
    fn broken_lines_are_named() {
        assert_eq!(parse("web gunicorn").expect_err("no colon").to_string(), "Procfile line 1: expected `type: command`");
        assert_eq!(parse("web: a\nweb: b").expect_err("twice").to_string(), "Procfile line 2: `web` stands twice");
        let many: String = (0..3_000).map(|n| format!("p{n}: x\n")).collect();
        assert_eq!(parse(&many).expect_err("many").to_string(), "Procfile line 51: more than 50 process types");
        assert!(parse(&format!("web: {}", "x".repeat(MAX_COMMAND + 1))).is_err());
        assert_eq!(parse("\nweb:  ").expect_err("empty").to_string(), "Procfile line 2: `web` has no command");
    }
}
