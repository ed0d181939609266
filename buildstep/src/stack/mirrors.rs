//! Where builds get packages from: the hosts that this machine's own configuration names, for whoever opens the way to them.

use crate::stack::apt_sources::AptMirror;
use crate::stack::host_env::HostEnv;

/// `host:port` of every package index, mirror and proxy that builds take over from this machine.
pub async fn mirrors() -> Vec<String> {
    let mirror = AptMirror::of_host().await;
    let mut urls: Vec<String> = vec![mirror.archive];
    urls.extend(mirror.security);
    urls.extend(mirror.settings.iter().flat_map(|line| line.split('"').map(str::to_owned)));
    urls.extend(
        HostEnv::of_host(None)
            .variables
            .into_values()
            .flat_map(|value| value.split([',', '|', ' ']).map(str::to_owned).collect::<Vec<_>>()),
    );
    let mut hosts: Vec<String> = urls.iter().filter_map(|url| authority(url)).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

/// `host:port` of a URL; none when it is not one.
fn authority(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?.rsplit('@').next()?;
    match authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() && !host.is_empty() => Some(authority.to_owned()),
        _ if authority.is_empty() => None,
        _ => Some(format!("{authority}:{port}")),
    }
}

#[cfg(test)]
mod tests {
    use super::authority;

    #[test]
    fn the_authority_of_urls() {
        assert_eq!(authority("https://index.example.org/simple").as_deref(), Some("index.example.org:443"));
        assert_eq!(authority("http://10.0.0.1:3142/debian").as_deref(), Some("10.0.0.1:3142"));
        assert_eq!(authority("direct"), None);
    }
}
