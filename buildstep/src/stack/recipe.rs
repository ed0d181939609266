//! `Stack`: the recipe of the images that builds and slugs run on, and the names and versions that follow from it.
//!
//! Pure. A version is the hash of everything that went in, so that a layer is made again only when its recipe changed.

use model::Digest;

use crate::template::definition::{LayerSpec, Template};

/// Distribution release that the stack is made from.
pub const SUITE: &str = "trixie";
/// What users call the stack.
pub const TITLE: &str = "Debian 13";
/// User of the stack's own containers. Builds and slugs run under the uid of their app.
pub const UID: u32 = 10_001;
/// Group of all of them: what a layer gives to every app, it gives to this group.
pub const GID: u32 = 10_001;
/// Packages of the base besides the distribution's own minimum.
pub const BASE_PACKAGES: &[&str] = &["ca-certificates", "netbase", "tzdata"];
/// Grows when this program makes layers in another way.
const FORMAT: u32 = 2;

/// Which of a template's two layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The layer that slugs run on.
    Run,
    /// The layer that builds run on, above the run layer.
    Build,
}

/// The inputs of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recipe {
    /// An image to use as the base, pulled by this reference.
    pub base_image: Option<String>,
    /// Changed by an operator to have everything made anew, such as after security updates.
    pub edition: String,
}

/// An image of the stack, by repository and tag.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LayerName {
    /// `slipway/stack-python-run`.
    pub repository: String,
    /// The version: a digest of everything that the layer is made from.
    pub tag: String,
}

impl LayerName {
    /// As the engine knows it.
    pub fn full(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }

    /// The tag by which the platform of `scope` says that it uses the layer. A version has no hyphen.
    pub fn reference(&self, scope: &str) -> String {
        format!("{}-{scope}", self.tag)
    }

    /// Reads a layer's own name, or that of a reference with its scope; none for other images.
    pub fn parse(name: &str) -> Option<(Self, Option<String>)> {
        let (repository, tag) = name.rsplit_once(':').filter(|(repository, _)| repository.starts_with(LAYERS))?;
        let (version, scope) = tag.split_once('-').map_or((tag, None), |(version, scope)| (version, Some(scope.to_owned())));
        Some((Self { repository: repository.to_owned(), tag: version.to_owned() }, scope))
    }
}

/// Prefix of all repositories of layers.
const LAYERS: &str = "slipway/stack-";

impl Recipe {
    /// The base under all layers.
    pub fn base(&self) -> LayerName {
        let input = match &self.base_image {
            Some(image) => format!("{FORMAT}\0{}\0image\0{image}", self.edition),
            None => format!("{FORMAT}\0{}\0{SUITE}\0{UID}\0{}", self.edition, BASE_PACKAGES.join(",")),
        };
        LayerName { repository: format!("{LAYERS}base"), tag: version(&input) }
    }

    /// A layer of a template.
    pub fn layer(&self, template: &Template, part: Part) -> LayerName {
        let run = version(&layer_input(&self.base().tag, template, &template.spec.run));
        let name = template.name();
        match part {
            Part::Run => LayerName { repository: format!("{LAYERS}{name}-run"), tag: run },
            Part::Build => {
                LayerName { repository: format!("{LAYERS}{name}-build"), tag: version(&layer_input(&run, template, &template.spec.build)) }
            }
        }
    }
}

fn layer_input(below: &str, template: &Template, layer: &LayerSpec) -> String {
    let setup = layer.setup.as_ref().and_then(|file| template.file(file)).unwrap_or_default();
    let probes: Vec<_> = template.spec.tools.iter().map(|tool| &tool.probe).collect();
    format!("{FORMAT}\0{below}\0{}\0{setup}\0{probes:?}", layer.packages.join(","))
}

fn version(input: &str) -> String {
    Digest::of(input.as_bytes()).short()
}

/// Run as root in a container of the layer below: brings packages in and leaves nothing else.
/// How far it is comes in lines of its own, for `Packages`.
pub const INSTALL: &str = r#"set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq -o Acquire::Retries=3 -o Acquire::Languages=none
apt-get install -y -q --no-install-recommends -o Acquire::Retries=3 -o APT::Status-Fd=3 -- "$@" 3>&1
"#;

/// Run after `INSTALL` and a template's own set-up: what differs from run to run goes.
pub const TIDY: &str = r#"set -eu
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/cache/ldconfig/aux-cache /var/log/* /var/lib/dpkg/*-old /etc/machine-id /etc/.pwd.lock /root/.npm /root/.cache
mkdir -p /tmp && find /tmp -mindepth 1 -delete
# Builds and instances name the uid of their app in it.
chgrp 10001 /etc/passwd
chmod 664 /etc/passwd
"#;

/// Put into the base: no documentation, no translations, no slow syncs.
pub const DPKG_RULES: &str = "force-unsafe-io\npath-exclude=/usr/share/doc/*\npath-include=/usr/share/doc/*/copyright\npath-exclude=/usr/share/man/*\npath-exclude=/usr/share/info/*\npath-exclude=/usr/share/locale/*\npath-exclude=/usr/share/lintian/*\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::catalog::Catalog;

    #[test]
    fn a_version_follows_its_inputs() {
        let catalog = Catalog::builtin().expect("built-in templates");
        let python = catalog.get(&"python".parse().expect("a name")).expect("it is there");
        let recipe = Recipe::default();
        let later = Recipe { edition: "2".into(), ..Recipe::default() };
        assert_eq!(recipe.layer(python, Part::Run), recipe.layer(python, Part::Run));
        assert_ne!(recipe.layer(python, Part::Run).tag, later.layer(python, Part::Run).tag);
        assert_ne!(recipe.layer(python, Part::Build).tag, later.layer(python, Part::Build).tag);
        let mut more = python.clone();
        more.spec.build.packages.push("cmake".into());
        assert_eq!(recipe.layer(python, Part::Run), recipe.layer(&more, Part::Run));
        assert_ne!(recipe.layer(python, Part::Build), recipe.layer(&more, Part::Build));
    }
}
