//! What can be typed. `apps:create` and `apps create` are the same.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

mod verbs;

pub use verbs::*;

#[derive(Debug, Parser)]
#[command(
    name = "slipway",
    version,
    about = "git push, and it runs: builds, releases, places and serves apps on machines you control",
    after_help = "A colon joins a topic and its verb: `slipway apps:create shop` is `slipway apps create shop`.\nHelp of one topic: slipway help apps",
    max_term_width = 100
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Args)]
pub struct Global {
    /// The server: http://host:port (default: where you logged in, or the control socket of this machine)
    #[arg(long, global = true, env = "SLIPWAY_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// Settings of the server, for commands on the server itself
    #[arg(long, global = true, env = "SLIPWAY_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// Which app and environment; inferred from the git remotes of this folder when left out.
#[derive(Debug, Clone, Default, Args)]
pub struct Target {
    /// The app: shop or acme/shop
    #[arg(short, long, global = true, value_name = "APP")]
    pub app: Option<String>,
    /// The environment
    #[arg(short, long, global = true, value_name = "ENV")]
    pub env: Option<String>,
    /// The git remote to infer both from
    #[arg(short, long, global = true, value_name = "REMOTE")]
    pub remote: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a commented app.yaml and add the git remotes
    Init {
        /// The app: shop or acme/shop (default: the name of this folder)
        app: Option<String>,
        /// The git server (default: the server's own)
        #[arg(long, value_name = "SSH_URL")]
        ssh: Option<String>,
    },
    /// Check app.yaml and Procfile, offline
    Validate {
        /// The folder
        #[arg(default_value = ".")]
        dir: PathBuf,
    },
    /// Sign in to a server and remember it
    Login {
        /// Your name
        #[arg(short, long)]
        user: Option<String>,
    },
    /// Forget the server
    Logout,
    /// Who you are
    Whoami,
    /// Your SSH keys
    Keys {
        /// Whose keys (operators)
        #[arg(short, long, global = true)]
        user: Option<String>,
        #[command(subcommand)]
        verb: Option<KeysVerb>,
    },
    /// What you are signed in with: browsers and clients
    Tokens {
        /// Whose tokens (operators)
        #[arg(short, long, global = true)]
        user: Option<String>,
        #[command(subcommand)]
        verb: Option<TokensVerb>,
    },
    /// Users (operators)
    Users {
        #[command(subcommand)]
        verb: Option<UsersVerb>,
    },
    /// Tenants
    Tenants {
        #[command(subcommand)]
        verb: Option<TenantsVerb>,
    },
    /// Teams
    Teams {
        #[command(subcommand)]
        verb: TeamsVerb,
    },
    /// Members of a tenant's teams
    Members {
        #[command(subcommand)]
        verb: MembersVerb,
    },
    /// Invitations to teams of tenants
    Invitations {
        #[command(subcommand)]
        verb: Option<InvitationsVerb>,
    },
    /// Apps
    Apps {
        #[command(subcommand)]
        verb: Option<AppsVerb>,
    },
    /// Config: environment variables, sealed at rest; a change is a release
    Config {
        #[command(flatten)]
        target: Target,
        #[command(subcommand)]
        verb: Option<ConfigVerb>,
    },
    /// What runs
    Ps {
        #[command(flatten)]
        target: Target,
        #[command(subcommand)]
        verb: Option<PsVerb>,
    },
    /// Replace every instance by a new one of the same release
    Restart {
        #[command(flatten)]
        target: Target,
    },
    /// Show visitors a maintenance page, or hold their requests, while the app is worked on
    Maintenance {
        #[command(flatten)]
        target: Target,
        #[command(subcommand)]
        verb: Option<MaintenanceVerb>,
    },
    /// Hosts, for operators of the platform
    Hosts {
        #[command(subcommand)]
        verb: Option<HostsVerb>,
    },
    /// Releases
    Releases {
        #[command(flatten)]
        target: Target,
        #[command(subcommand)]
        verb: Option<ReleasesVerb>,
    },
    /// Go back to an earlier release, config included (default: the last good one)
    Rollback {
        #[command(flatten)]
        target: Target,
        /// Which release: v12
        release: Option<String>,
    },
    /// Builds
    Builds {
        #[command(flatten)]
        target: Target,
        #[command(subcommand)]
        verb: Option<BuildsVerb>,
    },
    /// Logs of all instances, over all releases
    Logs {
        #[command(flatten)]
        target: Target,
        /// Follow
        #[arg(short = 't', long)]
        tail: bool,
        /// How many lines from the past
        #[arg(short = 'n', long, default_value_t = 100, value_parser = how_many, allow_negative_numbers = true)]
        lines: u32,
        /// Only this process type
        #[arg(short, long)]
        process: Option<String>,
    },
    /// Host names that an app is reached by
    Domains {
        #[command(flatten)]
        target: Target,
        #[command(subcommand)]
        verb: Option<DomainsVerb>,
    },
    /// Run a command in a fresh copy of the app: slipway run -- bash
    Run {
        #[command(flatten)]
        target: Target,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Open the app in a browser
    Open {
        #[command(flatten)]
        target: Target,
    },
    /// What was changed, by whom
    Events {
        #[command(flatten)]
        target: Target,
        /// How many
        #[arg(short = 'n', long, default_value_t = 50, value_parser = how_many, allow_negative_numbers = true)]
        lines: u32,
    },
    /// Start all roles on this machine, in one process
    Up {
        /// Leave this role to a process of its own: slipway router
        #[arg(long, value_name = "ROLE", value_parser = ["router"])]
        without: Option<String>,
    },
    /// Serve requests as a process of its own, beside `slipway up --without router`; or ask the router
    Router {
        #[command(subcommand)]
        verb: Option<RouterVerb>,
    },
    /// Make the stack and all template layers
    Boot {
        /// Only these templates
        templates: Vec<String>,
    },
    /// Say what is wrong with this install and how to mend it
    Doctor,
    /// Add a public key, read from standard input, to a user; makes the user if there is none
    #[command(name = "upload-key")]
    UploadKey {
        /// Whose key
        user: String,
    },
}

/// A number of lines, as people write it.
fn how_many(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "a whole number, 0 or more, is expected".to_owned())
}
