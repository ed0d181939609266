//! The registry, for the roles of this install alone.

use std::net::SocketAddr;
use std::sync::Arc;

use ::registry::{Authentication, Authenticator, Credentials, Grant, Registry};
use anyhow::{Context, Result};
use async_trait::async_trait;

use super::{Role, Stage};
use crate::config::Config;

pub const ROLE: Role = Role { name: "registry", needs: &[], start: |wiring| Box::pin(start(wiring)) };

/// How the other roles reach it.
#[derive(Clone)]
pub struct Access {
    pub registry: Arc<Registry>,
    pub login: Login,
    pub address: SocketAddr,
}

async fn start(wiring: &mut super::Wiring) -> Result<()> {
    let login = login(&wiring.config)?;
    let registry = Registry::on_disk(&wiring.config.data("registry"))?;
    let listen = wiring.config.registry.listen;
    let server = registry
        .bind(listen, Arc::new(RolesOnly(login.clone())))
        .await
        .with_context(|| format!("could not listen on {listen} for images"))?;
    wiring.registry = Some(Access { registry, login, address: server.address() });
    wiring.spawn(Stage::Core, ROLE.name, |stop| async move {
        server.serve(stop).await;
        Ok(())
    });
    Ok(())
}

/// The roles' own login at the registry: nobody else has one yet.
#[derive(Clone)]
pub struct Login {
    pub user: String,
    pub secret: String,
}

/// The roles come in with the secret of this install.
struct RolesOnly(Login);

#[async_trait]
impl Authenticator for RolesOnly {
    async fn authenticate(&self, credentials: Option<Credentials>) -> Authentication {
        let same = |a: &str, b: &str| a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |rest, (a, b)| rest | (a ^ b)) == 0;
        match credentials {
            Some(shown) if same(&shown.user, &self.0.user) && same(&shown.secret, &self.0.secret) => Authentication::Granted(Grant::full()),
            _ => Authentication::Refused,
        }
    }
}

/// The secret of this install, made once, mode 0600.
pub fn login(config: &Config) -> Result<Login> {
    let path = config.data("registry.secret");
    let secret = match std::fs::read_to_string(&path) {
        Ok(secret) if !secret.trim().is_empty() => secret.trim().to_owned(),
        _ => {
            let secret = store::random::secret();
            store::atomic_file::replace(&path, secret.as_bytes())?;
            secret
        }
    };
    Ok(Login { user: "slipway".into(), secret })
}
