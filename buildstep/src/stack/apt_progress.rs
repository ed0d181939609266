//! `AptProgress`: how far `apt-get install` is, out of the lines that it writes for programs (`APT::Status-Fd`). Pure.
//!
//! apt says once how many bytes it will fetch, and then the share that it has; the share of the installing is of dpkg's steps,
//! of which some pass without a word: it ends a little below the whole.

use model::Meter;
use model::meter::Unit;

/// A line of apt's output.
#[derive(Debug, PartialEq, Eq)]
pub enum AptLine {
    /// A status line for programs, with the progress that it reports, if any.
    Status(Option<Meter>),
    /// Output for people.
    Text,
}

/// Parses apt's output, line by line.
#[derive(Debug, Default)]
pub struct AptProgress {
    /// Bytes to fetch.
    total: Option<u64>,
}

/// Shares are told in hundredths of a percent.
const WHOLE: u64 = 10_000;

impl AptProgress {
    /// Parses one line.
    pub fn read_line(&mut self, line: &str) -> AptLine {
        if let Some(size) = line.strip_prefix("Need to get ").and_then(|rest| rest.split_once(" of archives")) {
            // `1,234 kB/66.1 MB` when a part is here already.
            self.total = size.0.split('/').next().and_then(bytes).filter(|total| *total > 0);
            return AptLine::Text;
        }
        if let Some(rest) = line.strip_prefix("dlstatus:") {
            let fetched = |(total, share): (u64, u64)| {
                let done = u128::from(total) * u128::from(share) / u128::from(WHOLE);
                Meter::bytes("fetching packages", done as u64, total)
            };
            return AptLine::Status(self.total.zip(share(rest)).map(fetched));
        }
        if let Some(rest) = line.strip_prefix("pmstatus:") {
            let installed = |done| Meter { what: "installing packages".into(), done, total: WHOLE, unit: Unit::Share };
            return AptLine::Status(share(rest).map(installed));
        }
        AptLine::Text
    }
}

/// The share in `python3:45.4545:Unpacking python3 (amd64)`; the name may hold a colon of its own.
fn share(rest: &str) -> Option<u64> {
    let percent = rest.split(':').skip(1).find_map(|field| field.parse::<f64>().ok())?;
    (0.0..=100.0).contains(&percent).then_some((percent * 100.0) as u64)
}

/// `6398 kB`, `66.1 MB`, as apt writes them.
fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = text.trim().split_once(' ')?;
    let factor = match unit {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        _ => return None,
    };
    Some((number.replace(',', "").parse::<f64>().ok()? * factor) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(heard: AptLine) -> Option<(String, u64, u64)> {
        match heard {
            AptLine::Status(meter) => meter.map(|meter| (meter.what, meter.done, meter.total)),
            AptLine::Text => panic!("taken for words"),
        }
    }

    #[test]
    fn bytes_and_shares_are_heard() {
        let mut apt = AptProgress::default();
        assert_eq!(measured(apt.read_line("dlstatus:1:0.0000:Retrieving file 1 of 12")), None);
        assert_eq!(apt.read_line("Need to get 6398 kB of archives."), AptLine::Text);
        let fetched = measured(apt.read_line("dlstatus:4:45.1792:Retrieving file 4 of 12"));
        assert_eq!(fetched, Some(("fetching packages".into(), 2_889_976, 6_398_000)));
        let installed = measured(apt.read_line("pmstatus:libexpat1:12.5000:Preparing libexpat1 (amd64)"));
        assert_eq!(installed, Some(("installing packages".into(), 1_250, WHOLE)));
        assert_eq!(measured(apt.read_line("pmstatus:libc6:amd64:50.0000:Unpacking libc6")).map(|found| found.1), Some(5_000));
        assert_eq!(measured(apt.read_line("pmstatus:x:nonsense:y")), None);
        assert_eq!(apt.read_line("Setting up python3 ..."), AptLine::Text);
    }

    #[test]
    fn what_is_here_already_is_not_fetched() {
        let mut apt = AptProgress::default();
        apt.read_line("Need to get 1,200 kB/66.1 MB of archives.");
        assert_eq!(apt.total, Some(1_200_000));
        apt.read_line("Need to get 0 B/66.1 MB of archives.");
        assert_eq!(measured(apt.read_line("dlstatus:1:100.0000:Retrieving file 1 of 1")), None);
    }
}
