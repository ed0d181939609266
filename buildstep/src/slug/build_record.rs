//! The build record inside of a slug: `/app/.slipway/build.json`, and the same as annotations of the image.
//!
//! Holds what a slug was made of and no time: equal sources give equal records.

use std::collections::BTreeMap;

use model::{ProcessName, TemplateName};
use serde::Serialize;

/// Where the record lies in a slug.
pub const PATH: &str = ".slipway/build.json";
/// Where build scripts name default process types.
pub const PROCESSES: &str = ".slipway/processes";

/// What a slug was made of.
#[derive(Debug, Clone, Serialize)]
pub struct BuildRecord {
    /// Grows when this changes its shape.
    pub format: u32,
    /// The id of the source tree.
    pub source_tree: String,
    /// The app's folder in it.
    pub root: String,
    /// The template's name.
    pub template: TemplateName,
    /// The template's digest.
    pub template_digest: String,
    /// The stack's name.
    pub stack: String,
    /// The image that the build ran on.
    pub build_layer: String,
    /// Versions by tool.
    pub tools: BTreeMap<String, String>,
    /// Names of the variables that app.yaml set for the build.
    pub build_variables: Vec<String>,
    /// Commands by process type.
    pub processes: BTreeMap<ProcessName, String>,
}

impl BuildRecord {
    /// As stored in the slug.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a record is made of strings and numbers");
        bytes.push(b'\n');
        bytes
    }

    /// As annotations of the image.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let mut annotations = BTreeMap::from([
            ("io.slipway.source-tree".to_owned(), self.source_tree.clone()),
            ("io.slipway.template".to_owned(), self.template.to_string()),
            ("io.slipway.stack".to_owned(), self.build_layer.clone()),
        ]);
        for (tool, version) in &self.tools {
            annotations.insert(format!("io.slipway.tool.{tool}"), version.clone());
        }
        annotations
    }
}
