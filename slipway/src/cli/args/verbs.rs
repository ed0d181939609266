//! The verbs below each topic.

use std::path::PathBuf;

use clap::Subcommand;

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
