//! A verb over SSH: the same command line as `slipway`, against the same routes as the API, as the user of the key.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Parser;
use clap::error::ErrorKind;
use gitreceive::VerbCall;
use manager::Manager;
use model::{Code, UserError};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, mpsc};

use super::one_off;
use crate::cli::args::{Cli, Command};
use crate::cli::argv::{misread, split_colon, wants_json};
use crate::cli::client::{CallError, Client};
use crate::cli::console::{Console, Pressure, Sink};
use crate::cli::context::Context;
use crate::cli::{commands, exit};

/// Words for a channel, in order; a task writes them.
struct Channel {
    words: mpsc::UnboundedSender<(bool, Vec<u8>)>,
    pressure: Arc<Pressure>,
}

impl Sink for Channel {
    fn out(&mut self, text: &model::Printable) -> bool {
        self.pressure.queued.fetch_add(text.as_str().len(), Ordering::Relaxed);
        self.words.send((true, text.as_str().as_bytes().to_vec())).is_ok()
    }

    fn err(&mut self, text: &model::Printable) {
        // A client that is gone reads no complaints.
        drop(self.words.send((false, text.as_str().as_bytes().to_vec())));
    }

    fn pressure(&self) -> Option<Arc<Pressure>> {
        Some(self.pressure.clone())
    }
}

/// What verbs over SSH work on: the same routes as the API.
pub struct SshVerbs {
    pub manager: Arc<Manager>,
    pub web: web_ui::WebUi,
    pub one_offs: slugrunner::OneOffs,
}

/// Runs a verb; its exit status.
pub async fn run(ssh: &SshVerbs, call: VerbCall) -> u8 {
    let words = split_colon([String::from("slipway")].into_iter().chain(call.words.iter().cloned()).map(OsString::from));
    let json = wants_json(&words);
    let (words_in, mut words_out) = mpsc::unbounded_channel::<(bool, Vec<u8>)>();
    let pressure = Arc::new(Pressure { queued: AtomicUsize::new(0), eased: Notify::new() });
    let parsed = Cli::try_parse_from(words);
    if let Ok(cli) = &parsed
        && let Command::Run { target, command } = &cli.command
    {
        let (target, command) = (target.clone(), command.clone());
        return one_off::run(&ssh.manager, &ssh.one_offs, call, &target, &command).await;
    }
    let VerbCall { who, mut stdout, mut stderr, gone, .. } = call;
    let easing = pressure.clone();
    let writer = tokio::spawn(async move {
        while let Some((out, text)) = words_out.recv().await {
            let written = if out { stdout.write_all(&text).await } else { stderr.write_all(&text).await };
            if out {
                easing.queued.fetch_sub(text.len(), Ordering::Relaxed);
                easing.eased.notify_waiters();
            }
            if written.is_err() {
                break;
            }
        }
        // The reader may be gone; there is nobody left to tell.
        drop(stdout.shutdown().await);
        drop(stderr.shutdown().await);
    });
    let output = Console::new(Box::new(Channel { words: words_in, pressure }), json);
    let status = tokio::select! {
        status = verb(ssh, &who, parsed, &output) => status,
        // Logs and the like have no end of their own.
        () = gone.cancelled() => exit::FAILED,
    };
    drop(output);
    // The client gets every word before the status.
    tokio::select! {
        _ = writer => {}
        () = gone.cancelled() => {}
    }
    status
}

async fn verb(ssh: &SshVerbs, who: &gitreceive::Identity, parsed: Result<Cli, clap::Error>, output: &Console) -> u8 {
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let over_ssh = |text: &str| text.replace("slipway ", "ssh paas@host ");
            let Some(mut user_error) = misread(&error) else {
                output.line(over_ssh(&error.render().to_string()).trim_end());
                return exit::OK;
            };
            if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand && !output.is_json() {
                output.note(over_ssh(&error.render().to_string()).trim_end());
            } else {
                user_error.next.iter_mut().for_each(|step| *step = over_ssh(step));
                output.error(&user_error);
            }
            return exit::USAGE;
        }
    };
    let identity = match ssh.manager.identity(&who.user, "ssh").await {
        Ok(identity) => identity,
        Err(user_error) => {
            output.error(&user_error);
            return exit::DENIED;
        }
    };
    let context = Context { client: Client::router(ssh.web.router_for(identity)), output: output.clone(), local: false };
    let result = match commands::run(&context, &cli).await {
        Some(result) => result,
        None => Err(CallError::from(
            UserError::new(Code::BadRequest, "this verb works on your own machine only")
                .next("install `slipway` there, or use the dashboard"),
        )),
    };
    match result {
        Ok(()) => exit::OK,
        Err(error) => {
            commands::tell(output, &error);
            commands::exit_code(&error)
        }
    }
}
