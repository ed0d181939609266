//! Signing in and out, and the operator's way to give somebody their first key.

use model::{Code, UserError};
use serde_json::{Value, json};

use crate::cli::args::Cli;
use crate::cli::client::{CallError, Client, Payload, quote, server_address};
use crate::cli::commands::{read_key, read_password};
use crate::cli::console::Console;
use crate::cli::{exit, user_files};
use crate::config;

/// Exchanges a password for a token, which this machine remembers.
pub async fn login(cli: &Cli, output: &Console, user: Option<&str>) -> Result<u8, CallError> {
    let server = match (&cli.global.server, user_files::load()) {
        (Some(server), _) => server_address(server)?.to_owned(),
        (None, Some(remembered)) => remembered.server,
        (None, None) => {
            let config = config::load(cli.global.config.as_deref()).map_err(|error| error.told())?;
            config.dashboard()
        }
    };
    let bad = |error: std::io::Error| UserError::new(Code::BadRequest, format!("could not read from the terminal: {error}"));
    let user = match user {
        Some(user) => user.to_owned(),
        None => {
            eprint!("name: ");
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map_err(bad)?;
            line.trim().to_owned()
        }
    };
    let password = read_password(&format!("password of {user} at {server}")).map_err(bad)?;
    let client = Client::http(&server, None);
    let label = format!("cli on {}", rustix::system::uname().nodename().to_string_lossy());
    let answer: Value = client.post("/api/v1/login", json!({ "user": user, "password": password, "label": label })).await?;
    let token = answer["token"].as_str().unwrap_or_default().to_owned();
    let path = user_files::save(&user_files::Remembered { server: server.clone(), token, user: user.clone() })
        .map_err(|error| UserError::new(Code::BadRequest, error.to_string()))?;
    output.line(format!("signed in to {server} as {user}; remembered in {}", path.display()));
    Ok(exit::OK)
}

/// Forgets the token of this machine.
pub fn logout(output: &Console) -> Result<u8, CallError> {
    let there = user_files::forget().map_err(|error| UserError::new(Code::BadRequest, error.to_string()))?;
    output.line(if there { "signed out" } else { "you were not signed in" });
    Ok(exit::OK)
}

/// Gives a key from standard input to a user, who is made if there is none of that name.
pub async fn upload_key(client: &Client, output: &Console, user: &str) -> Result<u8, CallError> {
    let text = read_key()?;
    // The key is checked by the server; a user is made for the key, as git hosts of this kind always did.
    match client.post::<Value>("/api/v1/users", json!({ "name": user })).await {
        Ok(_) => output.note(format!("user {user} is made")),
        Err(CallError::UserError(user_error)) if user_error.code == Code::NameTaken => {}
        Err(error) => return Err(error),
    }
    let path = format!("/api/v1/users/{}/keys", quote(user));
    let key: Value = client.call(reqwest::Method::POST, &path, Payload::Text(text)).await?;
    output.line(format!("{} belongs to {user} now", key["fingerprint"].as_str().unwrap_or_default()));
    Ok(exit::OK)
}
