//! The last unknown key that each address offered, for a banner at its next login.
//!
//! SSH answers an unknown key with "permission denied" alone, and the library can send a banner only before the first key is
//! offered. So the banner of the next login names the fingerprint that was refused, and what to do. Pure; the clock is an argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long a refusal is remembered.
const KEPT_FOR: Duration = Duration::from_secs(120);
/// Number of addresses that are remembered at once.
const MOST_ADDRESSES: usize = 4096;

/// Fingerprints by address.
#[derive(Debug, Default)]
pub(crate) struct UnknownKeys {
    /// The fingerprint, and when it was refused.
    last: HashMap<IpAddr, (String, Instant)>,
}

impl UnknownKeys {
    /// A login from this address failed with this key.
    pub(crate) fn refused(&mut self, from: IpAddr, fingerprint: String, now: Instant) {
        if self.last.len() >= MOST_ADDRESSES {
            self.last.retain(|_, (_, at)| now.saturating_duration_since(*at) < KEPT_FOR);
        }
        if self.last.len() < MOST_ADDRESSES {
            self.last.insert(from, (fingerprint, now));
        }
    }

    /// A login from this address succeeded: the refused key is no longer news.
    pub(crate) fn accepted(&mut self, from: IpAddr) {
        self.last.remove(&from);
    }

    /// The banner for a login from this address, if it was refused lately.
    pub(crate) fn banner(&self, from: IpAddr, now: Instant) -> Option<String> {
        let (fingerprint, at) = self.last.get(&from)?;
        (now.saturating_duration_since(*at) < KEPT_FOR).then(|| {
            format!(
                " !     the key {fingerprint} offered a moment ago is unknown here [SW-K401]\r\n\
                 \x20!       → see which keys you offer: ssh -v, or ssh-add -l\r\n\
                 \x20!       → add one: cat ~/.ssh/id_ed25519.pub | ssh you@server \"sudo gitreceive upload-key <user>\"\r\n"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_names_the_key_for_two_minutes() {
        let now = Instant::now();
        let from = IpAddr::from([10, 0, 0, 1]);
        let mut unknown_keys = UnknownKeys::default();
        assert_eq!(unknown_keys.banner(from, now), None);
        unknown_keys.refused(from, "SHA256:abc".into(), now);
        assert!(unknown_keys.banner(from, now).expect("a banner").contains("SHA256:abc"));
        assert_eq!(unknown_keys.banner(IpAddr::from([10, 0, 0, 2]), now), None);
        assert_eq!(unknown_keys.banner(from, now + KEPT_FOR), None);
        unknown_keys.accepted(from);
        assert_eq!(unknown_keys.banner(from, now), None);
    }
}
