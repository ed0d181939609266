//! The host's own package mirror: the stack is made from where the host itself gets its packages.
//!
//! Parsing is pure; `AptMirror::of_host` reads `/etc/apt` and asks `apt-config`. Credentials in a URI make it unfit.

use std::path::Path;

/// The apt repositories that the stack is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AptMirror {
    /// The archive: `http://deb.debian.org/debian`.
    pub archive: String,
    /// The archive of security updates, when it is known.
    pub security: Option<String>,
    /// Lines of apt configuration that the host needs to reach it: proxies.
    pub settings: Vec<String>,
}

/// One entry of a source list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    uri: String,
    suite: String,
}

const SUITES: &[&str] = &["bullseye", "bookworm", "trixie", "forky", "sid", "stable", "testing", "unstable", "oldstable", "oldoldstable"];

impl AptMirror {
    /// The mirror that is used when the host names none.
    pub fn common() -> Self {
        Self {
            archive: "http://deb.debian.org/debian".into(),
            security: Some("http://deb.debian.org/debian-security".into()),
            settings: Vec::new(),
        }
    }

    /// The repositories that this host's own apt uses.
    pub async fn of_host() -> Self {
        let mut texts = Vec::new();
        if let Ok(text) = std::fs::read_to_string("/etc/apt/sources.list") {
            texts.push((false, text));
        }
        let mut files: Vec<_> =
            std::fs::read_dir(Path::new("/etc/apt/sources.list.d")).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        files.sort();
        for file in files {
            let paragraphs = match file.extension().and_then(|extension| extension.to_str()) {
                Some("sources") => true,
                Some("list") => false,
                _ => continue,
            };
            if let Ok(text) = std::fs::read_to_string(&file) {
                texts.push((paragraphs, text));
            }
        }
        let dump = tokio::process::Command::new("apt-config").arg("dump").output().await.map(|output| output.stdout).unwrap_or_default();
        let mut mirror = Self::from_texts(&texts).unwrap_or_else(Self::common);
        mirror.settings = settings(&String::from_utf8_lossy(&dump));
        mirror
    }

    /// The mirror that source lists name; `true` marks a deb822 text.
    fn from_texts(texts: &[(bool, String)]) -> Option<Self> {
        let sources: Vec<Source> = texts.iter().flat_map(|(deb822, text)| if *deb822 { paragraphs(text) } else { lines(text) }).collect();
        let usable = |source: &&Source| {
            let rest = source.uri.strip_prefix("http://").or_else(|| source.uri.strip_prefix("https://"));
            rest.is_some_and(|rest| !rest.split('/').next().unwrap_or_default().contains('@'))
                && source.uri.chars().all(|c| c.is_ascii_graphic() && !"'\"\\$`;|&<>".contains(c))
        };
        let archive = sources.iter().filter(usable).find(|source| SUITES.contains(&source.suite.as_str()))?.uri.clone();
        let is_security = |source: &&Source| {
            source
                .suite
                .strip_suffix("-security")
                .or_else(|| source.suite.strip_suffix("/updates"))
                .is_some_and(|suite| SUITES.contains(&suite))
        };
        let security = sources.iter().filter(usable).find(is_security).map(|source| source.uri.clone());
        let security = security.or_else(|| (archive == Self::common().archive).then(|| Self::common().security).flatten());
        Some(Self { archive, security, settings: Vec::new() })
    }

    /// The source list of a stack of `suite`.
    pub fn source_list(&self, suite: &str) -> String {
        let mut text = format!("deb {} {suite} main\ndeb {} {suite}-updates main\n", self.archive, self.archive);
        if let Some(security) = &self.security {
            text.push_str(&format!("deb {security} {suite}-security main\n"));
        }
        text
    }
}

/// Parses a source list of one-line entries.
fn lines(text: &str) -> Vec<Source> {
    let source = |line: &str| {
        let line = line.split('#').next()?.trim();
        let rest = line.strip_prefix("deb ").or_else(|| line.strip_prefix("deb\t"))?.trim();
        let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
        let mut words = rest.split_whitespace();
        Some(Source { uri: words.next()?.trim_end_matches('/').to_owned(), suite: words.next()?.to_owned() })
    };
    text.lines().filter_map(source).collect()
}

/// Parses a source list of deb822 paragraphs.
fn paragraphs(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for paragraph in text.replace("\r\n", "\n").split("\n\n") {
        let (mut uris, mut suites, mut types, mut enabled) = (Vec::new(), Vec::new(), Vec::new(), true);
        let mut field = String::new();
        for line in paragraph.lines().filter(|line| !line.starts_with('#')) {
            let value = match line.split_once(':') {
                Some((name, value)) if !line.starts_with([' ', '\t']) => {
                    field = name.trim().to_ascii_lowercase();
                    value
                }
                _ => line,
            };
            let words = value.split_whitespace().map(str::to_owned);
            match field.as_str() {
                "uris" => uris.extend(words.map(|uri| uri.trim_end_matches('/').to_owned())),
                "suites" => suites.extend(words),
                "types" => types.extend(words),
                "enabled" => enabled = !matches!(value.trim(), "no" | "false"),
                _ => {}
            }
        }
        if enabled && types.iter().any(|kind| kind == "deb") {
            sources.extend(uris.iter().flat_map(|uri| suites.iter().map(|suite| Source { uri: uri.clone(), suite: suite.clone() })));
        }
    }
    sources
}

/// The lines of `apt-config dump` that say how a mirror is reached.
fn settings(dump: &str) -> Vec<String> {
    let wanted = |line: &&str| {
        let proxy = line.starts_with("Acquire::http::Proxy") || line.starts_with("Acquire::https::Proxy");
        proxy && !line.contains('@') && !line.ends_with("\"\";")
    };
    dump.lines().filter(wanted).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_debian_source_is_found_among_others() {
        let others = "deb [signed-by=/k.gpg] https://packages.example.org/apt cloud-bookworm main\ndeb-src http://x/debian bookworm main\n";
        let deb822 = "# a comment\nTypes: deb\nURIs: http://mirror.example.org/debian/\nSuites: bookworm bookworm-updates\nComponents: main\n\nTypes: deb\nURIs: http://mirror.example.org/debian-security\nSuites: bookworm-security\n";
        let mirror = AptMirror::from_texts(&[(false, others.into()), (true, deb822.into())]).expect("a mirror");
        assert_eq!(mirror.archive, "http://mirror.example.org/debian");
        assert_eq!(mirror.security.as_deref(), Some("http://mirror.example.org/debian-security"));
        assert_eq!(mirror.source_list("trixie").lines().count(), 3);
    }

    #[test]
    fn one_line_sources_with_options_are_read() {
        let text =
            "# deb http://old/debian bookworm main\ndeb [arch=amd64 signed-by=/x] https://m.example.org/debian trixie main contrib\n";
        assert_eq!(
            AptMirror::from_texts(&[(false, text.into())]).map(|mirror| mirror.archive).as_deref(),
            Some("https://m.example.org/debian")
        );
    }

    #[test]
    fn disabled_foreign_and_secret_sources_are_left_out() {
        let text = "Types: deb\nEnabled: no\nURIs: http://a/debian\nSuites: trixie\n\nTypes: deb\nURIs: http://user:word@b/debian\nSuites: trixie\n";
        assert_eq!(AptMirror::from_texts(&[(true, text.into())]), None);
        assert_eq!(AptMirror::from_texts(&[(false, "deb cdrom:[x]/ trixie main\n".into())]), None);
    }

    #[test]
    fn proxies_are_kept_unless_they_hold_a_password() {
        let dump = "Acquire::http::Proxy \"http://proxy:3128\";\nAcquire::https::Proxy \"http://u:p@proxy\";\nAPT::Arch \"amd64\";\n";
        assert_eq!(settings(dump), ["Acquire::http::Proxy \"http://proxy:3128\";"]);
    }
}
