//! Every sentence that a user reads when this role refuses something or when something fails, by subject.
//!
//! Each function makes one error: what failed, why, evidence, and what to do next. No other file of this role writes them.

pub(crate) mod apps;
pub(crate) mod builds;
pub(crate) mod config;
pub(crate) mod domains;
pub(crate) mod hosts;
pub(crate) mod people;
pub(crate) mod platform;
pub(crate) mod processes;
pub(crate) mod pushes;
pub(crate) mod releases;
pub(crate) mod rollouts;
pub(crate) mod tenants;

use model::AppEnv;

/// The options that name an app and environment on the command line.
fn target(app: &AppEnv) -> String {
    format!("-a {} -e {}", app.app_ref(), app.env)
}

/// A path for a terminal: control characters are escaped, and it is cut to one line.
pub(crate) fn printable(path: &str) -> String {
    path.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).take(120).collect()
}
