//! One node of a YAML document with its place, and the typed questions that the manifest asks of it.

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};

use crate::name::InvalidName;

/// What is wrong with an `app.yaml`, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("app.yaml{}: {why}", place(*.line, *.column))]
pub struct ManifestError {
    /// Line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// Column, from 1; 0 for the file as a whole.
    pub column: usize,
    /// What is wrong.
    pub why: String,
}

fn place(line: usize, column: usize) -> String {
    if line == 0 { String::new() } else { format!(" line {line}, column {column}") }
}

impl ManifestError {
    pub(super) fn whole(why: String) -> Self {
        Self { line: 0, column: 0, why }
    }
}

/// A node.
pub(super) struct Node<'a>(MarkedYaml<'a>);

/// A mapping whose keys have been checked, to be taken one by one.
pub(super) struct Table<'a>(Vec<(String, Node<'a>)>);

impl<'a> Table<'a> {
    pub(super) fn take(&mut self, key: &str) -> Option<Node<'a>> {
        let index = self.0.iter().position(|(name, _)| name == key)?;
        let (_, node) = self.0.swap_remove(index);
        // `key:` with nothing behind it says nothing.
        (!matches!(node.0.data, YamlData::Value(Scalar::Null))).then_some(node)
    }
}

impl<'a> Node<'a> {
    /// The only document of a text; none when the text holds nothing.
    pub(super) fn load(text: &'a str) -> Result<Option<Self>, ManifestError> {
        let mut documents = MarkedYaml::load_from_str(text).map_err(|error| ManifestError {
            line: error.marker().line(),
            column: error.marker().col() + 1,
            why: error.info().to_owned(),
        })?;
        if documents.len() > 1 {
            return Err(Self(documents.remove(1)).error("a second document; app.yaml holds one".into()));
        }
        Ok(documents.pop().map(Self).filter(|node| !matches!(node.0.data, YamlData::Value(Scalar::Null))))
    }

    pub(super) fn error(&self, why: String) -> ManifestError {
        ManifestError { line: self.0.span.start.line(), column: self.0.span.start.col() + 1, why }
    }

    pub(super) fn is_scalar(&self) -> bool {
        matches!(self.0.data, YamlData::Value(_) | YamlData::Representation(..))
    }

    /// The pairs of a mapping, in order.
    pub(super) fn entries(&self) -> Result<Vec<(Node<'a>, Node<'a>)>, ManifestError> {
        match &self.0.data {
            YamlData::Mapping(pairs) => Ok(pairs.iter().map(|(key, value)| (Node(key.clone()), Node(value.clone()))).collect()),
            _ => Err(self.error("expected a table of keys".into())),
        }
    }

    /// The pairs of a mapping that may hold at most `most` of them.
    pub(super) fn entries_up_to(&self, most: usize, what: &str) -> Result<Vec<(Node<'a>, Node<'a>)>, ManifestError> {
        let entries = self.entries()?;
        if entries.len() > most {
            return Err(self.error(format!("{} {what} are too many; at most {most} are allowed", entries.len())));
        }
        Ok(entries)
    }

    /// A mapping that may hold only `known` keys.
    pub(super) fn table(&self, known: &[&str]) -> Result<Table<'a>, ManifestError> {
        let mut table = Vec::new();
        for (key, value) in self.entries()? {
            let name = key.string()?;
            if !known.contains(&name.as_str()) {
                let nearest = known.iter().map(|k| (strsim::damerau_levenshtein(&name, k), k)).min().filter(|(far, _)| *far <= 3);
                let hint = match nearest {
                    Some((_, nearest)) => format!("; did you mean `{nearest}`?"),
                    None => format!("; known here are {}", known.join(", ")),
                };
                return Err(key.error(format!("unknown key `{name}`{hint}")));
            }
            table.push((name, value));
        }
        Ok(Table(table))
    }

    pub(super) fn is_true(&self) -> bool {
        matches!(self.0.data, YamlData::Value(Scalar::Boolean(true)))
    }

    pub(super) fn string(&self) -> Result<String, ManifestError> {
        match &self.0.data {
            YamlData::Value(Scalar::String(text)) => Ok(text.to_string()),
            YamlData::Value(_) => Err(self.error("expected a text; put it in quotes".into())),
            _ => Err(self.error("expected a text".into())),
        }
    }

    /// Any scalar that has one reading as text.
    pub(super) fn text(&self) -> Result<String, ManifestError> {
        match &self.0.data {
            YamlData::Value(Scalar::String(text)) => Ok(text.to_string()),
            YamlData::Value(Scalar::Integer(number)) => Ok(number.to_string()),
            YamlData::Value(Scalar::Boolean(yes)) => Ok(yes.to_string()),
            YamlData::Value(Scalar::Null) => Ok(String::new()),
            YamlData::Value(Scalar::FloatingPoint(_)) => {
                Err(self.error("put a number with a point in quotes, so that it stays as written".into()))
            }
            _ => Err(self.error("expected a text".into())),
        }
    }

    pub(super) fn command(&self) -> Result<String, ManifestError> {
        let text = self.string()?;
        if text.trim().is_empty() || text.contains('\0') {
            return Err(self.error("expected a command".into()));
        }
        if text.len() > super::MAX_COMMAND {
            return Err(self.error(format!("the command is longer than {} bytes", super::MAX_COMMAND)));
        }
        Ok(text)
    }

    pub(super) fn name<T>(&self) -> Result<T, ManifestError>
    where
        T: std::str::FromStr<Err = InvalidName>,
    {
        self.string()?.parse().map_err(|error: InvalidName| self.error(error.to_string()))
    }

    pub(super) fn integer(&self, least: u32, most: u32) -> Result<u32, ManifestError> {
        let number = match &self.0.data {
            YamlData::Value(Scalar::Integer(number)) => u32::try_from(*number).ok(),
            _ => None,
        };
        number.filter(|n| (least..=most).contains(n)).ok_or_else(|| self.error(format!("expected a whole number from {least} to {most}")))
    }

    /// `0.5`, `2`, `500m`: thousandths of a core.
    pub(super) fn cores(&self) -> Result<u32, ManifestError> {
        let cores = match &self.0.data {
            YamlData::Value(Scalar::Integer(number)) => Some(*number as f64),
            YamlData::Value(Scalar::FloatingPoint(number)) => Some(number.into_inner()),
            YamlData::Value(Scalar::String(text)) => {
                text.strip_suffix('m').and_then(|m| m.parse::<u32>().ok()).map(|m| f64::from(m) / 1000.0)
            }
            _ => None,
        };
        let millis = cores.map(|cores| (cores * 1000.0).round()).filter(|m| (10.0..=1_024_000.0).contains(m));
        millis.map(|m| m as u32).ok_or_else(|| self.error("expected a number of cores such as `0.5`, `2` or `250m`".into()))
    }

    /// `512MB`, `2GB` or `512` (MiB in all three: memory is counted in powers of two).
    pub(super) fn megabytes(&self, least: u32, most: u32) -> Result<u32, ManifestError> {
        let text = self.text()?;
        let upper = text.trim().to_ascii_uppercase();
        let digits = upper.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor = match upper[digits.len()..].trim() {
            "" | "M" | "MB" | "MIB" => Some(1),
            "G" | "GB" | "GIB" => Some(1024),
            _ => None,
        };
        let megabytes = factor.and_then(|factor| digits.trim().parse::<u32>().ok()?.checked_mul(factor));
        megabytes
            .filter(|m| (least..=most).contains(m))
            .ok_or_else(|| self.error(format!("expected an amount of memory such as `512MB` or `2GB`, at least {least}MB")))
    }

    /// `10s`, `5m`, `1h` or a number of seconds.
    pub(super) fn seconds(&self, least: u32, most: u32) -> Result<u32, ManifestError> {
        let text = self.text()?;
        let text = text.trim();
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor = match &text[digits.len()..] {
            "" | "s" => Some(1),
            "m" | "min" => Some(60),
            "h" => Some(3_600),
            _ => None,
        };
        let seconds = factor.and_then(|factor| digits.parse::<u32>().ok()?.checked_mul(factor));
        seconds
            .filter(|s| (least..=most).contains(s))
            .ok_or_else(|| self.error(format!("expected a time such as `10s` or `5m`, from {least} to {most} seconds")))
    }

    /// `200` or `200-299`.
    pub(super) fn statuses(&self) -> Result<(u16, u16), ManifestError> {
        let text = self.text()?;
        let (low, high) = text.split_once('-').unwrap_or((&text, &text));
        match (low.trim().parse::<u16>(), high.trim().parse::<u16>()) {
            (Ok(low), Ok(high)) if (100..600).contains(&low) && (low..600).contains(&high) => Ok((low, high)),
            _ => Err(self.error("expected a status such as `200` or a range such as `200-299`".into())),
        }
    }
}
