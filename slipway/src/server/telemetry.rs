//! The log of the server, and the signals that end it.

use tokio::signal::unix::{SignalKind, signal as listen};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Writes the log to standard error. Never logged: values of config, keys, tokens, bodies of requests.
pub fn start(level: &str) {
    let level: LevelFilter = level.parse().unwrap_or(LevelFilter::INFO);
    // Other people's crates speak up only when something is wrong.
    let ours = ["slipway", "manager", "store", "registry", "gitreceive", "buildstep", "slugrunner", "scheduler", "router", "web_ui"];
    let targets = ours.iter().fold(Targets::new().with_default(LevelFilter::WARN), |targets, name| targets.with_target(*name, level));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_target(false);
    tracing_subscriber::registry().with(targets).with(lines).init();
}

/// Waits for a signal that ends the server; gives its name.
pub async fn signal() -> &'static str {
    let (Ok(mut term), Ok(mut int)) = (listen(SignalKind::terminate()), listen(SignalKind::interrupt())) else {
        std::future::pending::<()>().await;
        return "";
    };
    tokio::select! {
        _ = term.recv() => "TERM",
        _ = int.recv() => "INT",
    }
}
