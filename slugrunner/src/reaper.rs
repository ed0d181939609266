//! Removes what earlier processes left behind: one-offs that nobody is attached to, images that nothing runs.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use model::{ReleaseNumber, RunSpec, Time};

use crate::labels;
use crate::runtime::{Container, ContainerId, Image, Runtime, RuntimeError};

/// A one-off that is not in our list and older than this is a leftover; a younger one may be in the making.
const ORPHAN_AFTER: TimeDelta = TimeDelta::seconds(60);
/// The longest that a one-off may run.
const ONEOFF_TTL: TimeDelta = TimeDelta::hours(24);

/// One-offs to remove.
pub(crate) fn stale_oneoffs(all: &[Container], attached: &BTreeSet<ContainerId>, now: Time) -> Vec<ContainerId> {
    let is_oneoff = |container: &&Container| container.labels.get(labels::KIND).is_some_and(|kind| kind == labels::ONEOFF);
    let is_stale = |container: &&Container| {
        let age = now - container.created;
        age > ONEOFF_TTL || (age > ORPHAN_AFTER && !attached.contains(&container.id))
    };
    all.iter().filter(is_oneoff).filter(is_stale).map(|container| container.id.clone()).collect()
}

/// The images that kept releases name, by the engine's name, with the newest release that names each.
pub(crate) fn wanted_images(specs: &[RunSpec], registry: &str) -> BTreeMap<String, ReleaseNumber> {
    let mut wanted = BTreeMap::new();
    for spec in specs {
        let newest = wanted.entry(spec.image.pull_name(registry)).or_insert(spec.release);
        *newest = spec.release.max(*newest);
    }
    wanted
}

/// Names of images to remove: ours by registry, without a tag, not run by anything, and either named by no release that is kept, or
/// not among the newest of their repository.
pub(crate) fn stale_images(
    images: &[Image],
    running: &BTreeSet<String>,
    wanted: &BTreeMap<String, ReleaseNumber>,
    registry: &str,
    keep: usize,
) -> Vec<String> {
    let mut by_repository: BTreeMap<&str, Vec<(Option<ReleaseNumber>, &String)>> = BTreeMap::new();
    for image in images.iter().filter(|image| image.by_tag.is_empty() && !running.contains(&image.id)) {
        for name in &image.by_digest {
            if let Some((repository, _)) = name.strip_prefix(registry).and_then(|rest| rest.strip_prefix('/')?.split_once('@')) {
                by_repository.entry(repository).or_default().push((wanted.get(name).copied(), name));
            }
        }
    }
    let mut stale = Vec::new();
    for (_, mut found) in by_repository {
        // Slugs are deterministic: the engine knows no time at which one was made.
        found.sort_by_key(|(release, _)| std::cmp::Reverse(*release));
        let old = found.into_iter().enumerate().filter(|(place, (release, _))| release.is_none() || *place >= keep);
        stale.extend(old.map(|(_, (_, name))| name.clone()));
    }
    stale
}

/// Removes old images. `running` are the ids of images that containers of ours use, `wanted` what kept releases name.
pub(crate) async fn reap_images(
    runtime: &dyn Runtime,
    registry: &str,
    keep: usize,
    running: &BTreeSet<String>,
    wanted: &BTreeMap<String, ReleaseNumber>,
) -> Result<(), RuntimeError> {
    for name in stale_images(&runtime.images().await?, running, wanted, registry, keep) {
        match runtime.remove_image(&name).await {
            Ok(()) => tracing::info!(image = %name, "removed an image that nothing runs"),
            // Used by somebody else's container, or gone already.
            Err(RuntimeError::Conflict { .. } | RuntimeError::NoSuchContainer) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_ours_go_when_nothing_runs_or_names_them() {
        let image = |n: u32, name: &str, tag: Option<&str>| Image {
            id: format!("id-{n}"),
            by_digest: vec![name.to_owned()],
            by_tag: tag.map(str::to_owned).into_iter().collect(),
            created: Time::UNIX_EPOCH,
        };
        let images = [
            image(1, "r:5000/a/b@sha256:1", None),
            image(2, "r:5000/a/b@sha256:2", None),
            image(3, "r:5000/a/b@sha256:3", None),
            image(4, "r:5000/a/b@sha256:4", None),
            image(5, "other/a/b@sha256:5", None),
            image(6, "r:5000/stack@sha256:6", Some("r:5000/stack:1")),
            image(7, "r:5000/gone/app@sha256:7", None),
        ];
        let running = BTreeSet::from(["id-1".to_owned()]);
        let stale = |named: &[u32], keep| {
            let wanted = named.iter().map(|n| (format!("r:5000/a/b@sha256:{n}"), ReleaseNumber(*n))).collect();
            stale_images(&images, &running, &wanted, "r:5000", keep)
        };
        assert_eq!(stale(&[2, 3, 4], 2), ["r:5000/a/b@sha256:2", "r:5000/gone/app@sha256:7"], "the oldest named one");
        assert_eq!(stale(&[2], 2), ["r:5000/a/b@sha256:3", "r:5000/a/b@sha256:4", "r:5000/gone/app@sha256:7"], "what no release names");
    }
}
