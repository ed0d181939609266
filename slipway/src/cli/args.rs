//! What can be typed. `apps:create` and `apps create` are the same.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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

#[derive(Debug, Subcommand)]
pub enum KeysVerb {
    /// Add a public key: a file, or standard input
    Add {
        /// The file: ~/.ssh/id_ed25519.pub (default: standard input)
        file: Option<PathBuf>,
    },
    /// Remove a key by its fingerprint
    Remove {
        /// The fingerprint, as `keys` shows it: SHA256:…
        fingerprint: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum TokensVerb {
    /// Make a token for a client; it is shown once
    Create {
        /// What it is for, so that its owner knows it again
        #[arg(long, default_value = "cli")]
        label: String,
        /// What it may do, of what you may
        #[arg(long, value_enum, default_value = "full")]
        scope: Scope,
    },
    /// End a token, at once
    Revoke {
        /// The token's id, as `tokens` shows it
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum UsersVerb {
    /// Make a user
    Create {
        /// The new user's name
        name: String,
        /// May do everything
        #[arg(long = "super")]
        is_super: bool,
    },
    /// Set a password, read from the terminal or standard input
    Password {
        /// Whose password
        name: String,
    },
    /// Remove a user with its keys, tokens and memberships
    Remove {
        /// The user's name
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum TenantsVerb {
    /// Make a tenant with a first team and its owner
    Create {
        /// The new tenant's name
        name: String,
        /// The name of its first team
        #[arg(long, default_value = "main")]
        team: String,
        /// The user who owns the first team
        #[arg(long, value_name = "USER")]
        owner: String,
    },
    /// Destroy a tenant that has no app
    Destroy {
        /// The tenant
        name: String,
    },
    /// What was refused in a tenant, counted per hour, user and verb
    Refusals {
        /// The tenant
        name: String,
    },
    /// Leave a tenant and all of its teams
    Leave {
        /// The tenant
        name: String,
    },
    /// Whether a push to an unknown app makes it
    Policy {
        /// The tenant
        name: String,
        /// true: a push to an unknown app makes it; false: it is refused
        #[arg(long, action = clap::ArgAction::Set, value_name = "BOOL")]
        create_on_push: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum TeamsVerb {
    /// Make a team
    Create {
        /// The tenant
        tenant: String,
        /// The new team's name
        team: String,
    },
    /// Remove a team that no app belongs to
    Remove {
        /// The tenant
        tenant: String,
        /// The team
        team: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum MembersVerb {
    /// The members of a tenant
    List {
        /// The tenant
        tenant: String,
    },
    /// Put a user into a team as viewer, deployer, operator or owner; who is new in the tenant is invited
    Set {
        /// The tenant
        tenant: String,
        /// The team
        team: String,
        /// The user
        user: String,
        /// What they may do: each role may all that those before it may
        #[arg(value_parser = ["viewer", "deployer", "operator", "owner"])]
        role: String,
    },
    /// Take a user out of a team, or an invitation back
    Remove {
        /// The tenant
        tenant: String,
        /// The team
        team: String,
        /// The user
        user: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum InvitationsVerb {
    /// Accept an invitation
    Accept {
        /// The tenant
        tenant: String,
        /// The team
        team: String,
    },
    /// Decline an invitation
    Decline {
        /// The tenant
        tenant: String,
        /// The team
        team: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum AppsVerb {
    /// Make an app
    Create {
        /// The new app: shop or acme/shop
        app: String,
        /// The team that it belongs to (default: your team, when you have one that may)
        #[arg(long)]
        team: Option<String>,
    },
    /// One app and its environments
    Info {
        /// The app: shop or acme/shop (default: inferred from the git remotes)
        app: Option<String>,
    },
    /// Destroy an app and everything of it
    Destroy {
        /// The app: shop or acme/shop
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
        /// KEY=VALUE, one or more; all of them are one release
        #[arg(required = true, value_name = "KEY=VALUE")]
        pairs: Vec<String>,
    },
    /// Remove keys
    Unset {
        /// The keys
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Show values; without a key, all of them
    Get {
        /// The key (default: all of them)
        key: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum PsVerb {
    /// How many of each process type: web=2 worker=1
    Scale {
        /// TYPE=COUNT, one or more: web=2 worker=1
        #[arg(required = true, value_name = "TYPE=COUNT")]
        counts: Vec<String>,
    },
    /// Replace every instance by a new one
    Restart,
}

#[derive(Debug, Subcommand)]
pub enum ReleasesVerb {
    /// What differs between two releases (default: the current one and the one before)
    Diff {
        /// The earlier release: v11
        from: Option<String>,
        /// The later release: v12 (default: the newest)
        to: Option<String>,
    },
    /// Try a failed release again, as a new one with the config of now (default: the newest)
    Retry {
        /// The release that failed: v12
        release: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum MaintenanceVerb {
    /// Begin
    On {
        /// Let requests wait, for at most 30 s each, instead of showing a page
        #[arg(long)]
        hold: bool,
    },
    /// End
    Off,
}

#[derive(Debug, Subcommand)]
pub enum HostsVerb {
    /// Take a host out of service, or back: what runs there moves to other hosts
    Maintenance {
        /// The host, as `hosts` shows it
        host: String,
        /// on or off
        switch: Switch,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scope {
    /// What a viewer may
    Read,
    /// What a deployer may: push, restart, roll back
    Deploy,
    /// Everything
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    /// Out of service
    On,
    /// In service
    Off,
}

#[derive(Debug, Subcommand)]
pub enum RouterVerb {
    /// Which way a request for a URL would take, step by step
    Trace {
        /// The URL, or its host name
        url: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum BuildsVerb {
    /// One build
    Info {
        /// The build, as `builds` shows it: b-…
        build: String,
    },
    /// Read the log of a build, from its start, and follow it while it runs
    Attach {
        /// The build, as `builds` shows it: b-… (default: the newest)
        build: Option<String>,
    },
    /// Cancel a build
    Cancel {
        /// The build, as `builds` shows it: b-…
        build: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum DomainsVerb {
    /// Add a host name
    Add {
        /// The host name: shop.example.com
        hostname: String,
    },
    /// Remove a host name
    Remove {
        /// The host name, as `domains` shows it
        hostname: String,
    },
}

/// A number of lines, as people write it.
fn how_many(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "a whole number, 0 or more, is expected".to_owned())
}
