//! `Config`: how a builder is set up.

use std::path::PathBuf;
use std::time::Duration;

use crate::sandbox::limits::Limits;
use crate::stack::recipe::Recipe;

/// How a builder is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// The socket of the Docker Engine.
    pub docker: String,
    /// A folder of this machine for spools and half-made layers.
    pub work: PathBuf,
    /// What the stack is made from.
    pub recipe: Recipe,
    /// Folders of the operator's own templates, each with a folder per template.
    pub templates: Vec<PathBuf>,
    /// The Docker network of builds; also the scope that labels what this builder makes.
    pub network: String,
    /// The name of its bridge on the host, for firewall rules; at most 15 bytes.
    pub bridge: String,
    /// Its subnet, in CIDR form.
    pub subnet: String,
    /// What one build may use.
    pub limits: Limits,
    /// How long layers of stacks that no template names any more are kept.
    pub keep_layers: Duration,
    /// A certificate bundle for builds instead of the host's own.
    pub ca: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            docker: "/var/run/docker.sock".into(),
            work: "/var/lib/slipway/build".into(),
            recipe: Recipe::default(),
            templates: Vec::new(),
            network: "slipway-build".into(),
            bridge: "slipway-build".into(),
            subnet: "10.213.0.0/22".into(),
            limits: Limits::default(),
            keep_layers: Duration::from_secs(30 * 86_400),
            ca: None,
        }
    }
}
