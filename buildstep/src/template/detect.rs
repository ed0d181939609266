//! Detection: which template fits a source, why, and what else would have.
//!
//! Pure: the catalog and the tree are arguments.

use model::TemplateName;

use crate::source::{EntryKind, SourceTree};
use crate::template::catalog::Catalog;
use crate::template::definition::{Rule, Template};
use crate::template::suggest::nearest;

/// A template that fits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fit {
    /// The order of its rule; the lowest wins.
    pub order: u32,
    /// The template's name.
    pub template: TemplateName,
    /// Why, as a fragment: "requirements.txt is there".
    pub because: String,
}

/// Which templates fit a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detection {
    /// The template to build with, and those that fit as well, by place.
    Found(Fit, Vec<Fit>),
    /// None fits.
    Nothing(Hints),
}

/// What may help a person whose source fits no template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// Per template title, the files that were looked for.
    pub looked_for: Vec<(String, Vec<String>)>,
    /// The names in the root, folders with a slash.
    pub listing: Vec<String>,
    /// Misspelt or misplaced names: what is there, what was meant.
    pub misspelt: Vec<(String, String)>,
    /// Folders in which a template would fit, and which.
    pub folders: Vec<(String, TemplateName)>,
}

/// Longest root listing that is shown.
const LISTED: usize = 30;

/// Finds the template of a source.
pub fn detect(catalog: &Catalog, tree: &dyn SourceTree) -> Detection {
    let mut fits: Vec<Fit> = catalog.iter().filter_map(|template| fit(template, tree)).collect();
    fits.sort();
    if fits.is_empty() {
        return Detection::Nothing(hints(catalog, tree));
    }
    let first = fits.remove(0);
    Detection::Found(first, fits)
}

/// Whether and why one template fits: the rule with the lowest place decides.
pub fn fit(template: &Template, tree: &dyn SourceTree) -> Option<Fit> {
    template
        .spec
        .detect
        .iter()
        .filter_map(|rule| Some((rule.order.unwrap_or(template.spec.order), holds(rule, tree)?)))
        .min()
        .map(|(order, because)| Fit { order, template: template.name().clone(), because })
}

/// Why a rule holds, when it does.
fn holds(rule: &Rule, tree: &dyn SourceTree) -> Option<String> {
    let any = rule.any.iter().find_map(|path| present(path, tree));
    let all: Option<Vec<String>> = rule.all.iter().map(|path| present(path, tree)).collect();
    let all = all?;
    if (!rule.any.is_empty() && any.is_none()) || rule.none.iter().any(|path| present(path, tree).is_some()) {
        return None;
    }
    for wanted in &rule.contains {
        let text = squeeze(&tree.text(&wanted.file)?);
        if !text.contains(&squeeze(&wanted.text)) {
            return None;
        }
    }
    let mut found: Vec<String> = all;
    found.extend(any);
    found.extend(rule.contains.iter().map(|wanted| wanted.file.clone()));
    found.dedup();
    if found.is_empty() {
        return None; // a rule of absences alone fits everything and so means nothing
    }
    Some(rule.because.clone().unwrap_or_else(|| match found.as_slice() {
        [one] => format!("{one} is there"),
        many => format!("{} are there", many.join(" and ")),
    }))
}

/// Text without blanks: `"start": "x"` and `"start":"x"` are the same to a rule.
fn squeeze(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// The path that a pattern stands for. A trailing slash asks for a folder, a star in the last part for any name.
fn present(pattern: &str, tree: &dyn SourceTree) -> Option<String> {
    if let Some(folder) = pattern.strip_suffix('/') {
        return (tree.kind(folder) == Some(EntryKind::Folder)).then(|| pattern.to_owned());
    }
    let (folder, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let matches = |entry: &crate::source::Entry| match name.split_once('*') {
        Some((head, tail)) => entry.name.len() >= head.len() + tail.len() && entry.name.starts_with(head) && entry.name.ends_with(tail),
        None => entry.name == name,
    };
    let entry = tree.list(folder)?.into_iter().find(|entry| entry.kind == EntryKind::File && matches(entry))?;
    Some(if folder.is_empty() { entry.name } else { format!("{folder}/{}", entry.name) })
}

fn hints(catalog: &Catalog, tree: &dyn SourceTree) -> Hints {
    let root = tree.list("").unwrap_or_default();
    let markers: Vec<&str> = catalog.iter().flat_map(Template::markers).filter(|path| !path.contains('/')).collect();
    let mut misspelt = Vec::new();
    for entry in root.iter().filter(|entry| entry.kind == EntryKind::File) {
        let listed = catalog.iter().flat_map(|template| &template.spec.mistaken).find(|(_, names)| names.contains(&entry.name));
        let meant = listed.map(|(meant, _)| meant.as_str()).or_else(|| nearest(&entry.name, markers.iter().copied()));
        misspelt.extend(meant.map(|meant| (entry.name.clone(), meant.to_owned())));
    }
    let mut folders = Vec::new();
    let candidates = root.iter().filter(|entry| entry.kind == EntryKind::Folder && !entry.name.starts_with('.')).take(50);
    for entry in candidates {
        let below = Below { tree, folder: &entry.name };
        if let Some(best) = catalog.iter().filter_map(|template| fit(template, &below)).min() {
            folders.push((entry.name.clone(), best.template));
        }
    }
    let mut listing: Vec<String> = root
        .iter()
        .take(LISTED)
        .map(|entry| if entry.kind == EntryKind::Folder { format!("{}/", entry.name) } else { entry.name.clone() })
        .collect();
    if root.len() > LISTED {
        listing.push(format!("… and {} more", root.len() - LISTED));
    }
    let looked_for = catalog
        .iter()
        .map(|template| {
            let mut names: Vec<String> = Vec::new();
            for name in template.markers() {
                if !names.iter().any(|known| known == name) {
                    names.push(name.to_owned());
                }
            }
            (template.spec.title.clone(), names)
        })
        .collect();
    Hints { looked_for, listing, misspelt, folders }
}

/// A folder of a borrowed tree.
struct Below<'a> {
    tree: &'a dyn SourceTree,
    folder: &'a str,
}

impl SourceTree for Below<'_> {
    fn list(&self, folder: &str) -> Option<Vec<crate::source::Entry>> {
        let path = if folder.is_empty() { self.folder.to_owned() } else { format!("{}/{folder}", self.folder) };
        self.tree.list(&path)
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.tree.read(&format!("{}/{path}", self.folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::memory::Memory;
    use proptest::prelude::*;

    fn found(files: &[(&str, &str)]) -> String {
        let catalog = Catalog::builtin().expect("built-in templates");
        match detect(&catalog, &Memory::of(files)) {
            Detection::Found(fit, _) => format!("{}: {}", fit.template, fit.because),
            Detection::Nothing(_) => "nothing".into(),
        }
    }

    #[test]
    fn one_marker() {
        for marker in ["requirements.txt", "pyproject.toml", "Pipfile.lock", "poetry.lock", "uv.lock", "pdm.lock"] {
            assert_eq!(found(&[(marker, "")]), format!("python: {marker} is there"));
        }
        assert_eq!(found(&[("go.mod", "module x")]), "go: go.mod is there");
        assert_eq!(found(&[("package.json", r#"{"scripts": {"start": "node x"}}"#)]), "node: package.json has a start script");
        assert_eq!(found(&[("index.html", "")]), "static: index.html is there");
        assert_eq!(found(&[("public/index.html", "")]), "static: public/index.html is there");
        assert_eq!(found(&[("Procfile", "web: x"), ("bin/build", "")]), "procfile: Procfile and bin/build are there");
        assert_eq!(found(&[("README.md", "")]), "nothing");
    }

    #[test]
    fn several_markers() {
        let package = ("package.json", r#"{"scripts":{"build":"vite build","start":"x"}}"#);
        assert_eq!(found(&[("manage.py", ""), ("requirements.txt", "django"), package]), "python: requirements.txt is there");
        assert_eq!(found(&[("go.mod", ""), package]), "go: go.mod is there");
        assert_eq!(found(&[package, ("index.html", ""), ("public/a", "")]), "node: package.json has a start script");
        assert_eq!(
            found(&[("package.json", r#"{"devDependencies":{"prettier":"3"}}"#), ("index.html", "")]),
            "static: index.html is there"
        );
        assert_eq!(found(&[("Staticfile", ""), package]), "static: Staticfile is there");
        assert_eq!(found(&[("package.json", "{}"), ("server.js", "")]), "node: package.json and server.js are there");
        assert_eq!(found(&[("Procfile", "web: node x"), ("package.json", "{}")]), "node: package.json and Procfile are there");
        assert_eq!(found(&[("Procfile", "web: x"), ("bin/build", ""), ("requirements.txt", "")]), "python: requirements.txt is there");
    }

    #[test]
    fn nothing_found_helps() {
        let catalog = Catalog::builtin().expect("built-in templates");
        let tree = Memory::of(&[("requirments.txt", ""), ("backend/go.mod", ""), ("README.md", "")]);
        let Detection::Nothing(hints) = detect(&catalog, &tree) else { panic!("nothing should fit") };
        assert_eq!(hints.misspelt, [("requirments.txt".to_owned(), "requirements.txt".to_owned())]);
        assert_eq!(hints.folders.iter().map(|(folder, template)| format!("{folder}={template}")).collect::<Vec<_>>(), ["backend=go"]);
        assert_eq!(hints.listing, ["README.md", "backend/", "requirments.txt"]);
    }

    proptest! {
        #[test]
        fn the_choice_does_not_depend_on_chance(names in proptest::collection::btree_set("(go\\.mod|package\\.json|requirements\\.txt|Procfile|bin/build|index\\.html|Staticfile|manage\\.py|server\\.js|x/y|README)", 0..8)) {
            let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "{}")).collect();
            let catalog = Catalog::builtin().expect("built-in templates");
            let first = detect(&catalog, &Memory::of(&files));
            prop_assert_eq!(&first, &detect(&catalog, &Memory::of(&files)));
            if let Detection::Found(fit, others) = first {
                prop_assert!(others.iter().all(|other| other.order >= fit.order));
                prop_assert!(others.iter().all(|other| other.template != fit.template));
            }
        }
    }
}
