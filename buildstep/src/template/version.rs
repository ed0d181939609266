//! `Version` and `Wanted`: version numbers, and the ways in which ecosystems ask for them.
//!
//! Owns the parsing of plain, npm and PEP 440 requirements and whether a version satisfies one. It must never know what is
//! installed: that is an argument.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A version of up to three numbers; missing ones are zero. Pre-release tags are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub [u64; 3]);

impl Version {
    /// Reads the first version in a text: `Python 3.13.5`, `go version go1.24.4`, `v20.19.2`.
    pub fn find(text: &str) -> Option<Self> {
        text.split(|c: char| c.is_whitespace() || c == ',').find_map(|word| {
            let word = word.trim_start_matches(|c: char| !c.is_ascii_digit());
            Prefix::parse(word).filter(|prefix| prefix.0.len() >= 2).map(|prefix| prefix.floor())
        })
    }

    /// The first number.
    pub fn major(self) -> u64 {
        self.0[0]
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0[0], self.0[1], self.0[2])
    }
}

/// The first numbers of a version: `3`, `3.13`, `3.13.5`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Prefix(Vec<u64>);

impl Prefix {
    /// Reads numbers and dots; stops at what is neither (`-rc1`, `+local`, `.x`, `.*`).
    fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        for part in text.split('.').take(3) {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            if digits.is_empty() {
                break;
            }
            parts.push(digits.parse().ok()?);
            if digits.len() != part.len() {
                break;
            }
        }
        (!parts.is_empty()).then_some(Self(parts))
    }

    fn floor(&self) -> Version {
        let mut numbers = [0; 3];
        numbers[..self.0.len()].copy_from_slice(&self.0);
        Version(numbers)
    }

    /// The first version after all that begin with this prefix, cut to `len` numbers first.
    fn next(&self, len: usize) -> Version {
        let mut numbers = [0; 3];
        let len = len.clamp(1, self.0.len());
        numbers[..len].copy_from_slice(&self.0[..len]);
        numbers[len - 1] = numbers[len - 1].saturating_add(1);
        Version(numbers)
    }

    fn covers(&self, version: Version) -> bool {
        version.0[..self.0.len()] == self.0[..]
    }
}

/// How a requirement is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Syntax {
    /// A version or the beginning of one: `3.12`, `python-3.12.4`, `v20`, `lts/iron`.
    Plain,
    /// Ranges of npm: `^20`, `>=18 <21`, `18 || 20`, `18.x`.
    Npm,
    /// Specifiers of PEP 440, and Poetry's: `>=3.10,<4`, `~=3.12`, `==3.13.*`, `^3.11`.
    Pep440,
    /// At least this version: the `go` line of go.mod.
    Minimum,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Bound {
    AtLeast(Version),
    Below(Version),
    Within(Prefix),
    Without(Prefix),
}

impl Bound {
    fn allows(&self, version: Version) -> bool {
        match self {
            Self::AtLeast(bound) => version >= *bound,
            Self::Below(bound) => version < *bound,
            Self::Within(prefix) => prefix.covers(version),
            Self::Without(prefix) => !prefix.covers(version),
        }
    }
}

/// A requirement: one of several sets of bounds, all of a set together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    sets: Vec<Vec<Bound>>,
}

/// Names that Node's long-term releases go by in `.nvmrc`.
const NODE_LTS: &[(&str, u64)] =
    &[("dubnium", 10), ("erbium", 12), ("fermium", 14), ("gallium", 16), ("hydrogen", 18), ("iron", 20), ("jod", 22), ("krypton", 24)];

impl Wanted {
    /// Reads a requirement; none when it can not be understood.
    pub fn parse(text: &str, syntax: Syntax) -> Option<Self> {
        let text = text.trim().trim_matches('"').trim();
        match syntax {
            Syntax::Plain => plain(text).map(|set| Self { sets: vec![set] }),
            Syntax::Minimum => {
                Prefix::parse(text.trim_start_matches("go")).map(|prefix| Self { sets: vec![vec![Bound::AtLeast(prefix.floor())]] })
            }
            Syntax::Npm | Syntax::Pep440 => {
                let sets = text.split("||").map(|part| ranges(part, syntax)).collect::<Option<Vec<_>>>()?;
                Some(Self { sets })
            }
        }
    }

    /// Whether a version will do.
    pub fn allows(&self, version: Version) -> bool {
        self.sets.iter().any(|set| set.iter().all(|bound| bound.allows(version)))
    }

    /// The lowest version that is asked for, when any is.
    pub fn lowest(&self) -> Option<Version> {
        let of_set = |set: &Vec<Bound>| {
            set.iter()
                .filter_map(|bound| match bound {
                    Bound::AtLeast(version) => Some(*version),
                    Bound::Within(prefix) => Some(prefix.floor()),
                    Bound::Below(_) | Bound::Without(_) => None,
                })
                .max()
        };
        self.sets.iter().filter_map(of_set).min()
    }
}

fn plain(text: &str) -> Option<Vec<Bound>> {
    let lower = text.to_ascii_lowercase();
    if matches!(lower.as_str(), "lts/*" | "lts" | "node" | "stable" | "latest" | "*") {
        return Some(Vec::new());
    }
    if let Some(name) = lower.strip_prefix("lts/") {
        let (_, major) = NODE_LTS.iter().find(|(known, _)| *known == name)?;
        return Some(vec![Bound::Within(Prefix(vec![*major]))]);
    }
    let digits =
        ["cpython-", "python-", "cpython", "python", "node-", "go", "v"].iter().find_map(|lead| lower.strip_prefix(lead)).unwrap_or(&lower);
    Prefix::parse(digits).map(|prefix| vec![Bound::Within(prefix)])
}

/// Reads one alternative: bounds that must all hold.
fn ranges(text: &str, syntax: Syntax) -> Option<Vec<Bound>> {
    if let Some((from, to)) = text.split_once(" - ") {
        let (from, to) = (Prefix::parse(bare(from))?, Prefix::parse(bare(to))?);
        return Some(vec![Bound::AtLeast(from.floor()), Bound::Below(to.next(to.0.len()))]);
    }
    let mut set = Vec::new();
    for word in words(text) {
        let split = word.find(|c: char| !"<>=!~^".contains(c)).unwrap_or(word.len());
        let (operator, number) = word.split_at(split);
        let number = bare(number);
        if matches!(number, "*" | "x" | "X" | "latest" | "node" | "lts") {
            continue;
        }
        let prefix = Prefix::parse(number)?;
        set.extend(bounds(operator, prefix, number, syntax)?);
    }
    Some(set)
}

fn bounds(operator: &str, prefix: Prefix, number: &str, syntax: Syntax) -> Option<Vec<Bound>> {
    let len = prefix.0.len();
    let floor = prefix.floor();
    // npm reads `<=18` as "up to any 18"; PEP 440 pads with zeros.
    let after = if syntax == Syntax::Npm { prefix.next(len) } else { prefix.next_exact() };
    Some(match operator {
        ">=" => vec![Bound::AtLeast(floor)],
        ">" => vec![Bound::AtLeast(after)],
        "<" => vec![Bound::Below(floor)],
        "<=" => vec![Bound::Below(after)],
        "!=" => vec![Bound::Without(if number.ends_with('*') { prefix } else { prefix.padded() })],
        "==" | "===" | "=" | "" => {
            let open = number.ends_with(['*', 'x', 'X']) || syntax == Syntax::Npm || operator.is_empty();
            vec![Bound::Within(if open { prefix } else { prefix.padded() })]
        }
        "~=" => vec![Bound::AtLeast(floor), Bound::Below(prefix.next(len.saturating_sub(1).max(1)))],
        "~" => vec![Bound::AtLeast(floor), Bound::Below(prefix.next(len.min(2)))],
        "^" => {
            let first = prefix.0.iter().position(|part| *part != 0).unwrap_or(len - 1);
            vec![Bound::AtLeast(floor), Bound::Below(prefix.next(first + 1))]
        }
        _ => return None,
    })
}

impl Prefix {
    /// The version right after this one, missing numbers taken as zero.
    fn next_exact(&self) -> Version {
        let mut version = self.floor();
        version.0[2] = version.0[2].saturating_add(1);
        version
    }

    fn padded(&self) -> Self {
        Self(self.floor().0.to_vec())
    }
}

fn bare(text: &str) -> &str {
    text.trim().trim_start_matches(['v', 'V', '='])
}

/// Splits at spaces and commas, and joins an operator to the number after it: `>= 18` is one word.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()) {
        match words.last_mut() {
            Some(last) if last.chars().all(|c| "<>=!~^".contains(c)) => last.push_str(word),
            _ => words.push(word.to_owned()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(text: &str) -> Version {
        Prefix::parse(text).expect("a version").floor()
    }

    fn allows(requirement: &str, syntax: Syntax, candidate: &str) -> bool {
        Wanted::parse(requirement, syntax).expect("a requirement").allows(version(candidate))
    }

    #[test]
    fn versions_are_found_in_what_tools_print() {
        assert_eq!(Version::find("Python 3.13.5"), Some(Version([3, 13, 5])));
        assert_eq!(Version::find("go version go1.24.4 linux/amd64"), Some(Version([1, 24, 4])));
        assert_eq!(Version::find("v20.19.2"), Some(Version([20, 19, 2])));
        assert_eq!(Version::find("nginx version: nginx/1.26.3"), Some(Version([1, 26, 3])));
        assert_eq!(Version::find("nothing here"), None);
    }

    #[test]
    fn npm_ranges() {
        for (range, yes, no) in [
            ("20", "20.19.2", "18.1.0"),
            ("20.x", "20.19.2", "21.0.0"),
            (">=18", "20.19.2", "16.0.0"),
            (">= 18 < 21", "20.19.2", "21.0.0"),
            ("^20.1.0", "20.19.2", "20.0.9"),
            ("~20.19", "20.19.2", "20.20.0"),
            ("16 || 18 || 20", "20.19.2", "19.0.0"),
            ("18 - 20", "20.19.2", "21.0.0"),
            ("<=20", "20.19.2", "21.0.0"),
            (">18", "19.0.0", "18.20.0"),
            ("v20.19.2", "20.19.2", "20.19.3"),
            ("^0.10.3", "0.10.9", "0.11.0"),
        ] {
            assert!(allows(range, Syntax::Npm, yes), "{range} must allow {yes}");
            assert!(!allows(range, Syntax::Npm, no), "{range} must not allow {no}");
        }
        assert!(allows("*", Syntax::Npm, "20.0.0"));
        assert!(Wanted::parse("whatever works", Syntax::Npm).is_none());
    }

    #[test]
    fn pep_440_specifiers() {
        for (range, yes, no) in [
            (">=3.10,<4", "3.13.5", "3.9.9"),
            ("~=3.12", "3.13.5", "4.0.0"),
            ("~=3.13.1", "3.13.5", "3.14.0"),
            ("==3.13.*", "3.13.5", "3.12.1"),
            (">=3.9, !=3.10.*", "3.13.5", "3.10.2"),
            ("<3.13", "3.12.9", "3.13.5"),
            ("<=3.13", "3.13.0", "3.13.5"),
            ("^3.11", "3.13.5", "4.0.0"),
        ] {
            assert!(allows(range, Syntax::Pep440, yes), "{range} must allow {yes}");
            assert!(!allows(range, Syntax::Pep440, no), "{range} must not allow {no}");
        }
    }

    #[test]
    fn plain_pins() {
        assert!(allows("python-3.13.5", Syntax::Plain, "3.13.5"));
        assert!(allows("3.13", Syntax::Plain, "3.13.5"));
        assert!(allows("v20", Syntax::Plain, "20.19.2"));
        assert!(allows("lts/iron", Syntax::Plain, "20.19.2"));
        assert!(allows("lts/*", Syntax::Plain, "20.19.2"));
        assert!(!allows("3.1", Syntax::Plain, "3.13.5"));
        assert!(allows("1.22", Syntax::Minimum, "1.24.4"));
        assert!(!allows("1.25", Syntax::Minimum, "1.24.4"));
        assert!(Wanted::parse("pypy", Syntax::Plain).is_none());
    }

    proptest! {
        #[test]
        fn nothing_panics_and_caret_stays_within_a_major(text in ".{0,40}", a in 1u64..50, b in 0u64..50, c in 0u64..50, d in 0u64..60) {
            for syntax in [Syntax::Plain, Syntax::Npm, Syntax::Pep440, Syntax::Minimum] {
                if let Some(wanted) = Wanted::parse(&text, syntax) {
                    let _ = wanted.allows(Version([a, b, c]));
                    let _ = wanted.lowest();
                }
            }
            let caret = Wanted::parse(&format!("^{a}.{b}.{c}"), Syntax::Npm).expect("a range");
            prop_assert!(caret.allows(Version([a, b, c])));
            prop_assert!(!caret.allows(Version([a + 1, 0, 0])));
            prop_assert_eq!(caret.allows(Version([a, d, c])), d >= b);
        }
    }
}
