//! The container of an instance or a one-off, composed from its release. Pure.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use model::{HostName, ProcessName, Resources, RunSpec, ZoneName};

use crate::runtime::{ContainerSpec, Secret};

/// The port that an app listens on, in every container.
pub const PORT: u16 = 8080;

/// The passwd entry and the command are arguments and never part of this text, so that nothing has to be quoted.
const WRAPPER: &str = r#"if [ -n "$1" ] && [ -w /etc/passwd ]; then echo "$1" >> /etc/passwd; fi; shift; for f in /app/.profile.d/*.sh; do [ -r "$f" ] && . "$f"; done; unset f; exec sh -c "$1""#;

/// What differs between containers of one release.
#[derive(Debug, Clone)]
pub struct ContainerParams<'a> {
    /// The release to run.
    pub spec: &'a RunSpec,
    /// The release's config, decrypted.
    pub config: &'a BTreeMap<String, String>,
    /// The image, by the name that the engine knows it by.
    pub image: String,
    /// The user that the image runs as, as its configuration has it.
    pub user: &'a str,
    /// Name of the container.
    pub name: String,
    /// The instance's or the one-off's id, as the app sees it.
    pub id: String,
    /// Which process type it is, as the app sees it.
    pub process: ProcessName,
    /// Run by a shell in `/app`.
    pub command: &'a str,
    /// Memory, CPU and process limits.
    pub resources: Resources,
    /// Labels by key.
    pub labels: HashMap<String, String>,
    /// The host that it runs on.
    pub host: &'a HostName,
    /// The failure domain of that host.
    pub zone: &'a ZoneName,
    /// Which network it joins.
    pub network: &'a str,
    /// Its address there.
    pub address: Ipv4Addr,
}

/// Composes the container; what all containers have in common is the runtime's.
pub fn compose(body: ContainerParams<'_>) -> ContainerSpec {
    let env = environment(&body);
    ContainerSpec {
        hostname: body.id.clone(),
        argv: ["sh", "-c", WRAPPER, "slipway", &passwd_entry(body.user), body.command].map(str::to_owned).to_vec(),
        env: Secret(env),
        name: body.name,
        image: body.image,
        labels: body.labels,
        resources: body.resources,
        network: body.network.to_owned(),
        address: body.address,
        stdin: false,
        tty: false,
    }
}

/// Config first, then the platform's variables: a config var can not override the port by mistake.
fn environment(body: &ContainerParams<'_>) -> Vec<String> {
    let app = &body.spec.app;
    let ours = [
        ("PORT", PORT.to_string()),
        ("HTTP_PORT", PORT.to_string()),
        ("SLIPWAY_APP", app.app_ref().to_string()),
        ("SLIPWAY_ENV", app.env.to_string()),
        ("SLIPWAY_RELEASE", body.spec.release.to_string()),
        ("SLIPWAY_INSTANCE", body.id.clone()),
        ("SLIPWAY_PROCESS", body.process.to_string()),
        ("SLIPWAY_HOST", body.host.to_string()),
        ("SLIPWAY_ZONE", body.zone.to_string()),
        ("SLIPWAY_COMMIT", body.spec.commit.clone()),
    ];
    let mut all = body.config.clone();
    all.extend(ours.map(|(key, value)| (key.to_owned(), value)));
    all.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// The line that names the uid of an app in `/etc/passwd`: the stack can not know it, and some programs ask for its name. Empty for
/// a user that is not given as `uid:gid`; its image has to know it.
fn passwd_entry(user: &str) -> String {
    match user.split_once(':').map(|(uid, gid)| (uid.parse::<u32>(), gid.parse::<u32>())) {
        Some((Ok(uid), Ok(gid))) => format!("app:x:{uid}:{gid}::/app:/bin/bash"),
        _ => String::new(),
    }
}

/// Whether an image's user is root, or may be: an empty user is root.
pub fn is_root(user: &str) -> bool {
    let name = user.split(':').next().unwrap_or_default().trim();
    name.is_empty() || name == "root" || name.parse::<u32>() == Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AppEnv, Digest, ImageRef, ReleaseNumber, Sealed};

    #[test]
    fn the_platform_has_the_last_word_and_the_command_is_an_argument() {
        let app: AppEnv = "acme/shop/dev".parse().expect("an app");
        let spec = RunSpec {
            app,
            release: ReleaseNumber(3),
            image: ImageRef { repository: "acme/shop".into(), digest: Digest::of(b"x") },
            commit: "abc".into(),
            processes: BTreeMap::new(),
            config: Sealed(String::new()),
        };
        let config = BTreeMap::from([("PORT".to_owned(), "1".to_owned()), ("A".to_owned(), "b=c\nd".to_owned())]);
        let command = "echo \"$(id)\"; '";
        let made = compose(ContainerParams {
            spec: &spec,
            config: &config,
            image: "i".into(),
            user: "200001:10001",
            name: "n".into(),
            id: "i-1".into(),
            process: "web".parse().expect("a process"),
            command,
            resources: Resources::INSTANCE,
            labels: HashMap::new(),
            host: &"h".parse().expect("a host"),
            zone: &"z".parse().expect("a zone"),
            network: "net",
            address: Ipv4Addr::LOCALHOST,
        });
        assert!(made.env.0.contains(&"PORT=8080".to_owned()) && !made.env.0.contains(&"PORT=1".to_owned()));
        assert!(made.env.0.contains(&"A=b=c\nd".to_owned()) && made.env.0.contains(&"SLIPWAY_RELEASE=v3".to_owned()));
        assert_eq!(made.argv.last().map(String::as_str), Some(command));
        assert!(made.argv.contains(&"app:x:200001:10001::/app:/bin/bash".to_owned()), "{:?}", made.argv);
        assert_eq!((passwd_entry("app"), passwd_entry("1000")), (String::new(), String::new()));
        assert!(!format!("{made:?}").contains("b=c"), "a secret is shown");
    }

    #[test]
    fn root_in_every_spelling_is_root() {
        for user in ["", "root", "0", "0:0", "root:app", ":1000", "00"] {
            assert!(is_root(user), "{user}");
        }
        for user in ["10001", "app", "1000:0"] {
            assert!(!is_root(user), "{user}");
        }
    }
}
