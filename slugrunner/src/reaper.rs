//! Removes what earlier lives of ours left behind: one-offs that nobody is attached to, images that nothing runs.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use model::Time;

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

/// Names of images to remove: ours by registry, without a tag, not run by anything, not among the newest of their repository.
pub(crate) fn stale_images(images: &[Image], running: &BTreeSet<String>, registry: &str, keep: usize) -> Vec<String> {
    let mut by_repository: BTreeMap<&str, Vec<(&Image, &String)>> = BTreeMap::new();
    for image in images.iter().filter(|image| image.by_tag.is_empty()) {
        for name in &image.by_digest {
            if let Some((repository, _)) = name.strip_prefix(registry).and_then(|rest| rest.strip_prefix('/')?.split_once('@')) {
                by_repository.entry(repository).or_default().push((image, name));
            }
        }
    }
    let mut stale = Vec::new();
    for (_, mut found) in by_repository {
        found.sort_by_key(|(image, _)| std::cmp::Reverse(image.created));
        let old = found.into_iter().filter(|(image, _)| !running.contains(&image.id)).skip(keep);
        stale.extend(old.map(|(_, name)| name.clone()));
    }
    stale
}

/// Removes old images. `running` are the ids of images that containers of ours use.
pub(crate) async fn reap_images(
    runtime: &dyn Runtime,
    registry: &str,
    keep: usize,
    running: &BTreeSet<String>,
) -> Result<(), RuntimeError> {
    for name in stale_images(&runtime.images().await?, running, registry, keep) {
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
    fn only_old_unused_untagged_images_of_our_registry_go() {
        let image = |n: i64, name: &str, tag: Option<&str>| Image {
            id: format!("id-{n}"),
            by_digest: vec![name.to_owned()],
            by_tag: tag.map(str::to_owned).into_iter().collect(),
            created: Time::UNIX_EPOCH + TimeDelta::seconds(n),
        };
        let images = [
            image(1, "r:5000/a/b@sha256:1", None),
            image(2, "r:5000/a/b@sha256:2", None),
            image(3, "r:5000/a/b@sha256:3", None),
            image(4, "r:5000/a/b@sha256:4", None),
            image(0, "other/a/b@sha256:5", None),
            image(0, "r:5000/stack@sha256:6", Some("r:5000/stack:1")),
        ];
        let running = BTreeSet::from(["id-1".to_owned()]);
        assert_eq!(stale_images(&images, &running, "r:5000", 2), ["r:5000/a/b@sha256:2"]);
    }
}
