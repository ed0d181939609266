//! Verbs that go to an environment by other ways than the API: its URL in a browser, a command over SSH.

use model::{Code, UserError};
use serde_json::Value;

use crate::cli::args::Target;
use crate::cli::client::CallError;
use crate::cli::context::{Context, app_path};
use crate::cli::exit;

/// What the server says of an environment of an app.
async fn env_of(context: &Context, target: &Target) -> Result<Value, CallError> {
    let app = context.target(target).await?;
    let info: Value = context.client.get(&app_path(&app.app_ref())).await?;
    let env = info["envs"].as_array().into_iter().flatten().find(|env| env["env"] == app.env.as_str()).cloned();
    env.ok_or_else(|| UserError::new(Code::UnknownApp, format!("{} has no environment `{}`", app.app_ref(), app.env)).into())
}

/// Shows the URL, and opens it where there is a browser.
pub async fn open(context: &Context, target: &Target) -> Result<u8, CallError> {
    let env = env_of(context, target).await?;
    let url = env["url"].as_str().unwrap_or_default().to_owned();
    context.output.line(&url);
    let opened = std::process::Command::new("xdg-open").arg(&url).stderr(std::process::Stdio::null()).spawn();
    if opened.is_err() {
        context.output.note("no browser was found on this machine; open the address in yours");
    }
    Ok(exit::OK)
}

/// Runs a command by SSH, which carries a terminal.
pub async fn run(context: &Context, target: &Target, command: &[String]) -> Result<u8, CallError> {
    use std::io::IsTerminal;
    let app = context.target(target).await?;
    let env = env_of(context, target).await?;
    let remote = env["remote"].as_str().unwrap_or_default();
    let bad = || UserError::new(Code::BadRequest, format!("the server's git address `{remote}` can not be used"));
    let (user_host, port) = remote
        .strip_prefix("ssh://")
        .and_then(|rest| rest.split('/').next())
        .map(|address| address.rsplit_once(':').unwrap_or((address, "22")))
        .ok_or_else(bad)?;
    if user_host.starts_with('-') || port.parse::<u16>().is_err() {
        return Err(bad().into());
    }
    let mut ssh = std::process::Command::new("ssh");
    if std::io::stdin().is_terminal() {
        ssh.arg("-t");
    }
    let mut words = vec!["run".to_owned(), "-a".into(), app.app_ref().to_string(), "-e".into(), app.env.to_string(), "--".into()];
    words.extend(command.iter().cloned());
    let line: Vec<String> = words.iter().map(|word| shell_quote(word)).collect();
    let status = ssh.args(["-p", port, "--", user_host]).arg(line.join(" ")).status();
    match status {
        Ok(status) => Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::FAILED)),
        Err(error) => Err(UserError::new(Code::BadRequest, format!("could not run ssh: {error}")).next("install openssh-client").into()),
    }
}

/// A word in single quotes, as the server's own splitter reads it.
fn shell_quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
