//! `.slugignore`: paths of the source that the slug does not need. The grammar is that of `.gitignore`, without negation.

/// Patterns of one file.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    parts: Vec<String>,
    anchored: bool,
    folder: bool,
}

impl Ignore {
    /// Reads the text of a `.slugignore`.
    pub fn parse(text: &str) -> Self {
        let pattern = |line: &str| {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', '!']) {
                return None;
            }
            let folder = line.ends_with('/');
            let body = line.trim_end_matches('/');
            let anchored = body.contains('/');
            let parts: Vec<String> = body.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
            (!parts.is_empty()).then_some(Pattern { parts, anchored, folder })
        };
        Self { patterns: text.lines().take(1_000).filter_map(pattern).collect() }
    }

    /// Whether a path, or a folder that it lies in, is left out.
    pub fn covers(&self, path: &str, is_folder: bool) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        (1..=parts.len()).any(|len| {
            let folder = is_folder || len < parts.len();
            self.patterns.iter().any(|pattern| (folder || !pattern.folder) && pattern.matches(&parts[..len]))
        })
    }
}

impl Pattern {
    fn matches(&self, path: &[&str]) -> bool {
        if self.anchored { parts_match(&self.parts, path) } else { path.last().is_some_and(|name| glob(&self.parts[0], name)) }
    }
}

fn parts_match(pattern: &[String], path: &[&str]) -> bool {
    match pattern.split_first() {
        None => path.is_empty(),
        Some((part, rest)) if part == "**" => (0..=path.len()).any(|skip| parts_match(rest, &path[skip..])),
        Some((part, rest)) => path.split_first().is_some_and(|(name, below)| glob(part, name) && parts_match(rest, below)),
    }
}

/// Matches `*` and `?` in time proportional to pattern × name, whatever the pattern.
fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, n));
            p += 1;
        } else if pattern.get(p).is_some_and(|c| *c == '?' || *c == name[n]) {
            p += 1;
            n += 1;
        } else if let Some((at, from)) = star {
            p = at + 1;
            n = from + 1;
            star = Some((at, n));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_cover_what_gitignore_would() {
        let ignore = Ignore::parse("# notes\n*.psd\n/docs\ntests/\nsrc/*.bak\na/**/z\n");
        for (path, folder, covered) in [
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
        ] {
            assert_eq!(ignore.covers(path, folder), covered, "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_name_matches_itself_and_a_star(name in "[a-z.*?]{1,30}") {
            prop_assert!(glob("*", &name));
            prop_assert!(glob(&name, &name));
        }

        #[test]
        fn many_stars_end_soon(stars in 1usize..40) {
            let matched = glob(&format!("{}b", "*a".repeat(stars)), &"a".repeat(200));
            prop_assert!(!matched);
        }
    }
}
