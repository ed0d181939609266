//! `Files`: a source for the tests, from a folder or from texts.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use manager::source::{Entry, EntryKind, Source, TarStream};
use model::{Digest, Manifest, TreeStats};

/// Files of a source by path; the flag tells executables.
#[derive(Clone, Default)]
pub struct Files(pub BTreeMap<String, (Vec<u8>, bool)>);

impl Files {
    /// Files from texts; those below `bin/` are executable.
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| ((*path).to_owned(), (text.as_bytes().to_vec(), path.starts_with("bin/")))).collect())
    }

    /// A Procfile app whose `bin/build` is `script`.
    pub fn script(script: &str) -> Self {
        Self::of(&[("Procfile", "web: true\n"), ("bin/build", &format!("#!/bin/bash\n{script}\n"))])
    }

    /// The files of an example.
    pub fn example(name: &str) -> Self {
        Self::folder(&format!("../examples/{name}"))
    }

    /// The files of a folder, relative to this crate.
    pub fn folder(path: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let mut files = Self::default();
        files.add(&root, "");
        assert!(!files.0.is_empty(), "{path} is missing");
        files
    }

    fn add(&mut self, folder: &Path, lead: &str) {
        use std::os::unix::fs::PermissionsExt;
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let path = format!("{lead}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                self.add(&entry.path(), &format!("{path}/"));
            } else {
                let executable = entry.metadata().expect("it is there").permissions().mode() & 0o100 != 0;
                self.0.insert(path, (std::fs::read(entry.path()).expect("it can be read"), executable));
            }
        }
    }

    /// Their app.yaml, read.
    pub fn manifest(&self) -> Manifest {
        let text = self.0.get("app.yaml").map(|(bytes, _)| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
        Manifest::parse(&text).expect("app.yaml is good")
    }
}

#[async_trait]
impl Source for Files {
    fn tree_id(&self, folder: &str) -> Option<String> {
        Some(Digest::of(format!("{folder}{:?}", self.0).as_bytes()).hex())
    }

    fn list(&self, folder: &str) -> Option<Vec<Entry>> {
        let lead = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut entries: BTreeMap<String, EntryKind> = BTreeMap::new();
        for rest in self.0.keys().filter_map(|path| path.strip_prefix(&lead)) {
            match rest.split_once('/') {
                Some((name, _)) => entries.insert(name.to_owned(), EntryKind::Folder),
                None => entries.insert(rest.to_owned(), EntryKind::File),
            };
        }
        (!entries.is_empty()).then(|| entries.into_iter().map(|(name, kind)| Entry { name, kind }).collect())
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.0.get(path).map(|(bytes, _)| bytes.clone())
    }

    fn tree_stats(&self, _: &str) -> Option<TreeStats> {
        let bytes = self.0.values().map(|(bytes, _)| bytes.len() as u64).sum();
        Some(TreeStats { files: self.0.len() as u64, bytes, ..TreeStats::default() })
    }

    async fn tar(&self) -> std::io::Result<TarStream> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, (bytes, executable)) in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_mode(if *executable { 0o755 } else { 0o644 });
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, bytes.as_slice())?;
        }
        Ok(Box::new(std::io::Cursor::new(builder.into_inner()?)))
    }
}
