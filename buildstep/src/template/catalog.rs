//! `Catalog`: the templates that are there, those of the program and the operator's own.

use std::collections::BTreeMap;
use std::path::Path;

use model::TemplateName;

use crate::template::definition::{Template, TemplateError};
use crate::template::suggest::nearest;

include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// The templates of the program and the operator's own, by name.
#[derive(Debug, Clone)]
pub struct Catalog {
    templates: BTreeMap<TemplateName, Template>,
}

impl Catalog {
    /// The templates that the program carries.
    pub fn builtin() -> Result<Self, TemplateError> {
        let mut folders: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
        for (folder, file, text) in BUILTIN {
            folders.entry(folder).or_default().insert((*file).to_owned(), (*text).to_owned());
        }
        let mut catalog = Self { templates: BTreeMap::new() };
        for (folder, files) in folders {
            catalog.add(Template::read(folder, files)?);
        }
        Ok(catalog)
    }

    /// Adds the templates of the folders in `dir`; one of the same name takes the place of the earlier.
    pub fn add_folder(&mut self, dir: &Path) -> Result<(), TemplateError> {
        let fail = |error: std::io::Error| TemplateError { name: dir.display().to_string(), why: error.to_string() };
        let mut folders: Vec<_> = std::fs::read_dir(dir).map_err(fail)?.collect::<Result<_, _>>().map_err(fail)?;
        folders.sort_by_key(std::fs::DirEntry::file_name);
        for folder in folders.iter().filter(|folder| folder.path().is_dir()) {
            let mut files = BTreeMap::new();
            for file in std::fs::read_dir(folder.path()).map_err(fail)? {
                let file = file.map_err(fail)?;
                if file.path().is_file() {
                    let text = std::fs::read_to_string(file.path()).map_err(fail)?;
                    files.insert(file.file_name().to_string_lossy().into_owned(), text);
                }
            }
            self.add(Template::read(&folder.file_name().to_string_lossy(), files)?);
        }
        Ok(())
    }

    fn add(&mut self, template: Template) {
        self.templates.insert(template.name().clone(), template);
    }

    /// A template by name.
    pub fn get(&self, name: &TemplateName) -> Option<&Template> {
        self.templates.get(name)
    }

    /// The name that a wrong one was most likely meant to be.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.templates.keys().map(TemplateName::as_str))
    }

    /// All templates, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Template> {
        self.templates.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_carries_good_templates() {
        let catalog = Catalog::builtin().expect("built-in templates are well formed");
        let names: Vec<_> = catalog.iter().map(|template| template.name().to_string()).collect();
        for name in ["go", "node", "procfile", "python", "static"] {
            assert!(names.iter().any(|known| known == name), "{name} is missing among {names:?}");
        }
        assert_eq!(catalog.nearest("pyhton"), Some("python"));
    }
}
