//! `ssh paas@host run -a app -- command`: a command of the current release in a fresh container, with the client's terminal.

use gitreceive::VerbCall;
use manager::Manager;
use model::{AppPath, Code, EnvName, UserError, push_output};
use slugrunner::runtime::OutputChunk;
use slugrunner::{OneOffRequest, OneOffs};
use tokio::io::AsyncWriteExt;

use crate::cli::args::Target;
use crate::cli::{commands, exit};

/// Runs the command; its exit status.
pub async fn run(manager: &Manager, one_offs: &OneOffs, mut call: VerbCall, target: &Target, command: &[String]) -> u8 {
    match attempt(manager, one_offs, &mut call, target, command).await {
        Ok(status) => status,
        Err(user_error) => {
            let text = push_output::user_error(&user_error).join("\r\n") + "\r\n";
            // A client that is gone reads no complaints.
            drop(call.stderr.write_all(text.as_bytes()).await);
            drop(call.stderr.flush().await);
            commands::exit_code_of(user_error.code)
        }
    }
}

async fn attempt(manager: &Manager, one_offs: &OneOffs, call: &mut VerbCall, target: &Target, command: &[String]) -> Result<u8, UserError> {
    let who = manager.identity(&call.who.user, "ssh").await?;
    let named = target.app.as_deref().ok_or_else(|| UserError::new(Code::BadRequest, "which app?").next("run -a acme/shop -- bash"))?;
    let path: AppPath = named.parse()?;
    let env = match (&target.env, &path.env) {
        (Some(env), _) => env.parse()?,
        (None, Some(env)) => env.clone(),
        (None, None) => EnvName::dev(),
    };
    let app = manager.resolve(&who, &path).await?.in_env(env);
    let spec = manager.one_off(&who, &app, command).await?;
    let mut size = call.terminal.as_ref().map(|terminal| terminal.size.clone());
    let terminal = size.as_mut().map(|size| *size.borrow_and_update());
    let request = OneOffRequest { app, release: spec.release, command: quoted(command), terminal };
    let mut run = one_offs.run(request).await?;

    if let Some(mut size) = size {
        let resizer = run.resizer();
        tokio::spawn(async move {
            while size.changed().await.is_ok() {
                let (columns, rows) = *size.borrow_and_update();
                resizer.resize(columns, rows).await;
            }
        });
    }
    let input = run.input.take();
    let mut stdin = std::mem::replace(&mut call.stdin, Box::pin(tokio::io::empty()));
    let feeding = tokio::spawn(async move {
        if let Some(mut input) = input {
            // Either side may end first; both are ordinary.
            drop(tokio::io::copy(&mut stdin, &mut input).await);
            drop(input.shutdown().await);
        }
    });
    let gone = call.gone.clone();
    let status = loop {
        tokio::select! {
            piece = run.output() => match piece {
                Some(OutputChunk::Stdout(bytes)) => drop(call.stdout.write_all(&bytes).await),
                Some(OutputChunk::Stderr(bytes)) => drop(call.stderr.write_all(&bytes).await),
                None => break run.exit_code().await,
            },
            // The client is gone: dropping the run ends the container.
            () = gone.cancelled() => break i64::from(exit::FAILED),
        }
    };
    feeding.abort();
    drop(call.stdout.flush().await);
    Ok(u8::try_from(status).unwrap_or(exit::FAILED))
}

/// One shell line that means exactly these words.
fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_stay_words() {
        let words = ["sh", "-c", "echo \"$HOME\"; it's"].map(String::from);
        assert_eq!(quoted(&words), r#"'sh' '-c' 'echo "$HOME"; it'\''s'"#);
    }
}
