//! One push, from the start of git to the last word.
//!
//! Owns the git process and both its pipes. The commit point is the ref: pre-receive prepares, git moves the ref, post-receive
//! activates. Once the pack has arrived the client no longer matters: its going away ends nothing. Only a pack that stops short,
//! or takes too long, ends the push; then git itself cleans up.

use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use model::{PushId, UserError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin};

use crate::client::block;
use crate::desk::{Identity, Open, Opened, Rollout};
use crate::git;
use crate::hook;
use crate::house::House;
use crate::housekeeping;
use crate::leftovers;
use crate::opening::Opening;
use crate::pushes::Running;
use crate::spool::{Intake, Outlet};
use crate::user_errors;

/// How much is read from git at once.
const READ: usize = 32 * 1024;

/// What git says when a ref needs history that the pusher has not got.
const SHALLOW: &[u8] = b"shallow update not allowed";
/// What git says when `receive.maxInputSize` is reached.
const TOO_LARGE: &[u8] = b"pack exceeds maximum allowed size";
/// What git, and the system, say when the disk is full.
const NO_ROOM: &[u8] = b"No space left on device";

/// The pipes of a push.
pub(crate) struct Pipes {
    pub stdin: Outlet,
    pub stdout: Intake,
    pub stderr: Intake,
}

/// Runs a push to its end; the answer is the exit status for the client.
pub(crate) async fn receive(house: Arc<House>, who: Identity, opened: Opened, pipes: Pipes) -> u8 {
    let app = opened.app.clone();
    let repositories = house.repositories.clone();
    let app_ref = app.app_ref();
    let ensured = tokio::task::spawn_blocking(move || repositories.ensure(&app_ref)).await;
    let repository = match ensured {
        Ok(Ok(repository)) => repository,
        Ok(Err(error)) => return failed(&pipes.stderr, &PushId::mint(crate::chance::bytes()), &app, &error),
        Err(error) => return failed(&pipes.stderr, &PushId::mint(crate::chance::bytes()), &app, &error),
    };
    let push = Arc::new(Running::new(who, opened, repository));
    tracing::info!(push = %push.id, app = %app, user = %push.who.user, "push begins");
    house.pushes.add(&push);
    let status = run(&house, &push, pipes).await;
    // The hooks' work goes on when git was killed under them; what they prepared is settled after them.
    push.hooks.close();
    push.hooks.wait().await;
    house.pushes.remove(&push);
    house.desk.settle(&app, Open::Of(push.commit.get().cloned()), house.repositories.refs(&app)).await;
    let keeping = house.clone();
    let app_ref = app.app_ref();
    house.work.spawn(async move { housekeeping::keep(&keeping, &app_ref).await });
    tracing::info!(push = %push.id, app = %app, status, "push ends");
    status
}

async fn run(house: &Arc<House>, push: &Arc<Running>, pipes: Pipes) -> u8 {
    let app = &push.opened.app;
    let mut child = match start(house, push) {
        Ok(child) => child,
        Err(error) => return failed(&pipes.stderr, &push.id, app, &error),
    };
    let noted = git::pid(&child).map(|pid| leftovers::write(&house.notes, &push.id, pid, app));
    if let Some(Err(error)) = &noted {
        tracing::warn!(push = %push.id, %error, "a push leaves no note for the next server");
    }
    let stdin = child.stdin.take().expect("stdin was asked for as a pipe");
    let stdout = child.stdout.take().expect("stdout was asked for as a pipe");
    let stderr = child.stderr.take().expect("stderr was asked for as a pipe");
    let feeding = tokio::spawn(feed(push.clone(), pipes.stdin, stdin));
    let said = tokio::spawn(listen(stdout, pipes.stdout));
    let complained = tokio::spawn(listen(stderr, pipes.stderr));
    let (status, in_time) = wait(house, push, &mut child).await;
    push.has_moved();
    drop(noted);
    feeding.abort();
    let (Ok(said), Ok(complained)) = (said.await, complained.await) else {
        tracing::error!(push = %push.id, "the output of git was lost");
        return 1;
    };
    let stderr = complained.to;
    if !in_time {
        say(&stderr, &user_errors::too_slow(app));
    } else if said.shallow && !push.told_shallow.load(Ordering::Acquire) {
        say(&stderr, &user_errors::shallow(app, push.opened.deploys.as_ref().map_or("main", |branch| branch.as_str())));
    } else if said.too_large || complained.too_large {
        say(&stderr, &user_errors::pack_too_large(app, house.config.max_pack));
    } else if push.is_unexplained() && (said.no_room || complained.no_room) {
        say(&stderr, &user_errors::disk_full(app));
    }
    match status {
        Ok(status) if status.success() => match push.rollout() {
            Some(Rollout::Failed) => 1,
            Some(Rollout::Live) | None => 0,
        },
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
        Err(error) => failed(&stderr, &push.id, app, &error),
    }
}

fn start(house: &House, push: &Running) -> io::Result<Child> {
    let mut command = house.git.command();
    command
        .arg("receive-pack")
        .arg(&push.repository)
        .env("GIT_NAMESPACE", push.opened.app.env.as_str())
        .env(hook::SOCKET, &house.hook_socket)
        .env(hook::TOKEN, &push.token)
        .stdin(std::process::Stdio::piped());
    let child = command.spawn()?;
    git::limit(&child)?;
    Ok(child)
}

/// Waits for git. The pack must arrive in time; what happens after that has its own limits.
async fn wait(house: &House, push: &Running, child: &mut Child) -> (io::Result<ExitStatus>, bool) {
    let late = async {
        tokio::time::sleep(house.config.receive_timeout).await;
        if push.arrived.is_cancelled() {
            std::future::pending::<()>().await;
        }
    };
    let in_time = tokio::select! {
        status = child.wait() => return (status, true),
        () = late => false,
        () = house.abort.cancelled() => true,
    };
    git::end_group(child);
    (child.wait().await, in_time)
}

/// Gives git what the client sent, and reads along in its first lines.
async fn feed(push: Arc<Running>, mut from: Outlet, mut git: ChildStdin) {
    let mut opening = Opening::default();
    while let Some(bytes) = from.next().await {
        let given = match bytes {
            Ok(bytes) => {
                if let Some(commits) = opening.read(&bytes) {
                    *push.shallow.lock().expect("no holder panics") = commits;
                }
                git.write_all(&bytes).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = given {
            // git reads no further: it has all it wants, or has given up.
            tracing::debug!(%error, "git reads no further");
            return;
        }
    }
}

/// What was heard while passing it on.
struct Heard {
    to: Intake,
    shallow: bool,
    too_large: bool,
    no_room: bool,
}

/// Passes on what git says until its end, and listens for what needs an explanation. Never waits for the client.
async fn listen(mut git: impl AsyncRead + Unpin, to: Intake) -> Heard {
    let mut heard = Heard { to, shallow: false, too_large: false, no_room: false };
    let mut tail: Vec<u8> = Vec::new();
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ);
        match git.read_buf(&mut buffer).await {
            Ok(0) => return heard,
            Err(error) => {
                tracing::warn!(%error, "the output of git can not be read");
                return heard;
            }
            Ok(_) => {}
        }
        let bytes: Bytes = buffer.split().freeze();
        tail.extend_from_slice(&bytes);
        heard.shallow |= contains(&tail, SHALLOW);
        heard.too_large |= contains(&tail, TOO_LARGE);
        heard.no_room |= contains(&tail, NO_ROOM);
        let keep = tail.len().min(SHALLOW.len().max(TOO_LARGE.len()).max(NO_ROOM.len()) - 1);
        tail.drain(..tail.len() - keep);
        if let Err(error) = heard.to.push(bytes) {
            tracing::debug!(%error, "what git says to a pusher is dropped");
        }
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

fn say(to: &Intake, user_error: &UserError) {
    // A spool too full for five lines has no reader.
    let _ = to.push(block(user_error));
}

fn failed(to: &Intake, id: &PushId, app: &model::AppEnv, error: &(dyn std::error::Error + 'static)) -> u8 {
    tracing::error!(push = %id, app = %app, error, "a push failed");
    let causes = std::iter::successors(Some(error), |cause| cause.source());
    let full = causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|cause| cause.kind() == io::ErrorKind::StorageFull);
    say(to, &if full { user_errors::disk_full(app) } else { UserError::internal(id) });
    1
}
