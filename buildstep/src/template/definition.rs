//! `Template`: a recipe that turns a kind of source into a slug, read from a folder of `templates/`.
//!
//! Owns the format of `template.toml`. All knowledge about languages is in those files: nothing in this crate may name one.

use std::collections::BTreeMap;

use model::{Digest, TemplateName};
use serde::Deserialize;

use crate::template::pins::{Newer, PinSource};
use crate::template::suggest::nearest;

/// A template as read and checked.
#[derive(Debug, Clone)]
pub struct Template {
    /// The content of `template.toml`.
    pub spec: Spec,
    /// The build script, before it is rendered.
    pub script: String,
    /// Further files of the folder by name: set-up scripts of the layers.
    pub files: BTreeMap<String, String>,
}

/// The keys of `template.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Its name, that of its folder.
    pub name: TemplateName,
    /// What people call it: "Python".
    pub title: String,
    /// Its place among templates that fit; the lowest wins. A rule may have its own.
    pub order: u32,
    /// When it fits: any of these rules.
    pub detect: Vec<Rule>,
    /// File names that are often misspelt or misplaced, by the name that was meant.
    #[serde(default)]
    pub mistaken: BTreeMap<String, Vec<String>>,
    /// The layer that slugs run on.
    #[serde(default)]
    pub run: LayerSpec,
    /// The layer that builds run on, above the run layer.
    #[serde(default)]
    pub build: LayerSpec,
    /// Tools whose version sources may pin.
    #[serde(default)]
    pub tools: Vec<ToolSpec>,
    /// Folders below `/cache` that the script expects.
    #[serde(default)]
    pub cache: Vec<String>,
    /// Environment of builds and of running slugs.
    #[serde(default)]
    pub env: EnvSpec,
    /// Process types when neither the source nor the script names any.
    #[serde(default)]
    pub processes: BTreeMap<String, String>,
    /// What to do when the slug has no process type.
    #[serde(default)]
    pub no_process: Option<String>,
}

/// One way in which a template fits a source: all of what is given must hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// One of these paths is there.
    #[serde(default)]
    pub any: Vec<String>,
    /// All of these paths are there.
    #[serde(default)]
    pub all: Vec<String>,
    /// None of these paths is there.
    #[serde(default)]
    pub none: Vec<String>,
    /// Each of these files is there and contains the text.
    #[serde(default)]
    pub contains: Vec<Contains>,
    /// Its place, instead of the template's.
    pub order: Option<u32>,
    /// Why it fits, as shown; without it, the paths are named.
    pub because: Option<String>,
}

/// A file with a text in it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contains {
    /// The file's path, relative to the app's folder.
    pub file: String,
    /// The text; spaces outside of words do not count.
    pub text: String,
}

/// A layer of the stack.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerSpec {
    /// Names of packages of the distribution.
    #[serde(default)]
    pub packages: Vec<String>,
    /// A script of the template's folder, run as root after the packages are in.
    pub setup: Option<String>,
}

/// A tool of the stack.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolSpec {
    /// Its name: `python`.
    pub name: String,
    /// What people call it: "Python".
    pub title: String,
    /// A command that prints its version.
    pub probe: Vec<String>,
    /// How far a soft pin may be stretched.
    #[serde(default)]
    pub newer: Newer,
    /// Where pins stand, the most telling first.
    #[serde(default)]
    pub pins: Vec<PinSource>,
}

/// Environment variables that a template sets.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvSpec {
    /// Only while building.
    #[serde(default)]
    pub build: BTreeMap<String, String>,
    /// In the running slug, and while building.
    #[serde(default)]
    pub run: BTreeMap<String, String>,
}

/// Why a template can not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template `{name}`: {why}")]
pub struct TemplateError {
    /// The template's folder name.
    pub name: String,
    /// What is wrong with it.
    pub why: String,
}

/// The name of the description in a template's folder.
pub const SPEC_FILE: &str = "template.toml";
/// The name of the build script in a template's folder.
pub const SCRIPT_FILE: &str = "build.sh.tera";

impl Template {
    /// Reads a template from the files of its folder.
    pub fn read(name: &str, mut files: BTreeMap<String, String>) -> Result<Self, TemplateError> {
        let fail = |why: String| TemplateError { name: name.into(), why };
        let text = files.remove(SPEC_FILE).ok_or_else(|| fail(format!("{SPEC_FILE} is missing")))?;
        let script = files.remove(SCRIPT_FILE).ok_or_else(|| fail(format!("{SCRIPT_FILE} is missing")))?;
        let spec: Spec = toml::from_str(&text).map_err(|error| fail(explain(&error, &text)))?;
        if spec.name.as_str() != name {
            return Err(fail(format!("its name is given as `{}`", spec.name)));
        }
        for layer in [&spec.run, &spec.build] {
            if let Some(bad) = layer.packages.iter().find(|package| !is_package(package)) {
                return Err(fail(format!("`{bad}` is not a package name")));
            }
            if let Some(setup) = layer.setup.as_ref().filter(|setup| !files.contains_key(*setup)) {
                return Err(fail(format!("{setup} is missing")));
            }
        }
        if let Some(bad) = spec.cache.iter().find(|name| !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')) {
            return Err(fail(format!("`{bad}` is not a cache name")));
        }
        if spec.detect.is_empty() {
            return Err(fail("it has no detect rule".into()));
        }
        Ok(Self { spec, script, files })
    }

    /// Its name.
    pub fn name(&self) -> &TemplateName {
        &self.spec.name
    }

    /// The digest of everything that shapes a build with it, its layers apart.
    pub fn digest(&self) -> Digest {
        let spec = &self.spec;
        Digest::of(
            format!("{:?}\0{:?}\0{:?}\0{:?}\0{:?}\0{}", spec.tools, spec.cache, spec.env, spec.processes, spec.no_process, self.script)
                .as_bytes(),
        )
    }

    /// Every plain path that its rules look for.
    pub fn markers(&self) -> impl Iterator<Item = &str> {
        self.spec.detect.iter().flat_map(|rule| rule.all.iter().chain(&rule.any)).map(String::as_str).filter(|path| !path.contains('*'))
    }

    /// A file of its folder.
    pub fn file(&self, name: &str) -> Option<&str> {
        self.files.get(name).map(String::as_str)
    }
}

/// Package names reach the package tool's argv: nothing else may.
fn is_package(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
}

/// The reader's message with line, and the nearest key for an unknown one.
fn explain(error: &toml::de::Error, text: &str) -> String {
    let line = error.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let message = error.message();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let near = match quoted.split_first() {
        Some((unknown, known)) if message.starts_with("unknown field") => {
            nearest(unknown, known.iter().copied()).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
        }
        _ => String::new(),
    };
    format!("{SPEC_FILE} line {line}: {message}{near}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(spec: &str) -> Result<Template, TemplateError> {
        let files = [(SPEC_FILE.to_owned(), spec.to_owned()), (SCRIPT_FILE.to_owned(), "true".to_owned())];
        Template::read("shell", files.into_iter().collect())
    }

    const GOOD: &str = "name = \"shell\"\ntitle = \"Shell\"\norder = 1\n[[detect]]\nany = [\"run.sh\"]\n";

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest() {
        assert!(read(GOOD).is_ok());
        let error = read(&format!("{GOOD}[run]\npakages = []\n")).expect_err("a misspelt key");
        assert_eq!(
            error.to_string(),
            "template `shell`: template.toml line 7: unknown field `pakages`, expected `packages` or `setup`; did you mean `packages`?"
        );
    }

    #[test]
    fn a_package_is_never_an_option_or_a_path() {
        assert!(read(&format!("{GOOD}[run]\npackages = [\"--allow-all\"]\n")).is_err());
        assert!(read(&format!("{GOOD}[run]\npackages = [\"./x.deb\"]\n")).is_err());
        assert!(read(&format!("{GOOD}[run]\npackages = [\"libstdc++6\"]\n")).is_ok());
    }
}
