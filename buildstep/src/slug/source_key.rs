//! The source key: equal keys, equal slugs. Whoever has built a key need not build it again.
//!
//! Pure.

use std::collections::BTreeMap;

use model::{Digest, Manifest};

use crate::stack::recipe::{LayerName, Part, Recipe};
use crate::template::definition::Template;

/// The layers that a build with a template stands on.
fn layers(recipe: &Recipe, template: &Template) -> [LayerName; 2] {
    [recipe.layer(template, Part::Run), recipe.layer(template, Part::Build)]
}

/// The key of a source, built with a template on a stack.
pub fn source_key(tree_id: &str, uid: u32, recipe: &Recipe, template: &Template, manifest: &Manifest) -> Digest {
    // Commands of app.yaml are part of the release, not of the slug; the rest of it is in the tree, and so in its id.
    let settings: BTreeMap<&str, &str> = manifest.build.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let layers = layers(recipe, template);
    let parts = [
        "2".to_owned(),
        uid.to_string(),
        tree_id.to_owned(),
        manifest.root.clone().unwrap_or_default(),
        template.name().to_string(),
        template.digest().hex(),
        layers[0].full(),
        layers[1].full(),
        serde_json::to_string(&settings).expect("strings are always written"),
    ];
    Digest::of(serde_json::to_string(&parts).expect("strings are always written").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::catalog::Catalog;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_input_counts(tree in "[0-9a-f]{8}", root in "[a-z]{1,6}", variable in "[A-Z]{1,6}", value in ".{0,8}") {
            let catalog = Catalog::builtin().expect("built-in templates");
            let template = |name: &str| catalog.get(&name.parse().expect("a name")).expect("it is there");
            let recipe = Recipe::default();
            let plain = Manifest::default();
            let mut rooted = plain.clone();
            rooted.root = Some(root);
            let mut set = plain.clone();
            set.build.env.insert(variable, value);
            let edition = Recipe { edition: "2".into(), ..Recipe::default() };
            let keys = [
                source_key(&tree, 7, &recipe, template("python"), &plain),
                source_key(&format!("{tree}0"), 7, &recipe, template("python"), &plain),
                source_key(&tree, 8, &recipe, template("python"), &plain),
                source_key(&tree, 7, &edition, template("python"), &plain),
                source_key(&tree, 7, &recipe, template("go"), &plain),
                source_key(&tree, 7, &recipe, template("python"), &rooted),
                source_key(&tree, 7, &recipe, template("python"), &set),
            ];
            for (i, a) in keys.iter().enumerate() {
                for b in &keys[i + 1..] {
                    prop_assert_ne!(a, b);
                }
            }
            prop_assert_eq!(keys[0], source_key(&tree, 7, &recipe, template("python"), &plain));
        }
    }
}
