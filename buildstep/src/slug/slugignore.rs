//! `.slugignore`: paths of the source that the slug does not need, in the grammar of `.gitignore`.

use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// Lines that are read of one file.
const MAX_LINES: usize = 1_000;

/// The patterns of one `.slugignore`.
#[derive(Debug, Clone)]
pub struct SlugIgnore(Gitignore);

impl Default for SlugIgnore {
    fn default() -> Self {
        Self(Gitignore::empty())
    }
}

impl SlugIgnore {
    /// Reads the text of a `.slugignore`. A line that is no pattern is left out, as git does.
    pub fn parse(text: &str) -> Self {
        let mut builder = GitignoreBuilder::new("");
        // Editors on Windows put a byte order mark before the first pattern.
        for line in text.trim_start_matches('\u{feff}').lines().take(MAX_LINES) {
            let _ = builder.add_line(None, line);
        }
        Self(builder.build().unwrap_or_else(|_| Gitignore::empty()))
    }

    /// Whether a path, or a folder that it lies in, is left out.
    pub fn covers(&self, path: &str, is_folder: bool) -> bool {
        self.0.matched_path_or_any_parents(path, is_folder).is_ignore()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_what_gitignore_would() {
        let ignore = SlugIgnore::parse(
            "\u{feff}first\n# notes\n*.psd\n/docs\ntests/\nsrc/*.bak\na/**/z\n[Dd]ebug/\n\\#notes\n*.log\n!keep/a.log\nodd[\n",
        );
        for (path, folder, covered) in [
            ("first", false, true),
            ("art/logo.psd", false, true),
            ("docs/x/y", false, true),
            ("lib/docs/x", false, false),
            ("lib/tests/one", false, true),
            ("tests", false, false),
            ("tests", true, true),
            ("src/x.bak", false, true),
            ("src/deep/x.bak", false, false),
            ("a/b/c/z", false, true),
            ("a/z", false, true),
            ("b/z", false, false),
            ("Debug", true, true),
            ("debug/a", false, true),
            ("#notes", false, true),
            ("b.log", false, true),
            ("keep/a.log", false, false),
        ] {
            assert_eq!(ignore.covers(path, folder), covered, "{path}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends_soon() {
        let ignore = SlugIgnore::parse(&format!("{}b", "*a".repeat(40)));
        assert!(!ignore.covers(&"a".repeat(200), false));
    }
}
