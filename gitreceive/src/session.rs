//! What a client may ask for on a channel, and in which order. Pure: events in, decisions out.
//!
//! ```text
//! Open ──env GIT_PROTOCOL, pty-req──▶ Open ──exec──▶ Running ──close──▶ (gone)
//!                                       └──shell, subsystem, x11, agent──▶ refused, still Open
//! ```
//!
//! One command per channel. Everything that is not listed is refused with an answer, never with silence.

use model::UserError;

use crate::exec_line::{self, ExecLine, RepoPath, Service};
use crate::user_errors;

/// What a client asks for.
#[derive(Debug)]
pub(crate) enum Ask<'a> {
    /// To set a variable.
    Variable { name: &'a str, value: &'a str },
    /// A terminal of that many columns and rows.
    Terminal { term: &'a str, columns: u32, rows: u32 },
    /// To run a command.
    Exec(&'a [u8]),
    /// A shell.
    Shell,
    /// A subsystem, X11, an agent.
    Other,
}

/// A terminal that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TerminalWish {
    pub term: String,
    pub size: (u16, u16),
}

/// What is to be started.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Git {
        service: Service,
        path: RepoPath,
        protocol: Option<&'static str>,
    },
    Verb {
        words: Vec<String>,
        terminal: Option<TerminalWish>,
    },
    /// A command that only says what is wrong. `for_git` when a git client listens.
    Refusal {
        user_error: UserError,
        for_git: bool,
    },
}

/// The answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Yes, and nothing to do.
    Granted,
    /// No. OpenSSH shows its own line for it and hangs up; a text sent along is never seen.
    Refused,
    /// Yes, and this is to be run.
    Started(Start),
}

/// One channel.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    protocol: Option<&'static str>,
    terminal: Option<TerminalWish>,
    running: bool,
}

impl Channel {
    /// Decides.
    pub(crate) fn ask(&mut self, ask: Ask<'_>) -> Answer {
        if self.running {
            return Answer::Refused;
        }
        match ask {
            Ask::Variable { name: "GIT_PROTOCOL", value } => {
                self.protocol = protocol(value);
                if self.protocol.is_some() { Answer::Granted } else { Answer::Refused }
            }
            Ask::Variable { .. } | Ask::Shell | Ask::Other => Answer::Refused,
            Ask::Terminal { term, columns, rows } => {
                self.terminal = Some(TerminalWish { term: clean_term(term), size: size(columns, rows) });
                Answer::Granted
            }
            Ask::Exec(line) => {
                self.running = true;
                Answer::Started(self.start(line))
            }
        }
    }

    fn start(&mut self, line: &[u8]) -> Start {
        match exec_line::parse(line) {
            Ok(ExecLine::Git { .. }) if self.terminal.is_some() => {
                Start::Refusal { user_error: user_errors::no_terminal_for_git(), for_git: true }
            }
            Ok(ExecLine::Git { service, path }) => Start::Git { service, path, protocol: self.protocol },
            Ok(ExecLine::Verb(words)) => Start::Verb { words, terminal: self.terminal.take() },
            Err(error) => Start::Refusal { user_error: user_errors::exec_line(&error), for_git: is_gits(line) },
        }
    }
}

/// Whether a line that is not understood comes from a git client, which shows only errors in its own form.
fn is_gits(line: &[u8]) -> bool {
    line.starts_with(b"git-receive-pack ") || line.starts_with(b"git-upload-pack ") || line.starts_with(b"git-upload-archive ")
}

/// The protocol versions of git; nothing else may travel into its environment.
fn protocol(value: &str) -> Option<&'static str> {
    ["version=0", "version=1", "version=2"].into_iter().find(|known| *known == value)
}

/// A terminal's name as programs expect it.
fn clean_term(term: &str) -> String {
    let fits = !term.is_empty() && term.len() <= 64 && term.bytes().all(|b| b.is_ascii_alphanumeric() || b"-+._".contains(&b));
    if fits { term.to_owned() } else { "dumb".to_owned() }
}

/// A size that a terminal can have.
pub(crate) fn size(columns: u32, rows: u32) -> (u16, u16) {
    let fit = |value: u32, otherwise: u16| match u16::try_from(value) {
        Ok(0) | Err(_) => otherwise,
        Ok(value) => value.min(1000),
    };
    (fit(columns, 80), fit(rows, 24))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn git_gets_its_protocol_and_nothing_else() {
        let mut channel = Channel::default();
        assert_eq!(channel.ask(Ask::Variable { name: "LANG", value: "C" }), Answer::Refused);
        assert_eq!(channel.ask(Ask::Variable { name: "LD_PRELOAD", value: "/x" }), Answer::Refused);
        assert_eq!(channel.ask(Ask::Variable { name: "GIT_PROTOCOL", value: "version=2:evil" }), Answer::Refused);
        assert_eq!(channel.ask(Ask::Variable { name: "GIT_PROTOCOL", value: "version=2" }), Answer::Granted);
        let Answer::Started(Start::Git { service, protocol, .. }) = channel.ask(Ask::Exec(b"git-upload-pack 'a/b/c'")) else {
            panic!("git is started");
        };
        assert_eq!((service, protocol), (Service::Upload, Some("version=2")));
        assert_eq!(channel.ask(Ask::Exec(b"apps")), Answer::Refused);
        assert_eq!(channel.ask(Ask::Variable { name: "GIT_PROTOCOL", value: "version=2" }), Answer::Refused);
    }

    #[test]
    fn a_terminal_is_for_verbs() {
        let mut channel = Channel::default();
        assert_eq!(channel.ask(Ask::Terminal { term: "xterm\x1b", columns: 0, rows: 70_000 }), Answer::Granted);
        let Answer::Started(Start::Verb { words, terminal }) = channel.ask(Ask::Exec(b"run bash")) else {
            panic!("a verb is started");
        };
        assert_eq!(words, ["run", "bash"]);
        assert_eq!(terminal, Some(TerminalWish { term: "dumb".into(), size: (80, 24) }));
        let mut channel = Channel::default();
        channel.ask(Ask::Terminal { term: "xterm", columns: 100, rows: 40 });
        let Answer::Started(Start::Refusal { for_git, .. }) = channel.ask(Ask::Exec(b"git-receive-pack 'a/b/c'")) else {
            panic!("git in a terminal is refused");
        };
        assert!(for_git);
    }

    #[test]
    fn a_shell_is_refused() {
        let mut channel = Channel::default();
        assert_eq!(channel.ask(Ask::Shell), Answer::Refused);
        assert_eq!(channel.ask(Ask::Other), Answer::Refused);
    }

    proptest! {
        #[test]
        fn a_channel_starts_one_thing_at_most(asks in proptest::collection::vec(0_u8..5, 0..20)) {
            let mut channel = Channel::default();
            let mut started = 0;
            for ask in asks {
                let answer = channel.ask(match ask {
                    0 => Ask::Shell,
                    1 => Ask::Other,
                    2 => Ask::Exec(b"apps"),
                    3 => Ask::Terminal { term: "xterm", columns: 80, rows: 24 },
                    _ => Ask::Variable { name: "GIT_PROTOCOL", value: "version=2" },
                });
                started += usize::from(matches!(answer, Answer::Started(_)));
            }
            prop_assert!(started <= 1);
        }
    }
}
