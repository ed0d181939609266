//! The labels that make a container ours, and what they say about it: enough to adopt it with nothing else up.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use model::{Assignment, InstanceId, Intent, ReleaseNumber};

/// Whose platform a container belongs to.
pub const SCOPE: &str = "slipway.scope";
/// `instance` or `oneoff`.
pub const KIND: &str = "slipway.kind";
/// The value of `KIND` for instances.
pub const INSTANCE: &str = "instance";
/// The value of `KIND` for one-off runs.
pub const ONEOFF: &str = "oneoff";
const ID: &str = "slipway.instance";
const APP: &str = "slipway.app";
const PROCESS: &str = "slipway.process";
const ORDINAL: &str = "slipway.ordinal";
const RELEASE: &str = "slipway.release";
const EPOCH: &str = "slipway.epoch";
const RESTARTS: &str = "slipway.restarts";
const ADDRESS: &str = "slipway.address";

/// What the labels of an instance's container say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceLabels {
    /// What it was made for; the intent is always `Run`, a container does not know better.
    pub assignment: Assignment,
    /// Which container of the instance it is, counted from 0.
    pub restarts: u32,
    /// Its address in the app network.
    pub address: Ipv4Addr,
}

/// The labels of an instance's container.
pub fn of_instance(scope: &str, tag: &InstanceLabels) -> HashMap<String, String> {
    let a = &tag.assignment;
    HashMap::from([
        (SCOPE.into(), scope.into()),
        (KIND.into(), INSTANCE.into()),
        (ID.into(), a.instance.to_string()),
        (APP.into(), a.app.to_string()),
        (PROCESS.into(), a.process.to_string()),
        (ORDINAL.into(), a.ordinal.to_string()),
        (RELEASE.into(), a.release.to_string()),
        (EPOCH.into(), a.epoch.to_string()),
        (RESTARTS.into(), tag.restarts.to_string()),
        (ADDRESS.into(), tag.address.to_string()),
    ])
}

/// The labels of a one-off's container.
pub fn of_oneoff(scope: &str, app: &model::AppEnv, release: ReleaseNumber, address: Ipv4Addr) -> HashMap<String, String> {
    HashMap::from([
        (SCOPE.into(), scope.into()),
        (KIND.into(), ONEOFF.into()),
        (APP.into(), app.to_string()),
        (RELEASE.into(), release.to_string()),
        (ADDRESS.into(), address.to_string()),
    ])
}

/// Reads the labels of an instance's container; none when they are not all there and well-formed.
pub fn read(labels: &HashMap<String, String>) -> Option<InstanceLabels> {
    let get = |key: &str| labels.get(key);
    if get(KIND)? != INSTANCE {
        return None;
    }
    Some(InstanceLabels {
        assignment: Assignment {
            instance: InstanceId::parse(get(ID)?.as_str()).ok()?,
            app: get(APP)?.parse().ok()?,
            process: get(PROCESS)?.parse().ok()?,
            ordinal: get(ORDINAL)?.parse().ok()?,
            release: get(RELEASE)?.parse().ok()?,
            epoch: get(EPOCH)?.parse().ok()?,
            intent: Intent::Run,
        },
        restarts: get(RESTARTS)?.parse().ok()?,
        address: address(labels)?,
    })
}

/// The address that a container of ours was given.
pub fn address(labels: &HashMap<String, String>) -> Option<Ipv4Addr> {
    labels.get(ADDRESS)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_read_back_and_foreign_ones_do_not() {
        let tag = InstanceLabels {
            assignment: Assignment {
                instance: InstanceId::mint([3; 10]),
                app: "acme/shop/dev".parse().expect("an app"),
                process: "web".parse().expect("a process"),
                ordinal: 2,
                release: ReleaseNumber(7),
                epoch: 1,
                intent: Intent::Run,
            },
            restarts: 4,
            address: Ipv4Addr::new(10, 0, 0, 5),
        };
        let mut labels = of_instance("s", &tag);
        assert_eq!(read(&labels), Some(tag));
        labels.insert(ORDINAL.into(), "-1".into());
        assert_eq!(read(&labels), None);
        assert_eq!(read(&of_oneoff("s", &"a/b/c".parse().expect("an app"), ReleaseNumber(1), Ipv4Addr::LOCALHOST)), None);
    }
}
