//! One push: runs `git receive-pack` from its start to its exit status.
//!
//! Owns the git process and its pipes. The commit point is the ref: pre-receive prepares, git moves the ref, post-receive
//! activates. Once the pack has arrived, a client that disconnects ends nothing. Only a pack that stops short, or takes too
//! long, ends the push; then git itself cleans up.

use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use model::{PushId, UserError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin};

use crate::backend::{Identity, OpenedRepository, RolloutOutcome, Unsettled};
use crate::git::pid_files;
use crate::git::process;
use crate::git::pushes::RunningPush;
use crate::git::shallow_negotiation::ShallowNegotiation;
use crate::hooks::wire;
use crate::server_state::ServerState;
use crate::spool::{SpoolReader, SpoolWriter};
use crate::ssh::client::error_lines;
use crate::user_errors;

/// Most bytes that are read from git at once.
const READ: usize = 32 * 1024;

/// git's message when a ref needs history that the pusher's clone lacks.
const SHALLOW: &[u8] = b"shallow update not allowed";
/// git's message when `receive.maxInputSize` is reached.
const TOO_LARGE: &[u8] = b"pack exceeds maximum allowed size";
/// git's message when its limit of memory is reached.
const OUT_OF_MEMORY: &[u8] = b"Out of memory, ";
/// The system's message when the disk is full.
const DISK_FULL: &[u8] = b"No space left on device";

/// Every message that is searched for.
const MESSAGES: [&[u8]; 4] = [SHALLOW, TOO_LARGE, OUT_OF_MEMORY, DISK_FULL];

/// The three streams of a push.
pub(crate) struct Pipes {
    pub stdin: SpoolReader,
    pub stdout: SpoolWriter,
    pub stderr: SpoolWriter,
}

/// Runs a push to its end; returns the exit status for the client.
pub(crate) async fn receive(state: Arc<ServerState>, who: Identity, opened: OpenedRepository, pipes: Pipes) -> u8 {
    let app = opened.app.clone();
    let repositories = state.repositories.clone();
    let app_ref = app.app_ref();
    let ensured = tokio::task::spawn_blocking(move || repositories.ensure(&app_ref)).await;
    let repository = match ensured {
        Ok(Ok(repository)) => repository,
        Ok(Err(error)) => return failed(&pipes.stderr, &PushId::mint(crate::random::bytes()), &app, &error),
        Err(error) => return failed(&pipes.stderr, &PushId::mint(crate::random::bytes()), &app, &error),
    };
    let push = Arc::new(RunningPush::new(who, opened, repository));
    tracing::info!(push = %push.id, app = %app, user = %push.who.user, "push begins");
    state.pushes.add(&push);
    let status = run(&state, &push, pipes).await;
    // The work of the hooks goes on when git was killed; what they prepared is settled after they are done.
    push.hooks.close();
    push.hooks.wait().await;
    state.pushes.remove(&push);
    state.backend.settle(&app, Unsettled::Push(push.commit.get().cloned()), state.repositories.refs(&app)).await;
    let housekeeping = state.clone();
    let app_ref = app.app_ref();
    state.work.spawn(async move { housekeeping.housekeeping.repack_if_due(&app_ref).await });
    tracing::info!(push = %push.id, app = %app, status, "push ends");
    status
}

async fn run(state: &Arc<ServerState>, push: &Arc<RunningPush>, pipes: Pipes) -> u8 {
    let app = &push.opened.app;
    let mut child = match start(state, push) {
        Ok(child) => child,
        Err(error) => return failed(&pipes.stderr, &push.id, app, &error),
    };
    let pid_file = process::pid(&child).map(|pid| pid_files::write(&state.pid_dir, &push.id, pid, app));
    if let Some(Err(error)) = &pid_file {
        tracing::warn!(push = %push.id, %error, "the pid file of a push could not be written");
    }
    let stdin = child.stdin.take().expect("stdin was asked for as a pipe");
    let stdout = child.stdout.take().expect("stdout was asked for as a pipe");
    let stderr = child.stderr.take().expect("stderr was asked for as a pipe");
    let input = tokio::spawn(copy_input(push.clone(), pipes.stdin, stdin));
    let stdout = tokio::spawn(copy_output(stdout, pipes.stdout));
    let stderr = tokio::spawn(copy_output(stderr, pipes.stderr));
    let (status, in_time) = wait(state, push, &mut child).await;
    push.release_ref_lock();
    drop(pid_file);
    input.abort();
    let (Ok(stdout), Ok(stderr)) = (stdout.await, stderr.await) else {
        tracing::error!(push = %push.id, "the output of git was lost");
        return 1;
    };
    let pusher = stderr.to;
    if !in_time {
        write_error(&pusher, &user_errors::too_slow(app));
    } else if stdout.shallow && !push.reported_shallow.load(Ordering::Acquire) {
        write_error(&pusher, &user_errors::shallow(app, push.opened.deploys.as_ref().map_or("main", |branch| branch.as_str())));
    } else if stdout.too_large || stderr.too_large {
        write_error(&pusher, &user_errors::pack_too_large(app, state.config.max_pack));
    } else if stdout.out_of_memory || stderr.out_of_memory {
        write_error(&pusher, &user_errors::out_of_memory(app));
    } else if push.is_unexplained() && (stdout.disk_full || stderr.disk_full) {
        write_error(&pusher, &user_errors::disk_full(app));
    }
    let is_empty = push.commit.get().is_none() && matches!(&status, Ok(status) if status.success());
    if is_empty {
        for line in state.backend.nothing_new(app).await {
            // A spool that is too full for a few lines has no reader.
            let _ = pusher.push(Bytes::from(format!("{line}\n")));
        }
    }
    match status {
        Ok(status) if status.success() => match push.rollout_outcome() {
            Some(RolloutOutcome::Failed) => 1,
            Some(RolloutOutcome::Live) | None => 0,
        },
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
        Err(error) => failed(&pusher, &push.id, app, &error),
    }
}

fn start(state: &ServerState, push: &RunningPush) -> io::Result<Child> {
    let mut command = state.git.command();
    command
        .arg("receive-pack")
        .arg(&push.repository)
        .env("GIT_NAMESPACE", push.opened.app.env.as_str())
        .env(wire::SOCKET, &state.hook_socket)
        .env(wire::TOKEN, &push.token)
        .stdin(std::process::Stdio::piped());
    let child = command.spawn()?;
    state.git.limit(&child)?;
    Ok(child)
}

/// Waits for git. The pack must arrive in time; what happens after that has its own limits.
async fn wait(state: &ServerState, push: &RunningPush, child: &mut Child) -> (io::Result<ExitStatus>, bool) {
    let late = async {
        tokio::time::sleep(state.config.receive_timeout).await;
        if push.arrived.is_cancelled() {
            std::future::pending::<()>().await;
        }
    };
    let in_time = tokio::select! {
        status = child.wait() => return (status, true),
        () = late => false,
        () = state.abort.cancelled() => true,
    };
    process::end_group(child);
    (child.wait().await, in_time)
}

/// Copies the client's input to git, and parses its `shallow` lines.
async fn copy_input(push: Arc<RunningPush>, mut from: SpoolReader, mut git: ChildStdin) {
    let mut negotiation = ShallowNegotiation::default();
    while let Some(bytes) = from.next().await {
        let written = match bytes {
            Ok(bytes) => {
                if let Some(commits) = negotiation.read(&bytes) {
                    *push.shallow.lock().expect("no holder panics") = commits;
                }
                git.write_all(&bytes).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            // git closed its input: it has all it needs, or it failed.
            tracing::debug!(%error, "git reads no further");
            return;
        }
    }
}

/// One output stream of git after its end, with the messages that were found in it.
struct Copied {
    to: SpoolWriter,
    shallow: bool,
    too_large: bool,
    out_of_memory: bool,
    disk_full: bool,
}

/// Copies git's output to the client's spool until its end, and looks for messages that need an explanation. Never waits for
/// the client.
async fn copy_output(mut git: impl AsyncRead + Unpin, to: SpoolWriter) -> Copied {
    let mut copied = Copied { to, shallow: false, too_large: false, out_of_memory: false, disk_full: false };
    let mut tail: Vec<u8> = Vec::new();
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ);
        match git.read_buf(&mut buffer).await {
            Ok(0) => return copied,
            Err(error) => {
                tracing::warn!(%error, "the output of git can not be read");
                return copied;
            }
            Ok(_) => {}
        }
        let bytes: Bytes = buffer.split().freeze();
        tail.extend_from_slice(&bytes);
        copied.shallow |= contains(&tail, SHALLOW);
        copied.too_large |= contains(&tail, TOO_LARGE);
        copied.out_of_memory |= contains(&tail, OUT_OF_MEMORY);
        copied.disk_full |= contains(&tail, DISK_FULL);
        let keep = tail.len().min(MESSAGES.iter().map(|message| message.len()).max().unwrap_or(1) - 1);
        tail.drain(..tail.len() - keep);
        if let Err(error) = copied.to.push(bytes) {
            tracing::debug!(%error, "git's output to a pusher is dropped");
        }
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

fn write_error(to: &SpoolWriter, user_error: &UserError) {
    // A spool that is too full for five lines has no reader.
    let _ = to.push(error_lines(user_error));
}

fn failed(to: &SpoolWriter, id: &PushId, app: &model::AppEnv, error: &(dyn std::error::Error + 'static)) -> u8 {
    tracing::error!(push = %id, app = %app, error, "a push failed");
    let causes = std::iter::successors(Some(error), |cause| cause.source());
    let full = causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|cause| cause.kind() == io::ErrorKind::StorageFull);
    write_error(to, &if full { user_errors::disk_full(app) } else { UserError::internal(id) });
    1
}
