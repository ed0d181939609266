//! The last unknown key of each address, for a banner on the next try.
//!
//! SSH says nothing but "permission denied" about a key, and the library can send a banner only before the first key is offered.
//! So whoever was refused, and tries again, is told which fingerprint it was and what to do. Pure; the clock is an argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long a refusal is remembered.
const REMEMBERED: Duration = Duration::from_secs(120);
/// Most addresses remembered.
const MOST: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Strangers {
    last: HashMap<IpAddr, (String, Instant)>,
}

impl Strangers {
    /// A login from this address failed with this key.
    pub(crate) fn refused(&mut self, from: IpAddr, fingerprint: String, now: Instant) {
        if self.last.len() >= MOST {
            self.last.retain(|_, (_, at)| now.saturating_duration_since(*at) < REMEMBERED);
        }
        if self.last.len() < MOST {
            self.last.insert(from, (fingerprint, now));
        }
    }

    /// A login from this address succeeded: whoever was refused has found the right key, or is somebody else.
    pub(crate) fn accepted(&mut self, from: IpAddr) {
        self.last.remove(&from);
    }

    /// What to tell the next one from this address.
    pub(crate) fn banner(&self, from: IpAddr, now: Instant) -> Option<String> {
        let (fingerprint, at) = self.last.get(&from)?;
        (now.saturating_duration_since(*at) < REMEMBERED).then(|| {
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
    fn told_once_refused_and_not_for_ever() {
        let now = Instant::now();
        let from = IpAddr::from([10, 0, 0, 1]);
        let mut strangers = Strangers::default();
        assert_eq!(strangers.banner(from, now), None);
        strangers.refused(from, "SHA256:abc".into(), now);
        assert!(strangers.banner(from, now).expect("a banner").contains("SHA256:abc"));
        assert_eq!(strangers.banner(IpAddr::from([10, 0, 0, 2]), now), None);
        assert_eq!(strangers.banner(from, now + REMEMBERED), None);
        strangers.accepted(from);
        assert_eq!(strangers.banner(from, now), None);
    }
}
