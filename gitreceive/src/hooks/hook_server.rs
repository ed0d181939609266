//! The hook server: answers the hooks that git runs in the middle of a push.
//!
//! Listens on a unix socket in a directory that only the server's user may enter. A hook must run as the same user and know the
//! token of its push. The backend's output goes back through a spool, so that a stuck pusher never holds up a build; a hook that
//! dies ends nothing.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::{Code, UserError};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::backend::{Push, PushDecision, RolloutOutcome};
use crate::git::commit_source::CommitSource;
use crate::git::pushes::RunningPush;
use crate::git::quarantine::Quarantine;
use crate::git::refs::{self, RefUpdate};
use crate::git::repositories::RepositoryError;
use crate::hooks::hook_output::HookOutput;
use crate::hooks::wire::{HookKind, HookRequest, MAX_REQUEST};
use crate::server_state::ServerState;
use crate::spool::{SpoolReader, spool};
use crate::user_errors;

/// How long a hook may take to send its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Listens at `path`, replacing the socket of a dead server.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves hooks until `stop`.
pub(crate) async fn serve(state: Arc<ServerState>, listener: UnixListener, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let state = state.clone();
                tokio::spawn(async move {
                    if let Err(error) = answer(state, stream).await {
                        tracing::warn!(%error, "a hook was turned away");
                    }
                });
            }
            Err(error) => {
                tracing::error!(%error, "a hook could not be accepted");
                // Most likely out of file descriptors: wait until others are closed.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(state: Arc<ServerState>, stream: UnixStream) -> io::Result<()> {
    if stream.peer_cred()?.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("it runs as another user"));
    }
    let (read, write) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(read.take(MAX_REQUEST));
    tokio::time::timeout(REQUEST_TIMEOUT, reader.read_line(&mut line)).await.map_err(|_| io::Error::other("it said nothing"))??;
    let request: HookRequest = serde_json::from_str(&line)?;
    let push = state.pushes.find(&request.token).ok_or_else(|| io::Error::other("it knows no running push"))?;
    let (spool_writer, spool_reader) = spool(state.output_limits());
    let output = HookOutput::new(spool_writer);
    tokio::spawn(send_frames(spool_reader, write));
    // A task of its own, so that nothing that happens to the hook or to the pusher ends the work.
    let hooks = push.hooks.clone();
    hooks.spawn(async move {
        let status = match request.kind {
            HookKind::PreReceive => pre_receive(&state, &push, request, &output).await,
            HookKind::PostReceive => post_receive(&state, &push, &output).await,
        };
        output.exit(status);
    });
    Ok(())
}

/// Sends frames to the hook until it closes the socket.
async fn send_frames(mut frames: SpoolReader, mut hook: tokio::net::unix::OwnedWriteHalf) {
    while let Some(bytes) = frames.next().await {
        let sent = match bytes {
            Ok(bytes) => hook.write_all(&bytes).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a hook went away");
            return;
        }
    }
}

async fn pre_receive(state: &Arc<ServerState>, push: &Arc<RunningPush>, request: HookRequest, output: &HookOutput) -> u8 {
    if !push.begin_pre_receive() {
        return 1;
    }
    match decide(state, push, request, output).await {
        Ok(accepted) => {
            push.decided(Some(accepted));
            push.hold_ref_lock(state.pushes.lock_refs(&push.opened.app.app_ref()).await);
            0
        }
        Err(user_error) => {
            tracing::info!(app = %push.opened.app, push = %push.id, code = %user_error.code, "push refused");
            push.decided(None);
            output.error(&user_error);
            1
        }
    }
}

async fn decide(state: &Arc<ServerState>, push: &Arc<RunningPush>, request: HookRequest, output: &HookOutput) -> Result<Push, UserError> {
    let internal = |what: &str| {
        tracing::error!(push = %push.id, app = %push.opened.app, what, "a hook sent something unexpected");
        UserError::internal(&push.id)
    };
    let updates: Option<Vec<RefUpdate>> = request.updates.iter().map(|line| RefUpdate::parse(line)).collect();
    let updates = updates.ok_or_else(|| internal("ref updates that can not be read"))?;
    let change = refs::check(&updates, push.opened.deploys.as_ref(), &push.opened.app)?;
    let quarantine = request.quarantine.ok_or_else(|| internal("no quarantine"))?;
    let objects = PathBuf::from(&quarantine.objects);
    if !objects.starts_with(&push.repository) {
        return Err(internal("a quarantine outside of the repository"));
    }
    let quarantine = Quarantine { objects, alternates: quarantine.alternates };
    let commit = change.new.clone();
    let quarantined = CommitSource::new(state.git.clone(), push.repository.clone(), Some(quarantine), commit.clone());
    let accepted = CommitSource::accepted(state.git.clone(), push.repository.clone(), commit);
    let ends = push.shallow.lock().expect("no holder panics").clone();
    let (is_shallow, here) = (!ends.is_empty(), accepted.clone());
    // git refuses a commit where a history ends that came with this very push, but only after the hook.
    let is_complete = move |source: &CommitSource| {
        for commit in &ends {
            if source.has(commit)? && !here.has(commit)? {
                return Ok(false);
            }
        }
        source.is_complete()
    };
    if is_shallow && !ask(&quarantined, push, is_complete).await? {
        push.reported_shallow.store(true, Ordering::Release);
        return Err(user_errors::shallow(&push.opened.app, change.branch.as_str()));
    }
    let holds_files = |source: &CommitSource| source.list(Path::new("")).map(|entries| entries.is_some_and(|entries| !entries.is_empty()));
    if !ask(&quarantined, push, holds_files).await? {
        return Err(UserError::new(Code::EmptyRepository, format!("commit {} holds no files", change.new.short()))
            .why(format!("There is nothing to build for {}.", push.opened.app))
            .next("git add . && git commit -m 'first version'"));
    }
    let context = |source| Push {
        id: push.id.clone(),
        who: push.who.clone(),
        app: push.opened.app.clone(),
        change: change.clone(),
        options: request.options.clone(),
        source,
        refs: state.repositories.refs(&push.opened.app),
    };
    // A push comes here once: `begin` saw to that.
    let _ = push.commit.set(change.new.clone());
    match state.backend.pre_receive(context(quarantined), output.clone()).await {
        PushDecision::Accept => Ok(context(accepted)),
        PushDecision::Refuse(user_error) => Err(user_error),
    }
}

/// Asks something of the pushed commit, away from the threads that must not wait.
async fn ask(
    source: &CommitSource,
    push: &RunningPush,
    question: impl FnOnce(&CommitSource) -> Result<bool, RepositoryError> + Send + 'static,
) -> Result<bool, UserError> {
    let source = source.clone();
    match tokio::task::spawn_blocking(move || question(&source)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            tracing::error!(push = %push.id, app = %push.opened.app, error = &error as &dyn std::error::Error, "the pushed commit can not be read");
            Err(UserError::internal(&push.id))
        }
        Err(_) => Err(UserError::internal(&push.id)),
    }
}

async fn post_receive(state: &Arc<ServerState>, push: &Arc<RunningPush>, output: &HookOutput) -> u8 {
    let Some(accepted) = push.begin_post_receive() else { return 1 };
    push.release_ref_lock();
    let refs = state.repositories.refs(&push.opened.app);
    let branch = accepted.change.branch.clone();
    let headed = tokio::task::spawn_blocking(move || refs.set_head(&branch)).await;
    if let Ok(Err(error)) = headed {
        // Only what a clone checks out by default hangs on it.
        tracing::warn!(app = %push.opened.app, error = &error as &dyn std::error::Error, "the head of the environment is not set");
    }
    let outcome = state.backend.post_receive(accepted, output.clone()).await;
    push.rolled_out(outcome);
    match outcome {
        RolloutOutcome::Live => 0,
        RolloutOutcome::Failed => 1,
    }
}
