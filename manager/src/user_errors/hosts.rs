//! Hosts.

use model::{Code, Host, HostName, UserError};

pub(crate) fn unknown_host(host: &HostName, known: &[Host]) -> UserError {
    let names: Vec<String> = known.iter().map(|host| host.name.to_string()).collect();
    UserError::new(Code::NotFound, format!("there is no host {host}"))
        .why(if names.is_empty() { "No host is there.".into() } else { format!("Those that are there: {}.", names.join(", ")) })
        .next("slipway hosts")
}
