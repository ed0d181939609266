//! What builds take over from the host: its certificate bundle, package indexes and proxies, never a secret.
//!
//! Read at run time. A value that holds a user or a password is left out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where the bundle lies inside of a build.
pub const CA_PATH: &str = "/tmp/.slipway/ca.crt";

/// What builds take over from the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostEnv {
    /// Environment variables by name.
    pub variables: BTreeMap<String, String>,
    /// The host's certificate bundle, PEM.
    pub ca: Option<Vec<u8>>,
}

/// Variables that name the bundle to one tool or another.
const CA_VARIABLES: &[&str] =
    &["SSL_CERT_FILE", "PIP_CERT", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "CURL_CA_BUNDLE", "npm_config_cafile"];

/// Variables of the server that builds may see, by the name builds know them by.
const TAKEN: &[&str] = &[
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "GOPROXY",
    "GOSUMDB",
    "GONOSUMDB",
    "npm_config_registry",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

impl HostEnv {
    /// Reads the host. `ca` is a bundle to use instead of the host's own.
    pub fn of_host(ca: Option<&Path>) -> Self {
        let own = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
        let bundle = ca.map(Path::to_path_buf).into_iter().chain(own.iter().map(PathBuf::from)).find_map(|path| std::fs::read(path).ok());
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let below_home = |path: &str| home.as_ref().map(|home| home.join(path));
        let text = |path: Option<PathBuf>| path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        let pip = [Some("/etc/pip.conf".into()), below_home(".config/pip/pip.conf"), below_home(".pip/pip.conf")].map(text);
        let npm = [Some("/etc/npmrc".into()), below_home(".npmrc")].map(text);
        let env = |name: &str| std::env::var(name).or_else(|_| std::env::var(name.to_ascii_uppercase())).ok();
        Self { variables: variables(&pip, &npm, env, bundle.is_some()), ca: bundle }
    }
}

/// The variables that follow from configuration texts and the environment; later ones win.
fn variables(pip: &[String], npm: &[String], env: impl Fn(&str) -> Option<String>, ca: bool) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for text in pip {
        for (key, value) in settings(text) {
            let name = match key.as_str() {
                "index-url" | "index_url" => "PIP_INDEX_URL",
                "extra-index-url" | "extra_index_url" => "PIP_EXTRA_INDEX_URL",
                "trusted-host" | "trusted_host" => "PIP_TRUSTED_HOST",
                _ => continue,
            };
            found.insert(name.to_owned(), value);
        }
    }
    for text in npm {
        found.extend(
            settings(text).into_iter().filter(|(key, _)| key == "registry").map(|(_, value)| ("npm_config_registry".to_owned(), value)),
        );
    }
    for name in TAKEN {
        if let Some(value) = env(name) {
            found.insert((*name).to_owned(), value);
        }
    }
    found.retain(|_, value| {
        !value.trim().is_empty() && !value.contains('@') && !value.contains('$') && !value.chars().any(char::is_control)
    });
    if let Some(index) = found.get("PIP_INDEX_URL").cloned() {
        found.insert("UV_DEFAULT_INDEX".into(), index);
    }
    if ca {
        found.extend(CA_VARIABLES.iter().map(|name| ((*name).to_owned(), CA_PATH.to_owned())));
    }
    found
}

/// `key = value` lines of an ini file; sections are not told apart.
fn settings(text: &str) -> Vec<(String, String)> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with(['#', ';', '[']))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_taken_and_secrets_are_not() {
        let pip =
            ["[global]\nindex-url = https://index.example.org/simple\nextra-index-url = https://user:word@secret.example.org/\n"
                .to_owned()];
        let npm = ["registry=https://npm.example.org/\n//npm.example.org/:_authToken=hidden\n".to_owned()];
        let env = |name: &str| (name == "GOPROXY").then(|| "https://go.example.org".to_owned());
        let found = variables(&pip, &npm, env, true);
        assert_eq!(found["PIP_INDEX_URL"], "https://index.example.org/simple");
        assert_eq!(found["UV_DEFAULT_INDEX"], "https://index.example.org/simple");
        assert_eq!(found["npm_config_registry"], "https://npm.example.org/");
        assert_eq!(found["GOPROXY"], "https://go.example.org");
        assert_eq!(found["SSL_CERT_FILE"], CA_PATH);
        assert!(!found.values().any(|value| value.contains("hidden") || value.contains("word")));
        assert!(variables(&[], &[], |_| None, false).is_empty());
    }
}
