//! `Look`: a look over a pushed source before it is built: how much it is, and what in it git does not carry.
//!
//! Says early what would else come out late and darkly: a build that misses a submodule, or that reads a pointer in place of a
//! model. Decides by the tree_stats alone and must never read a file's content, but for the two that say what is left out.

use model::{AppRef, Code, TreeStats, UserError, push_output};

use crate::output::Output;
use crate::source::Source;

/// Paths that are named in a warning.
const NAMED: usize = 3;

/// A source that was looked over.
#[derive(Debug, Clone)]
pub struct Look {
    tree_stats: TreeStats,
    /// Whether the source says that some of it is not for the build, so that only the builder can count what it takes.
    trimmed: bool,
}

impl Look {
    /// Looks over the app's folder of a source. None when there is no such folder, or it can not be read.
    pub fn at(source: &dyn Source, root: &str) -> Option<Self> {
        let tree_stats = source.tree_stats(root)?;
        let below = |name: &str| if root.is_empty() { name.to_owned() } else { format!("{root}/{name}") };
        let exported = |path: &str| source.read(path).is_some_and(|bytes| String::from_utf8_lossy(&bytes).contains("export-ignore"));
        let trimmed = source.read(&below(".slugignore")).is_some() || exported(".gitattributes") || exported(&below(".gitattributes"));
        Some(Self { tree_stats, trimmed })
    }

    /// Tells what it is, warns of what is missing in it, and refuses what is over `most` bytes.
    pub fn judge(&self, app: &AppRef, most: u64, said: &dyn Output) -> Result<(), UserError> {
        let TreeStats { files, bytes, largest, submodules, lfs_pointers } = &self.tree_stats;
        said.detail(format!("{}, {}", push_output::count(*files, "file"), push_output::size(*bytes)));
        if *bytes > most && !self.trimmed {
            let sizes = largest.iter().map(|(path, size)| format!("{:>9}  {}", push_output::size(*size), shown(path)));
            return Err(UserError::new(Code::PushTooLarge, format!("the source of {app} is too large"))
                .why(format!(
                    "Its files are {} together; {} are allowed. The largest are:",
                    push_output::size(*bytes),
                    push_output::size(most)
                ))
                .evidence_lines(sizes)
                .next(
                    "keep large data out of the repository, or name what the build does not need in .slugignore; commit and push again",
                ));
        }
        if !submodules.is_empty() {
            said.warn(format!("submodules are not part of a push, and empty in the build: {}", named(submodules)));
            said.warn("commit the files themselves: git rm --cached PATH; rm -rf PATH/.git; git add PATH");
        }
        if !lfs_pointers.is_empty() {
            said.warn(format!("git-lfs keeps the contents of these, which are not part of a push: {}", named(lfs_pointers)));
            said.warn("commit the contents: git lfs migrate export --include='*'; or let the build fetch them");
        }
        Ok(())
    }
}

/// The first paths, and that there are more.
fn named(paths: &[String]) -> String {
    let first: Vec<String> = paths.iter().take(NAMED).map(|path| shown(path)).collect();
    format!("{}{}", first.join(", "), if paths.len() > NAMED { " and more" } else { "" })
}

/// A path for a terminal: what could steer one is written out, and none is longer than a line.
fn shown(path: &str) -> String {
    path.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).take(120).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::source::{Entry, TarStream};

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

    fn looked(tree_stats: TreeStats, files: &[(&'static str, &'static str)], root: &str) -> (String, Result<(), UserError>) {
        let heard = Mutex::new(Vec::new());
        let listen = |line: &str| heard.lock().expect("unpoisoned").push(line.to_owned());
        let look = Look::at(&Tree { tree_stats, files: files.iter().copied().collect() }, root).expect("a folder");
        let app = AppRef { tenant: "acme".parse().expect("a name"), app: "shop".parse().expect("a name") };
        let judged = look.judge(&app, 1_000_000, &listen);
        (heard.into_inner().expect("unpoisoned").join("\n"), judged)
    }

    fn paths(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn an_ordinary_source_is_one_line() {
        let (heard, judged) = looked(TreeStats { files: 1, bytes: 12, ..TreeStats::default() }, &[], "");
        assert_eq!((heard.as_str(), judged), ("       1 file, 12 B", Ok(())));
        let nowhere = Look::at(&Tree { tree_stats: TreeStats::default(), files: BTreeMap::new() }, "nowhere");
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
        let (heard, judged) = looked(tree_stats, &[], "");
        assert_eq!(judged, Ok(()), "it is built all the same: the build may not need them");
        assert_eq!(
            heard,
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
        let (_, judged) = looked(tree_stats.clone(), &[], "");
        let user_error = judged.expect_err("it is over the limit");
        assert_eq!(user_error.code, Code::PushTooLarge);
        assert_eq!(user_error.evidence, ["   4.0 MB  data/movie.bin", " 999.0 kB  data/b.bin"]);
        assert!(user_error.why.contains("5.0 MB together; 1.0 MB are allowed"), "{user_error}");
        // What is left out is counted by the builder alone.
        for (root, file, text) in
            [("", ".slugignore", "data/"), ("web", "web/.slugignore", "data/"), ("web", ".gitattributes", "data export-ignore")]
        {
            assert_eq!(looked(tree_stats.clone(), &[(file, text)], root).1, Ok(()), "{file}");
        }
        assert!(looked(tree_stats, &[(".gitattributes", "*.bin filter=lfs")], "").1.is_err());
    }
}
