//! The dashboard and the HTTP API, on the network and on the operator's socket of this machine.

use std::sync::Arc;

use anyhow::{Context, Result};

use super::{Role, Stage, made};
use crate::server::logs::InstanceLogs;
use crate::server::router_status::StatusPort;

pub const ROLE: Role = Role { name: "dashboard", needs: &["manager", "supervisor"], start: |wiring| Box::pin(start(wiring)) };

async fn start(wiring: &mut super::Wiring) -> Result<()> {
    let config = wiring.config.clone();
    let logs = Arc::new(InstanceLogs(made(&wiring.logs)?.clone()));
    let routers = Arc::new(StatusPort(config.router.status));
    let settings =
        web_ui::Config { https: config.web.url.starts_with("https://"), trusted: config.web.trusted.clone(), ..web_ui::Config::default() };
    let web = web_ui::WebUi::new(made(&wiring.manager)?.clone(), logs, routers, settings);
    let listen = config.web.listen;
    let network = web.bind(listen).await.with_context(|| format!("could not listen on {listen} for the dashboard"))?;
    let control = web.bind_control(&config.control_socket()).context("could not make the control socket")?;
    for (name, bound) in [(ROLE.name, network), ("control socket", control)] {
        wiring.spawn(Stage::Intake, name, |stop| async move {
            bound.serve(stop).await;
            Ok(())
        });
    }
    wiring.web = Some(web);
    Ok(())
}
