//! The command line: what can be typed, and what each verb does with the API. The same code serves `slipway` on a terminal and
//! `ssh paas@host <verb>`.

pub mod args;
pub mod argv;
pub mod client;
pub mod commands;
pub mod console;
pub mod context;
pub mod remotes;
pub mod terminal;
pub mod user_files;

/// Exit codes, documented in `docs/cli.md`.
pub mod exit {
    /// Done.
    pub const OK: u8 = 0;
    /// The platform or the app said no.
    pub const FAILED: u8 = 1;
    /// What was typed can not be understood.
    pub const USAGE: u8 = 2;
    /// The server can not be reached.
    pub const UNREACHABLE: u8 = 3;
    /// Not signed in, or not allowed.
    pub const DENIED: u8 = 4;
    /// What was named does not exist.
    pub const NOT_FOUND: u8 = 5;
}
