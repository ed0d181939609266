//! Removes layers of the stack that nothing uses: those whose name a newer one took, and old ones of another recipe.
//!
//! Only layers that this builder made, by their label. Which of them go is pure; the engine itself keeps what a container uses.

use std::collections::HashSet;
use std::time::Duration;

use crate::engine::{Engine, EngineError, ListedImage};
use crate::labels::LAYER_LABEL;

/// The label of a layer that the builder whose build network is `scope` made: what makes layers and what removes them share it.
pub fn layer_label(scope: &str) -> (String, String) {
    (LAYER_LABEL.to_owned(), scope.to_owned())
}

/// What to remove, by name or by id. `now` and the ages are seconds since the epoch.
fn unused(images: &[ListedImage], current: &HashSet<String>, now: i64, keep: Duration) -> Vec<String> {
    let is_old = |image: &ListedImage| now.saturating_sub(image.created) > keep.as_secs() as i64;
    let mut names = Vec::new();
    for image in images {
        if image.names.is_empty() {
            names.push(image.id.clone());
        } else if is_old(image) && !image.names.iter().any(|name| current.contains(name)) {
            names.extend(image.names.iter().cloned());
        }
    }
    names
}

/// Removes unused layers of the builder whose build network is `scope`; returns how many.
pub async fn collect(engine: &Engine, current: &HashSet<String>, scope: &str, keep: Duration) -> Result<usize, EngineError> {
    let (name, value) = layer_label(scope);
    let images = engine.images(&[format!("{name}={value}")]).await?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut removed = 0;
    for name in unused(&images, current, now as i64, keep) {
        removed += usize::from(engine.remove_unused(&name).await?);
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameless_ones_go_and_old_ones_of_another_recipe() {
        let image = |id: &str, names: &[&str], created| ListedImage {
            id: id.to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            created,
        };
        let images = [
            image("lost", &[], 100),
            image("now", &["slipway/stack-go-run:2"], 0),
            image("before", &["slipway/stack-go-run:1"], 0),
            image("other", &["slipway/stack-go-run:3"], 60),
            image("shared", &["slipway/stack-go-run:2", "mine:1"], 0),
        ];
        let current = HashSet::from(["slipway/stack-go-run:2".to_owned()]);
        assert_eq!(unused(&images, &current, 100, Duration::from_secs(50)), ["lost", "slipway/stack-go-run:1"]);
    }
}
