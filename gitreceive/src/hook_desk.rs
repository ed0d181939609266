//! Where hooks arrive: the server's half of a push that runs inside git.
//!
//! A unix socket in a directory that only the server's user may enter. A hook must come from the same user and know the token of
//! its push. What the desk says travels back through a spool, so that a stuck pusher never holds up a build; a hook that dies
//! ends nothing.

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

use crate::desk::{Push, Rollout, Verdict};
use crate::hook::HookKind;
use crate::hook::wire::{Hello, MAX_HELLO};
use crate::house::House;
use crate::lines::Lines;
use crate::pushes::Running;
use crate::refs::{self, RefUpdate};
use crate::repositories::RepositoryError;
use crate::source::{Quarantine, Source};
use crate::spool::{Outlet, spool};
use crate::user_errors;

/// How long a hook may take to say who it is.
const GREETING: Duration = Duration::from_secs(20);

/// Listens at `path`, in the place of whatever a dead server left there.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Takes hooks until told to stop.
pub(crate) async fn serve(house: Arc<House>, listener: UnixListener, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let house = house.clone();
                tokio::spawn(async move {
                    if let Err(error) = greet(house, stream).await {
                        tracing::warn!(%error, "a hook was turned away");
                    }
                });
            }
            Err(error) => {
                tracing::error!(%error, "no hook can be taken");
                // Out of descriptors, most likely: give others the time to close theirs.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn greet(house: Arc<House>, stream: UnixStream) -> io::Result<()> {
    if stream.peer_cred()?.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("it runs as another user"));
    }
    let (read, write) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(read.take(MAX_HELLO));
    tokio::time::timeout(GREETING, reader.read_line(&mut line)).await.map_err(|_| io::Error::other("it said nothing"))??;
    let hello: Hello = serde_json::from_str(&line)?;
    let push = house.pushes.find(&hello.token).ok_or_else(|| io::Error::other("it knows no running push"))?;
    let (intake, outlet) = spool(house.lines_limits());
    let said = Lines::new(intake);
    tokio::spawn(carry(outlet, write));
    // A task of its own: from here on nothing that happens to the hook or to the pusher ends the work.
    let hooks = push.hooks.clone();
    hooks.spawn(async move {
        let status = match hello.kind {
            HookKind::PreReceive => pre_receive(&house, &push, hello, &said).await,
            HookKind::PostReceive => post_receive(&house, &push, &said).await,
        };
        said.exit(status);
    });
    Ok(())
}

/// Carries frames to the hook, as long as it is there.
async fn carry(mut frames: Outlet, mut hook: tokio::net::unix::OwnedWriteHalf) {
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

async fn pre_receive(house: &Arc<House>, push: &Arc<Running>, hello: Hello, said: &Lines) -> u8 {
    if !push.begin() {
        return 1;
    }
    match decide(house, push, hello, said).await {
        Ok(accepted) => {
            push.decided(Some(accepted));
            push.may_move(house.pushes.moving(&push.opened.app.app_ref()).await);
            0
        }
        Err(user_error) => {
            tracing::info!(app = %push.opened.app, push = %push.id, code = %user_error.code, "push refused");
            push.decided(None);
            said.error(&user_error);
            1
        }
    }
}

async fn decide(house: &Arc<House>, push: &Arc<Running>, hello: Hello, said: &Lines) -> Result<Push, UserError> {
    let internal = |what: &str| {
        tracing::error!(push = %push.id, app = %push.opened.app, what, "a hook said something unexpected");
        UserError::internal(&push.id)
    };
    let updates: Option<Vec<RefUpdate>> = hello.updates.iter().map(|line| RefUpdate::parse(line)).collect();
    let updates = updates.ok_or_else(|| internal("ref updates that can not be read"))?;
    let change = refs::judge(&updates, push.opened.deploys.as_ref(), &push.opened.app)?;
    let quarantine = hello.quarantine.ok_or_else(|| internal("no quarantine"))?;
    let objects = PathBuf::from(&quarantine.objects);
    if !objects.starts_with(&push.repository) {
        return Err(internal("a quarantine outside of the repository"));
    }
    let quarantine = Quarantine { objects, alternates: quarantine.alternates };
    let commit = change.new.clone();
    let quarantined = Source::new(house.git.clone(), push.repository.clone(), Some(quarantine), commit.clone());
    let accepted = Source::accepted(house.git.clone(), push.repository.clone(), commit);
    let ends = push.shallow.lock().expect("no holder panics").clone();
    let (is_shallow, here) = (!ends.is_empty(), accepted.clone());
    // git refuses a commit where a history ends that came with this very push, but only after the hook.
    let is_whole = move |source: &Source| {
        for commit in &ends {
            if source.has(commit)? && !here.has(commit)? {
                return Ok(false);
            }
        }
        source.is_whole()
    };
    if is_shallow && !ask(&quarantined, push, is_whole).await? {
        push.told_shallow.store(true, Ordering::Release);
        return Err(user_errors::shallow(&push.opened.app, change.branch.as_str()));
    }
    let holds_files = |source: &Source| source.list(Path::new("")).map(|entries| entries.is_some_and(|entries| !entries.is_empty()));
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
        options: hello.options.clone(),
        source,
        refs: house.repositories.refs(&push.opened.app),
    };
    // A push comes here once: `begin` saw to that.
    let _ = push.commit.set(change.new.clone());
    match house.desk.pre_receive(context(quarantined), said.clone()).await {
        Verdict::Accept => Ok(context(accepted)),
        Verdict::Refuse(user_error) => Err(user_error),
    }
}

/// Asks something of the pushed commit, away from the threads that must not wait.
async fn ask(
    source: &Source,
    push: &Running,
    question: impl FnOnce(&Source) -> Result<bool, RepositoryError> + Send + 'static,
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

async fn post_receive(house: &Arc<House>, push: &Arc<Running>, said: &Lines) -> u8 {
    let Some(accepted) = push.moved() else { return 1 };
    push.has_moved();
    let refs = house.repositories.refs(&push.opened.app);
    let branch = accepted.change.branch.clone();
    let headed = tokio::task::spawn_blocking(move || refs.set_head(&branch)).await;
    if let Ok(Err(error)) = headed {
        // Only what a clone checks out by default hangs on it.
        tracing::warn!(app = %push.opened.app, error = &error as &dyn std::error::Error, "the head of the environment is not set");
    }
    let rollout = house.desk.post_receive(accepted, said.clone()).await;
    push.rolled(rollout);
    match rollout {
        Rollout::Live => 0,
        Rollout::Failed => 1,
    }
}
