//! `Meter`: how far a long step is, as it was measured, and how that reads: a bar on a terminal, a line in a log.
//!
//! Pure: width and elapsed time come in. Nothing is drawn that was not measured, so a step without a known size has no meter.

use crate::push_output;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Things, by the word for one of them.
    Count(&'static str),
    /// Parts of a whole of which only the share is known.
    Share,
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meter {
    /// The step: `fetching packages`.
    pub what: String,
    /// What is done.
    pub done: u64,
    /// What there is to do.
    pub total: u64,
    /// What is counted.
    pub unit: Unit,
}

/// A wider bar tells no more.
const WIDEST: usize = 40;
/// A narrower bar tells nothing.
const NARROWEST: usize = 10;
/// A log gets a line no more often than this, in milliseconds.
const EVERY_MS: u64 = 10_000;

impl Meter {
    /// A measurement in bytes.
    pub fn bytes(what: impl Into<String>, done: u64, total: u64) -> Self {
        Self { what: what.into(), done, total, unit: Unit::Bytes }
    }

    /// Hundredths that are done, never rounded up: 100 is the end and nothing else.
    fn percent(&self) -> u64 {
        let done = u128::from(self.done.min(self.total));
        (done * 100).checked_div(u128::from(self.total)).map_or(100, |percent| percent as u64)
    }

    fn amount(&self) -> Option<String> {
        let done = self.done.min(self.total);
        match self.unit {
            Unit::Bytes => {
                let (done, total) = (push_output::size(done), push_output::size(self.total));
                let unit = total.rsplit_once(' ').map_or("", |(_, unit)| unit);
                Some(format!("{} of {total}", done.strip_suffix(&format!(" {unit}")).unwrap_or(&done)))
            }
            Unit::Count(one) => Some(format!("{done} of {}", push_output::count(self.total, one))),
            Unit::Share => None,
        }
    }

    /// As one line of at most `width` columns: the bar takes what the words leave, and goes when that is too little.
    pub fn bar(&self, width: usize, elapsed_ms: u64) -> String {
        let percent = self.percent();
        let amount = self.amount().map(|amount| format!("  {amount}")).unwrap_or_default();
        let tail = format!("{percent:>3}%{amount}  {}s", elapsed_ms / 1_000);
        let head = push_output::detail(&self.what);
        let words = head.chars().count() + tail.chars().count();
        let room = width.saturating_sub(words + "  []  ".len()).min(WIDEST);
        let line = if room < NARROWEST {
            format!("{head}  {tail}")
        } else {
            let full = (u128::from(self.done.min(self.total)) * room as u128).checked_div(u128::from(self.total)).unwrap_or(room as u128);
            let full = full as usize;
            let tip = if full < room { ">" } else { "" };
            format!("{head}  [{}{tip}{}]  {tail}", "=".repeat(full), " ".repeat(room - full - tip.len()))
        };
        line.chars().take(width).collect()
    }

    /// As a line of a log.
    pub fn line(&self, elapsed_ms: u64) -> String {
        let amount = self.amount().map(|amount| format!(", {amount}")).unwrap_or_default();
        format!("{}: {}%{amount} after {} s", self.what, self.percent(), elapsed_ms / 1_000)
    }
}

/// When a log gets the next line of a meter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    said_ms: u64,
}

impl Pace {
    /// Whether a line is due, this long after the step began; a yes is taken for said.
    pub fn is_due(&mut self, elapsed_ms: u64) -> bool {
        let due = elapsed_ms.saturating_sub(self.said_ms) >= EVERY_MS;
        if due {
            self.said_ms = elapsed_ms;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packages() -> Meter {
        Meter::bytes("fetching packages", 41_000_000, 66_100_000)
    }

    #[test]
    fn a_bar_fills_what_the_words_leave() {
        assert_eq!(packages().bar(80, 12_900), "       fetching packages  [==============>         ]   62%  41.0 of 66.1 MB  12s");
        assert_eq!(packages().bar(50, 12_900), "       fetching packages   62%  41.0 of 66.1 MB  12s".get(..50).expect("ASCII"));
        assert!(packages().bar(200, 0).contains(&format!("[{}>{}]", "=".repeat(24), " ".repeat(15))));
        let begun = Meter { done: 900_000, ..packages() };
        assert!(begun.bar(80, 0).contains("  1%  900.0 kB of 66.1 MB  0s"), "{}", begun.bar(80, 0));
    }

    #[test]
    fn counts_and_shares_read_well() {
        let unpacked = Meter { what: "unpacking".into(), done: 3, total: 78, unit: Unit::Count("package") };
        assert!(unpacked.bar(80, 1_000).ends_with("]    3%  3 of 78 packages  1s"));
        assert_eq!(unpacked.line(31_000), "unpacking: 3%, 3 of 78 packages after 31 s");
        let share = Meter { done: 9_999, total: 10_000, unit: Unit::Share, ..unpacked };
        assert_eq!(share.line(0), "unpacking: 99% after 0 s");
    }

    #[test]
    fn a_log_gets_a_line_each_ten_seconds() {
        let mut pace = Pace::default();
        let due: Vec<u64> = (0..40).map(|n| n * 700).filter(|at| pace.is_due(*at)).collect();
        assert_eq!(due, [10_500, 20_300 + 700]);
    }

    proptest! {
        #[test]
        fn a_bar_never_leaves_its_line(what in "[a-zé ]{0,60}", done: u64, total: u64, width in 0usize..300, elapsed_ms: u64) {
            let meter = Meter::bytes(what, done, total);
            let bar = meter.bar(width, elapsed_ms);
            prop_assert!(bar.chars().count() <= width && !bar.contains(['\r', '\n']), "{bar}");
            prop_assert_eq!(meter.percent() == 100, done >= total);
        }
    }
}
