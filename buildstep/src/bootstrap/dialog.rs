//! `Dialog`: what debootstrap tells programs (`--debian-installer`): measurements, information and errors, each in lines. Pure.

use model::Meter;
use model::meter::Unit;

/// What a line was.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// How far it is.
    Measured(Meter),
    /// Why it fails.
    Error(String),
    /// A part of something, or nothing worth showing.
    Nothing,
    /// Not of the dialog: output of a program.
    Words,
}

/// Reads the dialog.
#[derive(Debug, Default)]
pub struct Dialog {
    step: Option<(&'static str, Unit)>,
    error: Vec<String>,
}

impl Dialog {
    /// Takes a line.
    pub fn hear(&mut self, line: &str) -> Heard {
        let Some((mark, rest)) = line.split_once(": ") else { return Heard::Words };
        match mark {
            "P" => self.measured(rest).map_or(Heard::Nothing, Heard::Measured),
            "E" => {
                self.error.clear();
                Heard::Nothing
            }
            "EA" => {
                self.error.push(rest.to_owned());
                Heard::Nothing
            }
            "EF" => {
                let mut pieces = rest.split("%s");
                let first = pieces.next().unwrap_or_default().to_owned();
                let mut arguments = std::mem::take(&mut self.error).into_iter();
                Heard::Error(pieces.fold(first, |text, piece| text + &arguments.next().unwrap_or_default() + piece))
            }
            "PA" | "PF" | "I" | "IA" | "IF" | "W" | "WA" => Heard::Nothing,
            _ => Heard::Words,
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
        let mut dialog = Dialog::default();
        assert_eq!(dialog.hear("P: 36 100"), Heard::Nothing);
        assert_eq!(dialog.hear("P: 0 56620099 DOWNDEBS"), Heard::Measured(Meter::bytes("fetching packages", 0, 56_620_099)));
        assert_eq!(dialog.hear("P: 566200 56620099"), Heard::Measured(Meter::bytes("fetching packages", 566_200, 56_620_099)));
        let Heard::Measured(extracting) = dialog.hear("P: 3 78 EXTRACTPKGS") else { panic!("no measurement") };
        assert_eq!(extracting.line(0), "extracting packages: 3%, 3 of 78 packages after 0 s");
        let Heard::Measured(configured) = dialog.hear("P: 79 78 CONFREQ") else { panic!("no measurement") };
        assert_eq!(configured.line(0), "configuring packages: 100%, 78 of 78 packages after 0 s");
        assert_eq!(dialog.hear("P: 1 7 INSTCORE"), Heard::Nothing);
        assert_eq!(dialog.hear("P: 2 7"), Heard::Nothing);
    }

    #[test]
    fn an_error_is_put_together() {
        let mut dialog = Dialog::default();
        let lines = ["I: RETRIEVING", "IF: Retrieving %s %s", "E: NOGETREL", "EA: http://mirror/dists/trixie/Release"];
        assert!(lines.iter().all(|line| dialog.hear(line) == Heard::Nothing));
        let told = dialog.hear("EF: Failed getting release file %s");
        assert_eq!(told, Heard::Error("Failed getting release file http://mirror/dists/trixie/Release".into()));
        assert_eq!(dialog.hear("Setting up tzdata (2026) ..."), Heard::Words);
    }
}
