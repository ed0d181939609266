//! Version pins: which version of a tool a source asks for, and which of those that the stack has it gets.
//!
//! Pure: the source's files and the stack's versions are arguments.

use serde::{Deserialize, Serialize};

use crate::source::SourceTree;
use crate::template::version::{Syntax, Version, Wanted};

/// Where a pin may stand and how it is read. Data of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinSource {
    /// The file, relative to the app's folder.
    pub file: String,
    /// How the value is found in the file.
    #[serde(default)]
    pub read: Read,
    /// The key for `json`, `toml` and `word`: dotted path, or the word before the value.
    #[serde(default)]
    pub key: String,
    /// How the value is written.
    pub syntax: Syntax,
    /// Whether a version outside of it is refused, instead of taken with a warning.
    #[serde(default)]
    pub hard: bool,
}

/// How a value is found in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Read {
    /// The first line that is neither blank nor a comment.
    #[default]
    Line,
    /// A dotted path into a JSON document.
    Json,
    /// A dotted path into a TOML document.
    Toml,
    /// The word after `key` on a line that begins with it.
    Word,
}

/// How far a soft pin may be stretched towards a newer version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Newer {
    /// Not at all, except for the last number.
    #[default]
    None,
    /// Within the same first number.
    SameMajor,
    /// To any newer version of the tool.
    Any,
}

/// A pin that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The file that it stands in.
    pub file: String,
    /// The value as written.
    pub text: String,
    /// The value as understood; none when it can not be.
    pub wanted: Option<Wanted>,
    /// Whether a version outside of it is refused.
    pub hard: bool,
}

/// Which version a tool gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// No pin: the newest version.
    Default(Version),
    /// A version that the pin allows.
    Exact(Version, Pin),
    /// Not what was asked, but near enough to try.
    Nearest(Version, Pin),
    /// The pin can not be understood; the newest is taken.
    Unread(Version, Pin),
    /// Nothing near enough is there.
    Refused(Pin),
    /// The stack has no version of the tool at all.
    Missing,
}

impl Choice {
    /// The chosen version, when there is one.
    pub fn version(&self) -> Option<Version> {
        match self {
            Self::Default(version) | Self::Exact(version, _) | Self::Nearest(version, _) | Self::Unread(version, _) => Some(*version),
            Self::Refused(_) | Self::Missing => None,
        }
    }
}

/// Every pin that a source holds, in the order of `sources`.
pub fn find(sources: &[PinSource], tree: &dyn SourceTree) -> Vec<Pin> {
    let found = |source: &PinSource| {
        let text = tree.text(&source.file)?;
        let value = value(&text, source)?;
        let wanted = Wanted::parse(&value, source.syntax);
        Some(Pin { file: source.file.clone(), text: value, wanted, hard: source.hard })
    };
    sources.iter().filter_map(found).collect()
}

fn value(text: &str, source: &PinSource) -> Option<String> {
    let value = match source.read {
        Read::Line => text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?.to_owned(),
        Read::Json => {
            let document: serde_json::Value = serde_json::from_str(text).ok()?;
            source.key.split('.').try_fold(&document, |at, key| at.get(key))?.as_str()?.to_owned()
        }
        Read::Toml => {
            let document: toml::Value = toml::from_str(text).ok()?;
            source.key.split('.').try_fold(&document, |at, key| at.get(key))?.as_str()?.to_owned()
        }
        Read::Word => text.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some(source.key.as_str())).then(|| words.next()).flatten().map(str::to_owned)
        })?,
    };
    // A pin is shown to people: what is not a short plain text is none.
    (!value.is_empty() && value.len() <= 100 && !value.chars().any(char::is_control)).then_some(value)
}

/// Chooses among the versions of a stack. All hard pins must hold; the first soft one decides among what is left.
pub fn choose(pins: &[Pin], available: &[Version], newer: Newer) -> Choice {
    let Some(newest) = available.iter().max().copied() else { return Choice::Missing };
    let mut candidates: Vec<Version> = available.to_vec();
    for pin in pins.iter().filter(|pin| pin.hard) {
        if let Some(wanted) = &pin.wanted {
            candidates.retain(|version| wanted.allows(*version));
            if candidates.is_empty() {
                return Choice::Refused(pin.clone());
            }
        }
    }
    let Some(best) = candidates.iter().max().copied() else { return Choice::Missing };
    let Some(pin) = pins.iter().find(|pin| !pin.hard).or_else(|| pins.first()) else { return Choice::Default(newest) };
    let Some(wanted) = &pin.wanted else { return Choice::Unread(best, pin.clone()) };
    if let Some(version) = candidates.iter().copied().filter(|version| wanted.allows(*version)).max() {
        return Choice::Exact(version, pin.clone());
    }
    let near = |version: &Version| match wanted.lowest() {
        None => false,
        Some(low) if version.0[..2] == low.0[..2] => true,
        Some(low) => match newer {
            Newer::None => false,
            Newer::SameMajor => *version > low && version.major() == low.major(),
            Newer::Any => *version > low,
        },
    };
    match candidates.iter().copied().filter(near).min() {
        Some(version) => Choice::Nearest(version, pin.clone()),
        None => Choice::Refused(pin.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pin(text: &str, syntax: Syntax, hard: bool) -> Pin {
        Pin { file: "f".into(), text: text.into(), wanted: Wanted::parse(text, syntax), hard }
    }

    const HAVE: &[Version] = &[Version([3, 13, 5])];

    #[test]
    fn a_wish_is_met_stretched_or_refused() {
        let soft = |text| choose(&[pin(text, Syntax::Plain, false)], HAVE, Newer::SameMajor);
        assert!(matches!(soft("3.13"), Choice::Exact(..)));
        assert!(matches!(soft("3.13.1"), Choice::Nearest(..)));
        assert!(matches!(soft("3.13.9"), Choice::Nearest(..)));
        assert!(matches!(soft("3.11"), Choice::Nearest(..)));
        assert!(matches!(soft("3.14"), Choice::Refused(_)));
        assert!(matches!(soft("2.7"), Choice::Refused(_)));
        assert!(matches!(soft("pypy3"), Choice::Unread(..)));
        assert!(matches!(choose(&[], HAVE, Newer::None), Choice::Default(_)));
        assert!(matches!(choose(&[], &[], Newer::None), Choice::Missing));
    }

    #[test]
    fn a_demand_is_never_stretched() {
        assert!(matches!(choose(&[pin("<3.13", Syntax::Pep440, true)], HAVE, Newer::Any), Choice::Refused(_)));
        let both = [pin("3.11", Syntax::Plain, false), pin(">=3.10", Syntax::Pep440, true)];
        assert!(matches!(choose(&both, HAVE, Newer::SameMajor), Choice::Nearest(..)));
    }

    proptest! {
        #[test]
        fn a_chosen_version_is_one_that_is_there(texts in proptest::collection::vec("[<>=^~]{0,2}[0-9]{1,2}(\\.[0-9]{1,2}){0,2}", 0..4), hard in any::<bool>(), have in proptest::collection::vec((0u64..5, 0u64..20, 0u64..9), 0..4)) {
            let have: Vec<_> = have.into_iter().map(|(a, b, c)| Version([a, b, c])).collect();
            let pins: Vec<_> = texts.iter().map(|text| pin(text, Syntax::Npm, hard)).collect();
            for newer in [Newer::None, Newer::SameMajor, Newer::Any] {
                let choice = choose(&pins, &have, newer);
                if let Some(version) = choice.version() {
                    prop_assert!(have.contains(&version));
                    for demand in pins.iter().filter(|pin| pin.hard) {
                        prop_assert!(demand.wanted.as_ref().is_none_or(|wanted| wanted.allows(version)));
                    }
                }
            }
        }
    }
}
