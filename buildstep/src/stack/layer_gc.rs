//! Removes layers of the stack that nothing uses: those that lost their name, and old ones of another recipe.
//!
//! Layers are shared by all platforms of one engine, whoever made them: equal recipes give equal names. Each platform marks those
//! that it stands on with a tag of its own (`LayerName::reference`), so a layer goes with the last platform that uses it. Which
//! names go is pure; the engine itself keeps what a container uses.

use std::collections::HashSet;
use std::time::Duration;

use crate::engine::{Engine, EngineError, ListedImage};
use crate::labels::LAYER_LABEL;
use crate::stack::recipe::LayerName;

/// What to remove, by name or by id. `now` and the ages are seconds since the epoch.
fn unused(images: &[ListedImage], current: &HashSet<LayerName>, scope: &str, now: i64, keep: Duration) -> Vec<String> {
    let is_old = |image: &ListedImage| now.saturating_sub(image.created) > keep.as_secs() as i64;
    let mut names = Vec::new();
    for image in images {
        let found: Vec<(&String, LayerName, Option<String>)> =
            image.names.iter().filter_map(|name| LayerName::parse(name).map(|(layer, scope)| (name, layer, scope))).collect();
        if image.names.is_empty() && image.labels.get(LAYER_LABEL).is_some_and(|maker| maker == scope) {
            names.push(image.id.clone());
        } else if is_old(image) && !found.iter().any(|(_, layer, _)| current.contains(layer)) {
            let others = |referrer: &Option<String>| referrer.as_ref().is_some_and(|referrer| referrer != scope);
            let is_shared = found.iter().any(|(_, _, referrer)| others(referrer));
            // The name that all share goes with the last reference.
            let goes = |referrer: &Option<String>| match referrer {
                Some(referrer) => referrer == scope,
                None => !is_shared,
            };
            names.extend(found.iter().filter(|(_, _, referrer)| goes(referrer)).map(|(name, ..)| (*name).clone()));
        }
    }
    names
}

/// Removes layers that neither the builder of `scope` nor another one uses; returns how many names went.
pub async fn collect(engine: &Engine, current: &HashSet<LayerName>, scope: &str, keep: Duration) -> Result<usize, EngineError> {
    let images = engine.images(&[LAYER_LABEL.to_owned()]).await?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut removed = 0;
    for name in unused(&images, current, scope, now as i64, keep) {
        removed += usize::from(engine.remove_unused(&name).await?);
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(id: &str, maker: &str, names: &[&str], created: i64) -> ListedImage {
        ListedImage {
            id: id.to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            labels: [(LAYER_LABEL.to_owned(), maker.to_owned())].into(),
            created,
        }
    }

    fn gone(images: &[ListedImage]) -> Vec<String> {
        let current = HashSet::from([LayerName { repository: "slipway/stack-go-run".into(), tag: "2".into() }]);
        unused(images, &current, "mine", 100, Duration::from_secs(50))
    }

    #[test]
    fn nameless_ones_go_and_old_ones_of_another_recipe() {
        let images = [
            image("lost", "mine", &[], 100),
            image("lost-by-another", "other", &[], 0),
            image("now", "mine", &["slipway/stack-go-run:2", "slipway/stack-go-run:2-mine"], 0),
            image("before", "mine", &["slipway/stack-go-run:1", "slipway/stack-go-run:1-mine"], 0),
            image("young", "mine", &["slipway/stack-go-run:3"], 60),
            image("retagged", "mine", &["slipway/stack-go-run:2", "own-name:1"], 0),
        ];
        assert_eq!(gone(&images), ["lost", "slipway/stack-go-run:1", "slipway/stack-go-run:1-mine"]);
    }

    #[test]
    fn a_layer_goes_with_the_last_platform_that_uses_it() {
        let shared = image("shared", "mine", &["slipway/stack-go-run:1", "slipway/stack-go-run:1-mine", "slipway/stack-go-run:1-b.2"], 0);
        assert_eq!(gone(&[shared]), ["slipway/stack-go-run:1-mine"]);
        let only_theirs = image("theirs", "mine", &["slipway/stack-go-run:1", "slipway/stack-go-run:1-b.2"], 0);
        assert_eq!(gone(&[only_theirs]), [""; 0]);
        let nobodys = image("nobodys", "other", &["slipway/stack-go-run:1"], 0);
        assert_eq!(gone(&[nobodys]), ["slipway/stack-go-run:1"]);
    }
}
