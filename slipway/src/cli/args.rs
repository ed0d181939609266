//! What can be typed. `apps:create` and `apps create` are the same.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "slipway",
    version,
    about = "git push, and it runs: builds, releases, places and serves apps on machines you control",
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
        #[arg(short = 'n', long, default_value_t = 100)]
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
        #[arg(short = 'n', long, default_value_t = 50)]
        lines: u32,
    },
    /// Start all roles on this machine
    Up,
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

#[derive(Debug, Subcommand)]
pub enum KeysVerb {
    /// Add a public key: a file, or standard input
    Add { file: Option<PathBuf> },
    /// Remove a key by its fingerprint
    Remove { fingerprint: String },
}

#[derive(Debug, Subcommand)]
pub enum UsersVerb {
    /// Make a user
    Create {
        name: String,
        /// May do everything
        #[arg(long = "super")]
        is_super: bool,
    },
    /// Set a password, read from the terminal or standard input
    Password { name: String },
    /// Make an API token
    Token {
        name: String,
        #[arg(long, default_value = "cli")]
        label: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum TenantsVerb {
    /// Make a tenant with a first team and its owner
    Create {
        name: String,
        #[arg(long, default_value = "main")]
        team: String,
        #[arg(long)]
        owner: String,
    },
    /// Whether a push to an unknown app makes it
    Policy {
        name: String,
        #[arg(long, action = clap::ArgAction::Set)]
        create_on_push: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum TeamsVerb {
    /// Make a team
    Create { tenant: String, team: String },
}

#[derive(Debug, Subcommand)]
pub enum MembersVerb {
    /// The members of a tenant
    List { tenant: String },
    /// Put a user into a team as viewer, deployer, operator or owner
    Set { tenant: String, team: String, user: String, role: String },
}

#[derive(Debug, Subcommand)]
pub enum AppsVerb {
    /// Make an app
    Create {
        app: String,
        #[arg(long)]
        team: Option<String>,
    },
    /// One app and its environments
    Info { app: Option<String> },
    /// Destroy an app and everything of it
    Destroy {
        app: String,
        /// The app's name again
        #[arg(long, default_value = "")]
        confirm: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Set keys: KEY=VALUE …
    Set {
        #[arg(required = true)]
        pairs: Vec<String>,
    },
    /// Remove keys
    Unset {
        #[arg(required = true)]
        keys: Vec<String>,
    },
    /// Show values; without a key, all of them
    Get { key: Option<String> },
}

#[derive(Debug, Subcommand)]
pub enum PsVerb {
    /// How many of each process type: web=2 worker=1
    Scale {
        #[arg(required = true)]
        counts: Vec<String>,
    },
    /// Replace every instance by a new one
    Restart,
}

#[derive(Debug, Subcommand)]
pub enum ReleasesVerb {
    /// What differs between two releases (default: the current one and the one before)
    Diff { from: Option<String>, to: Option<String> },
}

#[derive(Debug, Subcommand)]
pub enum BuildsVerb {
    /// One build
    Info { build: String },
    /// Read the log of a build, from its start, and follow it while it runs
    Attach { build: Option<String> },
    /// Cancel a build
    Cancel { build: String },
}

#[derive(Debug, Subcommand)]
pub enum DomainsVerb {
    /// Add a host name
    Add { hostname: String },
    /// Remove a host name
    Remove { hostname: String },
}

/// Splits `topic:verb` into two words; `config:set A=b:c` keeps its other words.
pub fn split_colon(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut out = Vec::new();
    let mut looking = true;
    let mut value_follows = false;
    for (index, word) in words.into_iter().enumerate() {
        let text = word.to_str().map(str::to_owned);
        match text {
            Some(text) if looking && index > 0 && !value_follows && !text.starts_with('-') => {
                looking = false;
                match text.split_once(':') {
                    Some((topic, verb)) if !topic.is_empty() && !verb.is_empty() => {
                        out.push(topic.into());
                        out.push(verb.into());
                    }
                    _ => out.push(word),
                }
            }
            Some(text) => {
                value_follows = looking && matches!(text.as_str(), "--server" | "--config");
                out.push(word);
            }
            None => out.push(word),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn colon_and_space_are_the_same() {
        let split = |text: &str| {
            split_colon(text.split(' ').map(OsString::from)).iter().map(|w| w.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(split("slipway apps:create shop"), "slipway apps create shop");
        assert_eq!(split("slipway --server http://x:1 ps:scale web=2"), "slipway --server http://x:1 ps scale web=2");
        assert_eq!(split("slipway config:set A=b:c"), "slipway config set A=b:c");
        assert_eq!(split("slipway run -- a:b"), "slipway run -- a:b");
        assert!(Cli::try_parse_from(split_colon(["slipway", "ps:scale", "web=2", "-a", "acme/shop"].map(OsString::from))).is_ok());
        assert!(Cli::try_parse_from(split_colon(["slipway", "ps", "-a", "acme/shop", "scale", "web=2"].map(OsString::from))).is_ok());
    }
}
