//! Why a wanted instance has no host, in words that are true at the moment of the plan.

use std::collections::BTreeMap;
use std::fmt;

use model::{AppEnv, Code, HostName, ProcessName, ReleaseNumber, Resources, UserError};

use crate::feasible::Refusal;

/// Hosts named per reason before the rest is only counted.
const NAMED: usize = 3;

/// A host and the filter that refused it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which host.
    pub host: HostName,
    /// Why.
    pub refusal: Refusal,
}

/// Why an instance has no host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// What the release runs is not known to coordination.
    NoSpec,
    /// Every host that was ever seen, with its refusal. Empty when there never was one.
    Hosts(Vec<Refused>),
}

/// A wanted instance without a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// Which app and environment.
    pub app: AppEnv,
    /// Which process type.
    pub process: ProcessName,
    /// Its number.
    pub ordinal: u32,
    /// The wanted release.
    pub release: ReleaseNumber,
    /// What it may use, and so needs.
    pub wants: Resources,
    /// Why there is no host.
    pub cause: Cause,
    /// The release of the instance that serves under this number meanwhile.
    pub serving: Option<ReleaseNumber>,
    /// Whether room may come without anybody doing something: others are ending, or a rollout of it goes on.
    pub moving: bool,
}

impl Blocked {
    /// `web.1`, as people name it.
    pub fn label(&self) -> String {
        format!("{}.{}", self.process, self.ordinal)
    }

    /// The reason alone: "1 host, none with 512 MB free (host-1 has 200 MB)".
    pub fn why(&self) -> String {
        match &self.cause {
            Cause::NoSpec => format!("what {} runs is not known yet", self.release),
            Cause::Hosts(hosts) if hosts.is_empty() => "there is no host".into(),
            Cause::Hosts(hosts) => self.why_hosts(hosts),
        }
    }

    fn why_hosts(&self, hosts: &[Refused]) -> String {
        let mut groups: BTreeMap<u8, Vec<&Refused>> = BTreeMap::new();
        for refused in hosts {
            groups.entry(filter(&refused.refusal)).or_default().push(refused);
        }
        let count = if hosts.len() == 1 { "1 host".to_owned() } else { format!("{} hosts", hosts.len()) };
        let alone = groups.len() == 1;
        let parts: Vec<String> = groups.values().map(|group| self.why_group(group, alone)).collect();
        format!("{count}{} {}", if alone { "," } else { ":" }, parts.join("; "))
    }

    /// One filter's hosts. Alone it speaks of all: "none with 512 MB free"; else of some: "2 without 512 MB free".
    fn why_group(&self, group: &[&Refused], alone: bool) -> String {
        let wants = &self.wants;
        let (has, state) = match group[0].refusal {
            Refusal::Away => (String::new(), "away"),
            Refusal::Maintenance => (String::new(), "in maintenance"),
            Refusal::Full => (String::new(), "full"),
            Refusal::Slots { .. } => ("a free slot".into(), ""),
            Refusal::Memory { .. } => (format!("{} MB free", wants.memory_mb), ""),
            Refusal::Cpu { .. } => (format!("{} cores free", cores(u64::from(wants.cpu_millis))), ""),
        };
        let head = match (alone, state.is_empty()) {
            (true, true) => format!("none with {has}"),
            (false, true) => format!("{} without {has}", group.len()),
            (true, false) if group.len() > 1 => format!("all {state}"),
            (true, false) => state.to_owned(),
            (false, false) => format!("{} {state}", group.len()),
        };
        let mut names: Vec<String> = group.iter().take(NAMED).map(|refused| named(refused)).collect();
        if group.len() > NAMED {
            names.push(format!("{} more", group.len() - NAMED));
        }
        format!("{head} ({})", names.join(", "))
    }

    /// The failure as its owner reads it.
    pub fn user_error(&self) -> UserError {
        let user_error = UserError::new(Code::NoCapacity, format!("no host has room for {} of {}", self.label(), self.app)).why(self.why());
        let user_error = match self.serving {
            Some(release) => user_error.evidence(format!("{release} keeps serving as {}", self.label())),
            None => user_error,
        };
        user_error
            .next(format!("ask for less memory than {} MB for `{}` in app.yaml", self.wants.memory_mb, self.process))
            .next(format!(
                "scale something down: slipway ps:scale {}=1 -a {}/{} -e {}",
                self.process, self.app.tenant, self.app.app, self.app.env
            ))
            .next("ask the operator for another host")
    }
}

fn filter(refusal: &Refusal) -> u8 {
    match refusal {
        Refusal::Away => 0,
        Refusal::Maintenance => 1,
        Refusal::Full => 2,
        Refusal::Slots { .. } => 3,
        Refusal::Memory { .. } => 4,
        Refusal::Cpu { .. } => 5,
    }
}

fn named(refused: &Refused) -> String {
    match refused.refusal {
        Refusal::Away | Refusal::Maintenance | Refusal::Full => refused.host.to_string(),
        Refusal::Slots { slots } => format!("{} has {slots}", refused.host),
        Refusal::Memory { free_mb } => format!("{} has {free_mb} MB", refused.host),
        Refusal::Cpu { free_millis } => format!("{} has {}", refused.host, cores(free_millis)),
    }
}

fn cores(millis: u64) -> String {
    format!("{}.{}", millis / 1_000, millis % 1_000 / 100)
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} {} has no host: {}", self.label(), self.app, self.release, self.why())?;
        if let Some(serving) = self.serving {
            write!(f, "; {serving} keeps serving")?;
        }
        if self.moving {
            write!(f, "; room comes when others end")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked(refusals: &[(&str, Refusal)]) -> Blocked {
        let host = |name: &str| HostName::new(name).expect("a host name");
        let hosts = refusals.iter().map(|(name, refusal)| Refused { host: host(name), refusal: *refusal }).collect();
        Blocked {
            app: "acme/shop/dev".parse().expect("an app"),
            process: ProcessName::web(),
            ordinal: 2,
            release: ReleaseNumber(4),
            wants: Resources::INSTANCE,
            cause: Cause::Hosts(hosts),
            serving: None,
            moving: false,
        }
    }

    #[test]
    fn one_filter_speaks_of_all_hosts() {
        let memory = |free_mb| Refusal::Memory { free_mb };
        assert_eq!(blocked(&[]).why(), "there is no host");
        assert_eq!(blocked(&[("host-1", memory(200))]).why(), "1 host, none with 512 MB free (host-1 has 200 MB)");
        assert_eq!(blocked(&[("host-1", Refusal::Maintenance)]).why(), "1 host, in maintenance (host-1)");
        assert_eq!(blocked(&[("a", Refusal::Away), ("b", Refusal::Away)]).why(), "2 hosts, all away (a, b)");
        assert_eq!(blocked(&[("a", Refusal::Slots { slots: 4 })]).why(), "1 host, none with a free slot (a has 4)");
    }

    #[test]
    fn several_filters_are_counted_apart_and_long_lists_are_cut() {
        let memory = |free_mb| Refusal::Memory { free_mb };
        let five = [("a", memory(1)), ("b", memory(2)), ("c", Refusal::Full), ("d", memory(3)), ("e", memory(4))];
        let expected = "5 hosts: 1 full (c); 4 without 512 MB free (a has 1 MB, b has 2 MB, d has 3 MB, 1 more)";
        assert_eq!(blocked(&five).why(), expected);
    }

    #[test]
    fn the_line_says_what_keeps_serving() {
        let mut blocked = blocked(&[("host-1", Refusal::Cpu { free_millis: 250 })]);
        blocked.serving = Some(ReleaseNumber(3));
        let expected = "web.2 of acme/shop/dev v4 has no host: 1 host, none with 1.0 cores free (host-1 has 0.2); v3 keeps serving";
        assert_eq!(blocked.to_string(), expected);
    }
}
