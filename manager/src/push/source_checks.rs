//! Checks of a pushed source before it is built: its size, and contents that a push does not carry.
//!
//! A missing submodule, or an LFS pointer in place of a file, would otherwise fail the build or the app with an unrelated error.
//! Decides by the tree statistics and must never read a file's content, except `.slugignore`, which names what is left out.

use model::{AppRef, TreeStats, UserError, push_output};

use crate::output::Output;
use crate::push::source::Source;
use crate::user_errors::{printable, pushes};

/// Most paths that a warning names.
const NAMED: usize = 3;

/// What the checks need to know of a source.
#[derive(Debug, Clone)]
pub struct SourceChecks {
    tree_stats: TreeStats,
    /// Whether the source excludes some of its files from the build, so that only the builder knows the size that counts.
    trimmed: bool,
}

impl SourceChecks {
    /// Reads the statistics of the app's folder. `None` when there is no such folder, or it can not be read.
    pub fn read(source: &dyn Source, root: &str) -> Option<Self> {
        let tree_stats = source.tree_stats(root)?;
        let below = |name: &str| if root.is_empty() { name.to_owned() } else { format!("{root}/{name}") };
        let trimmed = source.read(&below(".slugignore")).is_some();
        Some(Self { tree_stats, trimmed })
    }

    /// Prints the size, warns of missing contents, and refuses more than `most` bytes.
    pub fn run(&self, app: &AppRef, most: u64, output: &dyn Output) -> Result<(), UserError> {
        let TreeStats { files, bytes, submodules, lfs_pointers, .. } = &self.tree_stats;
        output.detail(format!("{}, {}", push_output::count(*files, "file"), push_output::size(*bytes)));
        if *bytes > most && !self.trimmed {
            return Err(pushes::source_too_large(app, &self.tree_stats, most));
        }
        if !submodules.is_empty() {
            output.warn(format!("submodules are not part of a push, and empty in the build: {}", named(submodules)));
            output.warn("commit the files themselves: git rm --cached PATH; rm -rf PATH/.git; git add PATH");
        }
        if !lfs_pointers.is_empty() {
            output.warn(format!("git-lfs keeps the contents of these, which are not part of a push: {}", named(lfs_pointers)));
            output.warn("commit the contents: git lfs migrate export --include='*'; or let the build fetch them");
        }
        Ok(())
    }
}

/// The first paths, and that there are more.
fn named(paths: &[String]) -> String {
    let first: Vec<String> = paths.iter().take(NAMED).map(|path| printable(path)).collect();
    format!("{}{}", first.join(", "), if paths.len() > NAMED { " and more" } else { "" })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::push::source::{Entry, TarStream};
    use model::Code;

    struct Tree {
        tree_stats: TreeStats,
        files: BTreeMap<&'static str, &'static str>,
    }

    #[async_trait]
    impl Source for Tree {
        fn tree_id(&self, _: &str) -> Option<String> {
            None
        }
        fn list(&self, _: &str) -> Option<Vec<Entry>> {
            None
        }
        fn read(&self, path: &str) -> Option<Vec<u8>> {
            self.files.get(path).map(|text| text.as_bytes().to_vec())
        }
        fn tree_stats(&self, folder: &str) -> Option<TreeStats> {
            (folder != "nowhere").then(|| self.tree_stats.clone())
        }
        async fn tar(&self) -> std::io::Result<TarStream> {
            Ok(Box::new(tokio::io::empty()))
        }
    }

    fn checked(tree_stats: TreeStats, files: &[(&'static str, &'static str)], root: &str) -> (String, Result<(), UserError>) {
        let lines = Mutex::new(Vec::new());
        let collect = |line: &str| lines.lock().expect("unpoisoned").push(line.to_owned());
        let checks = SourceChecks::read(&Tree { tree_stats, files: files.iter().copied().collect() }, root).expect("a folder");
        let app = AppRef { tenant: "acme".parse().expect("a name"), app: "shop".parse().expect("a name") };
        let result = checks.run(&app, 1_000_000, &collect);
        (lines.into_inner().expect("unpoisoned").join("\n"), result)
    }

    fn paths(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn an_ordinary_source_is_one_line() {
        let (lines, result) = checked(TreeStats { files: 1, bytes: 12, ..TreeStats::default() }, &[], "");
        assert_eq!((lines.as_str(), result), ("       1 file, 12 B", Ok(())));
        let nowhere = SourceChecks::read(&Tree { tree_stats: TreeStats::default(), files: BTreeMap::new() }, "nowhere");
        assert!(nowhere.is_none());
    }

    #[test]
    fn what_git_does_not_carry_is_named_with_the_way_out() {
        let tree_stats = TreeStats {
            files: 3,
            bytes: 400,
            submodules: paths(&["vendor/lib"]),
            lfs_pointers: paths(&["a.bin", "b\u{1b}[31m.bin", "c.bin", "d.bin", "e.bin"]),
            ..TreeStats::default()
        };
        let (lines, result) = checked(tree_stats, &[], "");
        assert_eq!(result, Ok(()), "it is built all the same: the build may not need them");
        assert_eq!(
            lines,
            "       3 files, 400 B
 !     submodules are not part of a push, and empty in the build: vendor/lib
 !     commit the files themselves: git rm --cached PATH; rm -rf PATH/.git; git add PATH
 !     git-lfs keeps the contents of these, which are not part of a push: a.bin, b\\u{1b}[31m.bin, c.bin and more
 !     commit the contents: git lfs migrate export --include='*'; or let the build fetch them"
        );
    }

    #[test]
    fn too_much_is_refused_and_the_largest_are_named() {
        let tree_stats = TreeStats {
            files: 2,
            bytes: 5_000_000,
            largest: vec![("data/movie.bin".into(), 4_000_000), ("data/b.bin".into(), 999_000)],
            ..TreeStats::default()
        };
        let (_, result) = checked(tree_stats.clone(), &[], "");
        let user_error = result.expect_err("it is over the limit");
        assert_eq!(user_error.code, Code::PushTooLarge);
        assert_eq!(user_error.evidence, ["   4.0 MB  data/movie.bin", " 999.0 kB  data/b.bin"]);
        assert!(user_error.why.contains("5.0 MB together; 1.0 MB are allowed"), "{user_error}");
        // What is left out is counted by the builder alone.
        for (root, file) in [("", ".slugignore"), ("web", "web/.slugignore")] {
            assert_eq!(checked(tree_stats.clone(), &[(file, "data/")], root).1, Ok(()), "{file}");
        }
        // The build gets what the repository holds: attributes leave nothing out.
        assert!(checked(tree_stats, &[(".gitattributes", "data export-ignore")], "").1.is_err());
    }
}
