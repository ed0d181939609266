//! `DebootstrapOutput`: parses what debootstrap writes for programs (`--debian-installer`): progress, information, errors. Pure.

use model::Meter;
use model::meter::Unit;

/// A line of debootstrap's output.
#[derive(Debug, PartialEq, Eq)]
pub enum DebootstrapLine {
    /// Progress of a step.
    Meter(Meter),
    /// The error that it ends with.
    Error(String),
    /// A part of something, or nothing worth showing.
    Nothing,
    /// Not a message of debootstrap: output of a program.
    Text,
}

/// Parses debootstrap's output, line by line.
#[derive(Debug, Default)]
pub struct DebootstrapOutput {
    step: Option<(&'static str, Unit)>,
    error: Vec<String>,
}

impl DebootstrapOutput {
    /// Parses one line.
    pub fn read_line(&mut self, line: &str) -> DebootstrapLine {
        let Some((mark, rest)) = line.split_once(": ") else { return DebootstrapLine::Text };
        match mark {
            "P" => self.measured(rest).map_or(DebootstrapLine::Nothing, DebootstrapLine::Meter),
            "E" => {
                self.error.clear();
                DebootstrapLine::Nothing
            }
            "EA" => {
                self.error.push(rest.to_owned());
                DebootstrapLine::Nothing
            }
            "EF" => {
                let mut pieces = rest.split("%s");
                let first = pieces.next().unwrap_or_default().to_owned();
                let mut arguments = std::mem::take(&mut self.error).into_iter();
                DebootstrapLine::Error(pieces.fold(first, |text, piece| text + &arguments.next().unwrap_or_default() + piece))
            }
            "PA" | "PF" | "I" | "IA" | "IF" | "W" | "WA" => DebootstrapLine::Nothing,
            _ => DebootstrapLine::Text,
        }
    }

    /// `0 56620099 DOWNDEBS`; without a name it is of the last one.
    fn measured(&mut self, text: &str) -> Option<Meter> {
        let mut words = text.split_whitespace();
        let (done, total): (u64, u64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        if let Some(name) = words.next() {
            self.step = match name {
                "DOWNPKGS" => Some(("fetching the list of packages", Unit::Bytes)),
                "DOWNDEBS" => Some(("fetching packages", Unit::Bytes)),
                "EXTRACTPKGS" => Some(("extracting packages", Unit::Count("package"))),
                "UNPACKREQ" | "UNPACKBASE" => Some(("unpacking packages", Unit::Count("package"))),
                "CONFREQ" | "CONFBASE" => Some(("configuring packages", Unit::Count("package"))),
                _ => None,
            };
        }
        let (what, unit) = self.step?;
        // It counts one more package than it said there would be.
        Some(Meter { what: what.into(), done: done.min(total), total, unit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_belong_to_their_step() {
        let mut output = DebootstrapOutput::default();
        assert_eq!(output.read_line("P: 36 100"), DebootstrapLine::Nothing);
        assert_eq!(output.read_line("P: 0 56620099 DOWNDEBS"), DebootstrapLine::Meter(Meter::bytes("fetching packages", 0, 56_620_099)));
        assert_eq!(output.read_line("P: 566200 56620099"), DebootstrapLine::Meter(Meter::bytes("fetching packages", 566_200, 56_620_099)));
        let DebootstrapLine::Meter(extracting) = output.read_line("P: 3 78 EXTRACTPKGS") else { panic!("no measurement") };
        assert_eq!(extracting.line(0), "extracting packages: 3%, 3 of 78 packages after 0 s");
        let DebootstrapLine::Meter(configured) = output.read_line("P: 79 78 CONFREQ") else { panic!("no measurement") };
        assert_eq!(configured.line(0), "configuring packages: 100%, 78 of 78 packages after 0 s");
        assert_eq!(output.read_line("P: 1 7 INSTCORE"), DebootstrapLine::Nothing);
        assert_eq!(output.read_line("P: 2 7"), DebootstrapLine::Nothing);
    }

    #[test]
    fn an_error_is_put_together() {
        let mut output = DebootstrapOutput::default();
        let lines = ["I: RETRIEVING", "IF: Retrieving %s %s", "E: NOGETREL", "EA: http://mirror/dists/trixie/Release"];
        assert!(lines.iter().all(|line| output.read_line(line) == DebootstrapLine::Nothing));
        let told = output.read_line("EF: Failed getting release file %s");
        assert_eq!(told, DebootstrapLine::Error("Failed getting release file http://mirror/dists/trixie/Release".into()));
        assert_eq!(output.read_line("Setting up tzdata (2026) ..."), DebootstrapLine::Text);
    }
}
