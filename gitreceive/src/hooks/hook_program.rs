//! The hook program: the half of a push that runs inside git.
//!
//! git starts this binary under the name of a hook. It sends what git gave it to the server, prints what comes back, and exits
//! with the status it is given. It decides and stores nothing. A server that goes away before the decision is a refusal.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use crate::hooks::wire::{Frame, HookKind, HookRequest, QuarantinePaths, SOCKET, TOKEN};
use model::{Code, UserError, push_output};

/// Most bytes of ref updates that a hook reads from git: some ten thousand refs.
const MAX_UPDATES: u64 = 2 * 1024 * 1024;

/// Runs the hook. Call it first thing in `main` when [`HookKind::from_program`] says so.
pub fn main(kind: HookKind) -> ExitCode {
    match run(kind) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            let mut out = io::stdout().lock();
            for line in push_output::user_error(&lost(kind, &error)) {
                // Without a reader there is nobody to tell.
                let _ = writeln!(out, "{line}");
            }
            let _ = out.flush();
            ExitCode::FAILURE
        }
    }
}

fn run(kind: HookKind) -> io::Result<u8> {
    let request = request(kind)?;
    let socket = std::env::var_os(SOCKET).ok_or_else(|| io::Error::other("this hook was not started by a push to the server"))?;
    let mut server = UnixStream::connect(socket)?;
    let mut text = serde_json::to_vec(&request)?;
    text.push(b'\n');
    server.write_all(&text)?;
    let mut out = io::stdout().lock();
    for line in BufReader::new(server).split(b'\n') {
        match Frame::parse(&line?) {
            Some(Frame::Line(text)) => {
                out.write_all(text)?;
                out.write_all(b"\n")?;
                out.flush()?;
            }
            Some(Frame::Exit(status)) => return Ok(status),
            None => return Err(io::Error::other("the server said something that is no frame")),
        }
    }
    Err(io::Error::from(io::ErrorKind::UnexpectedEof))
}

fn request(kind: HookKind) -> io::Result<HookRequest> {
    let mut updates = Vec::new();
    io::stdin().lock().take(MAX_UPDATES).read_to_end(&mut updates)?;
    let text = |name: &str| std::env::var(name).ok();
    let count = text("GIT_PUSH_OPTION_COUNT").and_then(|n| n.parse::<usize>().ok()).unwrap_or(0).min(100);
    let quarantine = match (text("GIT_OBJECT_DIRECTORY"), text("GIT_QUARANTINE_PATH")) {
        (Some(objects), Some(_)) => {
            Some(QuarantinePaths { objects, alternates: text("GIT_ALTERNATE_OBJECT_DIRECTORIES").unwrap_or_default() })
        }
        _ => None,
    };
    Ok(HookRequest {
        token: text(TOKEN).unwrap_or_default(),
        kind,
        updates: String::from_utf8_lossy(&updates).lines().map(str::to_owned).collect(),
        options: (0..count).filter_map(|n| text(&format!("GIT_PUSH_OPTION_{n}"))).collect(),
        quarantine,
    })
}

/// What a pusher reads when the server is gone. The error itself is about our socket, which is not their concern.
fn lost(kind: HookKind, _error: &io::Error) -> UserError {
    match kind {
        HookKind::PreReceive => UserError::new(Code::ServerStopped, "the server stopped before this push was decided")
            .why("Nothing was changed: the branch and the running release are as before.")
            .next("push again in a moment; nothing that was built already is built twice"),
        HookKind::PostReceive => UserError::new(Code::ServerStopped, "the server stopped after your push was accepted")
            .why("The branch has moved and the release is stored. It goes live when the server is back.")
            .next("look at it in a moment: slipway releases"),
    }
}
