//! Slipway: one binary, every role. By the names of git's hooks it is the hook; by the name `gitreceive` it is the command that
//! adds keys; else it is the command line and the server.

mod cli;
mod config;
mod server;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use cli::args::Command;
use cli::{argv, exit, terminal};

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let name = words.first().and_then(|word| Path::new(word).file_name().map(OsStr::to_os_string)).unwrap_or_default();
    if let Some(kind) = gitreceive::hooks::HookKind::from_program(&name) {
        return gitreceive::hooks::main(kind);
    }
    if name == "gitreceive" && words.get(1).is_none_or(|word| word != "upload-key") {
        eprintln!("usage: cat id_ed25519.pub | sudo gitreceive upload-key <user>");
        return ExitCode::from(exit::USAGE);
    }
    // The first provider stays; there is only this one.
    drop(rustls::crypto::ring::default_provider().install_default());
    let cli = match argv::parse(words) {
        Ok(cli) => cli,
        Err(unread) => return terminal::misread(&unread),
    };
    let config = cli.global.config.as_deref();
    match &cli.command {
        Command::Up { without } => server::main(config, without.is_some()),
        Command::Router { verb: None } => server::router_process::main(config),
        Command::Boot { templates } => server::boot::main(config, templates),
        _ => terminal::main(&cli),
    }
}
