//! Slipway: one binary, every role. By the names of git's hooks it is the hook; by the name `gitreceive` it is the command that
//! adds keys; else it is the command line and the server.

mod cli;
mod config;
mod server;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use model::{Code, UserError};
use serde_json::{Value, json};

use cli::args::{Cli, Command, Target};
use cli::client::{CallError, Client, Payload, quote};
use cli::commands::init::Meant;
use cli::console::{Console, Std};
use cli::context::{Context, app_path};
use cli::{commands, exit, user_files};

fn main() -> ExitCode {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let name = words.first().and_then(|word| Path::new(word).file_name().map(OsStr::to_os_string)).unwrap_or_default();
    if let Some(kind) = gitreceive::hook::HookKind::from_program(&name) {
        return gitreceive::hook::main(kind);
    }
    if name == "gitreceive" && words.get(1).is_none_or(|word| word != "upload-key") {
        eprintln!("usage: cat id_ed25519.pub | sudo gitreceive upload-key <user>");
        return ExitCode::from(exit::USAGE);
    }
    // The first provider stays; there is only this one.
    drop(rustls::crypto::ring::default_provider().install_default());
    words = cli::words::split_colon(words);
    let json = cli::words::wants_json(&words);
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => return misread(&error, &Console::new(Box::new(Std), json)),
    };
    match &cli.command {
        Command::Up { without } => server::main(cli.global.config.as_deref(), without.is_some()),
        Command::Router => server::router::main(cli.global.config.as_deref()),
        Command::Boot { templates } => server::boot::main(cli.global.config.as_deref(), templates),
        _ => on_terminal(&cli),
    }
}

/// Tells of a line that can not be read. Where help was asked for, or says more than a failure, help is shown.
fn misread(error: &clap::Error, output: &Console) -> ExitCode {
    match cli::words::misread(error) {
        Some(user_error) if output.is_json() || error.kind() != clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            output.error(&user_error);
            ExitCode::from(exit::USAGE)
        }
        told => {
            drop(error.print());
            ExitCode::from(if told.is_some() { exit::USAGE } else { exit::OK })
        }
    }
}

fn on_terminal(cli: &Cli) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("could not start: {error}");
            return ExitCode::from(exit::FAILED);
        }
    };
    let output = Console::new(Box::new(Std), cli.global.json);
    match runtime.block_on(verb(cli, &output)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            commands::tell(&output, &error);
            ExitCode::from(commands::exit_code(&error))
        }
    }
}

/// Where the server is: named, remembered, or on this machine.
fn connect(cli: &Cli) -> Result<Client, CallError> {
    let remembered = user_files::load();
    let token = |server: &str| {
        std::env::var("SLIPWAY_TOKEN").ok().or_else(|| remembered.as_ref().filter(|r| r.server == server).map(|r| r.token.clone()))
    };
    if let Some(server) = &cli.global.server {
        let server = cli::client::server_address(server)?;
        return Ok(Client::http(server, token(server)));
    }
    if let Some(remembered) = &remembered {
        return Ok(Client::http(&remembered.server, token(&remembered.server)));
    }
    control(cli)
}

/// The operator's socket of this machine.
fn control(cli: &Cli) -> Result<Client, CallError> {
    let config = config::load(cli.global.config.as_deref()).map_err(|error| error.told())?;
    let socket = config.control_socket();
    match std::os::unix::net::UnixStream::connect(&socket) {
        Ok(_) => Client::socket(&socket),
        Err(error) => Err(UserError::new(Code::NotSignedIn, "you are not signed in to a server")
            .why(format!("And the control socket of this machine, {}, can not be used: {error}.", socket.display()))
            .next("slipway login --server http://host:7080")
            .next("slipway up   # starts one on this machine")
            .into()),
    }
}

async fn verb(cli: &Cli, output: &Console) -> Result<u8, CallError> {
    match &cli.command {
        Command::Validate { dir } => {
            commands::validate::run(output, dir)?;
            Ok(exit::OK)
        }
        Command::Login { user } => login(cli, output, user.as_deref()).await,
        Command::Logout => {
            let there = user_files::forget().map_err(|error| UserError::new(Code::BadRequest, error.to_string()))?;
            output.line(if there { "signed out" } else { "you were not signed in" });
            Ok(exit::OK)
        }
        Command::UploadKey { user } => upload_key(&control(cli)?, output, user).await,
        Command::Doctor => Ok(server::doctor::run(cli.global.config.as_deref(), output).await),
        _ => {
            let context = Context { client: connect(cli)?, output: output.clone(), local: true };
            if let Some(result) = commands::run(&context, cli).await {
                return result.map(|()| exit::OK);
            }
            match &cli.command {
                Command::Init { app, ssh } => init(&context, app.as_deref(), ssh.as_deref()).await,
                Command::Open { target } => open(&context, target).await,
                Command::Run { target, command } => run(&context, target, command).await,
                _ => Ok(exit::USAGE),
            }
        }
    }
}

async fn login(cli: &Cli, output: &Console, user: Option<&str>) -> Result<u8, CallError> {
    let server = match (&cli.global.server, user_files::load()) {
        (Some(server), _) => cli::client::server_address(server)?.to_owned(),
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
    let password = commands::read_password(&format!("password of {user} at {server}")).map_err(bad)?;
    let client = Client::http(&server, None);
    let label = format!("cli on {}", rustix::system::uname().nodename().to_string_lossy());
    let answer: Value = client.post("/api/v1/login", json!({ "user": user, "password": password, "label": label })).await?;
    let token = answer["token"].as_str().unwrap_or_default().to_owned();
    let path = user_files::save(&user_files::Remembered { server: server.clone(), token, user: user.clone() })
        .map_err(|error| UserError::new(Code::BadRequest, error.to_string()))?;
    output.line(format!("signed in to {server} as {user}; remembered in {}", path.display()));
    Ok(exit::OK)
}

async fn upload_key(client: &Client, output: &Console, user: &str) -> Result<u8, CallError> {
    let text = commands::read_key()?;
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

async fn init(context: &Context, app: Option<&str>, ssh: Option<&str>) -> Result<u8, CallError> {
    let dir = std::env::current_dir().map_err(|error| UserError::new(Code::BadRequest, error.to_string()))?;
    let place = commands::init::Place::find(&dir)?;
    let name = app.map_or_else(|| place.app_name(), str::to_owned);
    let app = match commands::init::whose(context, &name).await? {
        Meant::App(app) => app,
        Meant::Of(app, tenants) => {
            place.write(&context.output, &app)?;
            return Err(commands::init::which_tenant(&app, &tenants).into());
        }
    };
    let ssh = match ssh {
        Some(ssh) => ssh.to_owned(),
        None => {
            let about: Value = context.client.get("/api/v1/whoami").await?;
            match about["ssh"].as_str() {
                Some(ssh) => ssh.to_owned(),
                None => {
                    return Err(UserError::new(Code::BadRequest, "the server did not say where its git is")
                        .next("slipway init --ssh ssh://paas@host:2222")
                        .into());
                }
            }
        }
    };
    place.write(&context.output, &app.app)?;
    place.add_remotes(&context.output, &app, &ssh)?;
    Ok(exit::OK)
}

/// What the server says of an environment of an app.
async fn env_of(context: &Context, target: &Target) -> Result<Value, CallError> {
    let app = context.target(target).await?;
    let info: Value = context.client.get(&app_path(&app.app_ref())).await?;
    let env = info["envs"].as_array().into_iter().flatten().find(|env| env["env"] == app.env.as_str()).cloned();
    env.ok_or_else(|| UserError::new(Code::UnknownApp, format!("{} has no environment `{}`", app.app_ref(), app.env)).into())
}

async fn open(context: &Context, target: &Target) -> Result<u8, CallError> {
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
async fn run(context: &Context, target: &Target, command: &[String]) -> Result<u8, CallError> {
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
