//! `Authority`: what a client wrote as the host it wants, brought into the one form that routes are looked up by.
//!
//! Owns the single meaning of `Host` and of the authority of an absolute target. Must never look a route up, and never let
//! two spellings of one host pass as two.

use model::Hostname;

/// The host a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The canonical name; none for what is well formed and can not be a route (an address, a name with underscores).
    pub name: Option<Hostname>,
    /// The host as text, lower case, without port and trailing dot.
    pub text: String,
    /// The port, when one was written.
    pub port: Option<u16>,
}

impl Authority {
    /// Reads `Shop.Example.com.:8080`. None: not a host at all, and the request is malformed.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (inside, after) = rest.split_once(']')?;
                inside.parse::<std::net::Ipv6Addr>().ok()?;
                let port = match after {
                    "" => None,
                    after => Some(after.strip_prefix(':')?),
                };
                (&text[..inside.len() + 2], port)
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            None | Some("") => None,
            Some(digits) if digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
            Some(_) => return None,
        };
        if host.starts_with('[') {
            return Some(Self { name: None, text: host.to_ascii_lowercase(), port });
        }
        let host = host.strip_suffix('.').unwrap_or(host);
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        if host.is_empty() || host.len() > 253 || host.starts_with('.') || host.contains("..") || !host.bytes().all(plain) {
            return None;
        }
        let name = Hostname::new(host).ok();
        let text = match &name {
            Some(name) => name.as_str().to_owned(),
            None => host.to_ascii_lowercase(),
        };
        Some(Self { name, text, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Option<String> {
        Authority::parse(text.as_bytes()).and_then(|authority| authority.name).map(|name| name.to_string())
    }

    #[test]
    fn every_spelling_of_a_host_is_one_name() {
        for text in
            ["shop.acme.localhost", "SHOP.acme.LocalHost", "shop.acme.localhost.", "shop.acme.localhost:8080", "shop.acme.localhost.:1"]
        {
            assert_eq!(name(text).as_deref(), Some("shop.acme.localhost"), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_malformed_and_what_is_no_name_is_unknown() {
        for text in [
            "", ":80", ".", "a..b", ".a", "a b", "a/b", "user@a", "a:b", "a:80:80", "a:999999", "a:+80", "é.de", "a\\b", "[::1", "[zz]",
            "[::1]x", "a,b",
        ] {
            assert_eq!(Authority::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Authority::parse(b"\xff"), None);
        for text in ["127.0.0.1:80", "[::1]:80", "a_b.c", "xn--bcher-kva.de", "-a.b"] {
            let authority = Authority::parse(text.as_bytes()).expect("well formed");
            assert_eq!(authority.name, None, "{text}");
        }
    }
}
