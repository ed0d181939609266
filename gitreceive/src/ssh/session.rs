//! What a client may ask for on a channel, and in which order. Pure: events in, decisions out.
//!
//! ```text
//! Open ──env GIT_PROTOCOL, pty-req──▶ Open ──exec──▶ Running ──close──▶ (gone)
//!                                       └──shell, subsystem, x11, agent──▶ refused, still Open
//! ```
//!
//! One command per channel. Everything that is not listed is refused with an answer, never with silence.

use model::UserError;

use crate::ssh::exec_line::{self, ExecLine, RepoPath, Service};
use crate::user_errors;

/// One request of a client on a channel.
#[derive(Debug)]
pub(crate) enum ChannelRequest<'a> {
    /// To set an environment variable.
    Variable { name: &'a str, value: &'a str },
    /// A terminal, with its size in characters.
    Terminal { term: &'a str, columns: u32, rows: u32 },
    /// To run a command.
    Exec(&'a [u8]),
    /// An interactive shell.
    Shell,
    /// A subsystem, X11 or agent forwarding.
    Other,
}

/// The terminal that a client requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TerminalRequest {
    /// The value of `TERM`.
    pub term: String,
    /// Columns and rows.
    pub size: (u16, u16),
}

/// The command to start on a channel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StartCommand {
    Git {
        service: Service,
        path: RepoPath,
        protocol: Option<&'static str>,
    },
    Verb {
        words: Vec<String>,
        terminal: Option<TerminalRequest>,
    },
    /// A command that only prints an error. `for_git` when the client is git.
    Refusal {
        user_error: UserError,
        for_git: bool,
    },
}

/// The reply to a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Success, with nothing to start.
    Granted,
    /// Failure. OpenSSH prints its own line for it and hangs up; a text sent along is never shown.
    Refused,
    /// Success, and this command is to be started.
    Started(StartCommand),
}

/// What one channel was granted so far.
#[derive(Debug, Default)]
pub(crate) struct ChannelState {
    protocol: Option<&'static str>,
    terminal: Option<TerminalRequest>,
    running: bool,
}

impl ChannelState {
    /// Decides one request.
    pub(crate) fn request(&mut self, request: ChannelRequest<'_>) -> Reply {
        if self.running {
            return Reply::Refused;
        }
        match request {
            ChannelRequest::Variable { name: "GIT_PROTOCOL", value } => {
                self.protocol = protocol(value);
                if self.protocol.is_some() { Reply::Granted } else { Reply::Refused }
            }
            ChannelRequest::Variable { .. } | ChannelRequest::Shell | ChannelRequest::Other => Reply::Refused,
            ChannelRequest::Terminal { term, columns, rows } => {
                self.terminal = Some(TerminalRequest { term: clean_term(term), size: size(columns, rows) });
                Reply::Granted
            }
            ChannelRequest::Exec(line) => {
                self.running = true;
                Reply::Started(self.start(line))
            }
        }
    }

    fn start(&mut self, line: &[u8]) -> StartCommand {
        match exec_line::parse(line) {
            Ok(ExecLine::Git { .. }) if self.terminal.is_some() => {
                StartCommand::Refusal { user_error: user_errors::no_terminal_for_git(), for_git: true }
            }
            Ok(ExecLine::Git { service, path }) => StartCommand::Git { service, path, protocol: self.protocol },
            Ok(ExecLine::Verb(words)) => StartCommand::Verb { words, terminal: self.terminal.take() },
            Err(error) => StartCommand::Refusal { user_error: user_errors::exec_line(&error), for_git: is_from_git(line) },
        }
    }
}

/// Whether a line that is not understood comes from a git client, which prints only errors of its own protocol.
fn is_from_git(line: &[u8]) -> bool {
    line.starts_with(b"git-receive-pack ") || line.starts_with(b"git-upload-pack ") || line.starts_with(b"git-upload-archive ")
}

/// A protocol version of git; no other value may reach git's environment.
fn protocol(value: &str) -> Option<&'static str> {
    ["version=0", "version=1", "version=2"].into_iter().find(|known| *known == value)
}

/// The value of `TERM`, or `dumb` when it is not one.
fn clean_term(term: &str) -> String {
    let fits = !term.is_empty() && term.len() <= 64 && term.bytes().all(|b| b.is_ascii_alphanumeric() || b"-+._".contains(&b));
    if fits { term.to_owned() } else { "dumb".to_owned() }
}

/// Columns and rows within the sizes that a terminal can have.
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
        let mut channel = ChannelState::default();
        assert_eq!(channel.request(ChannelRequest::Variable { name: "LANG", value: "C" }), Reply::Refused);
        assert_eq!(channel.request(ChannelRequest::Variable { name: "LD_PRELOAD", value: "/x" }), Reply::Refused);
        assert_eq!(channel.request(ChannelRequest::Variable { name: "GIT_PROTOCOL", value: "version=2:evil" }), Reply::Refused);
        assert_eq!(channel.request(ChannelRequest::Variable { name: "GIT_PROTOCOL", value: "version=2" }), Reply::Granted);
        let Reply::Started(StartCommand::Git { service, protocol, .. }) = channel.request(ChannelRequest::Exec(b"git-upload-pack 'a/b/c'"))
        else {
            panic!("git is started");
        };
        assert_eq!((service, protocol), (Service::Upload, Some("version=2")));
        assert_eq!(channel.request(ChannelRequest::Exec(b"apps")), Reply::Refused);
        assert_eq!(channel.request(ChannelRequest::Variable { name: "GIT_PROTOCOL", value: "version=2" }), Reply::Refused);
    }

    #[test]
    fn a_terminal_is_for_verbs() {
        let mut channel = ChannelState::default();
        assert_eq!(channel.request(ChannelRequest::Terminal { term: "xterm\x1b", columns: 0, rows: 70_000 }), Reply::Granted);
        let Reply::Started(StartCommand::Verb { words, terminal }) = channel.request(ChannelRequest::Exec(b"run bash")) else {
            panic!("a verb is started");
        };
        assert_eq!(words, ["run", "bash"]);
        assert_eq!(terminal, Some(TerminalRequest { term: "dumb".into(), size: (80, 24) }));
        let mut channel = ChannelState::default();
        channel.request(ChannelRequest::Terminal { term: "xterm", columns: 100, rows: 40 });
        let Reply::Started(StartCommand::Refusal { for_git, .. }) = channel.request(ChannelRequest::Exec(b"git-receive-pack 'a/b/c'"))
        else {
            panic!("git in a terminal is refused");
        };
        assert!(for_git);
    }

    #[test]
    fn a_shell_is_refused() {
        let mut channel = ChannelState::default();
        assert_eq!(channel.request(ChannelRequest::Shell), Reply::Refused);
        assert_eq!(channel.request(ChannelRequest::Other), Reply::Refused);
    }

    proptest! {
        #[test]
        fn a_channel_starts_one_command_at_most(requests in proptest::collection::vec(0_u8..5, 0..20)) {
            let mut channel = ChannelState::default();
            let mut started = 0;
            for kind in requests {
                let reply = channel.request(match kind {
                    0 => ChannelRequest::Shell,
                    1 => ChannelRequest::Other,
                    2 => ChannelRequest::Exec(b"apps"),
                    3 => ChannelRequest::Terminal { term: "xterm", columns: 80, rows: 24 },
                    _ => ChannelRequest::Variable { name: "GIT_PROTOCOL", value: "version=2" },
                });
                started += usize::from(matches!(reply, Reply::Started(_)));
            }
            prop_assert!(started <= 1);
        }
    }
}
