//! Times as people read them. Pure: now comes in.

use chrono::TimeDelta;
use model::Time;
use serde::Serialize;

/// An instant for a page: for people, for the script that keeps it fresh, and in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct When {
    /// `3 min ago`
    pub(crate) ago: String,
    /// RFC 3339
    pub(crate) iso: String,
    /// `2026-05-04 12:00:00 UTC`
    pub(crate) full: String,
}

/// How long ago, in one unit.
fn ago(passed: TimeDelta) -> String {
    let seconds = passed.num_seconds();
    match seconds {
        ..10 => "just now".into(),
        10..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        86_400..1_209_600 => plural(seconds / 86_400, "day"),
        1_209_600..5_184_000 => plural(seconds / 604_800, "week"),
        5_184_000..63_072_000 => plural(seconds / 2_592_000, "month"),
        _ => plural(seconds / 31_536_000, "year"),
    }
}

fn plural(n: i64, unit: &str) -> String {
    if n == 1 { format!("1 {unit} ago") } else { format!("{n} {unit}s ago") }
}

/// An instant seen from now.
pub(crate) fn when(at: Time, now: Time) -> When {
    When {
        ago: ago(now - at),
        iso: at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        full: at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_one_unit() {
        let at = |seconds| ago(TimeDelta::seconds(seconds));
        assert_eq!([at(-5), at(42), at(60), at(7_200)], ["just now", "42 s ago", "1 min ago", "2 h ago"]);
        assert_eq!(
            [at(86_400), at(86_400 * 20), at(86_400 * 90), at(86_400 * 800)],
            ["1 day ago", "2 weeks ago", "3 months ago", "2 years ago"]
        );
    }
}
