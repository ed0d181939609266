//! Coordination for the processes of this machine: a socket over the embedded tree.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use tokio::net::UnixListener;

use super::{Role, Stage};

pub const ROLE: Role = Role { name: "coordination", needs: &[], start: |wiring| Box::pin(start(wiring)) };

async fn start(wiring: &mut super::Wiring) -> Result<()> {
    let socket = socket(&wiring.config.coordination_socket()).context("could not make the socket of coordination")?;
    let tree = wiring.tree.clone();
    // It stops first: what the supervisor takes back at its own end is no news for a router that serves on.
    wiring.spawn(Stage::Intake, ROLE.name, |stop| async move {
        store::live::serve(socket, tree, stop).await;
        Ok(())
    });
    Ok(())
}

/// A socket for roles of this machine: whoever may be root here.
fn socket(path: &Path) -> std::io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}
