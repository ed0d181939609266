//! The grammar of push output: what `git push` prints, the build log stores and the page shows.
//!
//! Whatever is put in is cleaned: names of files, branches and commits are written by whoever pushes.
//!
//! `-----> ` opens a step, seven spaces carry its detail, ` !     ` is a failure, `=====> ` is the result.

use crate::clean;
use crate::user_error::UserError;

/// Opens a step.
pub fn step(text: impl AsRef<str>) -> String {
    format!("-----> {}", clean::line(text.as_ref()))
}

/// A detail under the open step.
pub fn detail(text: impl AsRef<str>) -> String {
    format!("       {}", clean::line(text.as_ref()))
}

/// A warning, or one line of a failure.
pub fn warn(text: impl AsRef<str>) -> String {
    format!(" !     {}", clean::line(text.as_ref()))
}

/// The headline of the result.
pub fn result(text: impl AsRef<str>) -> String {
    format!("=====> {}", clean::line(text.as_ref()))
}

/// A duration as people read it: `240 ms`, `3.1 s`, `2 min 05 s`.
pub fn elapsed(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        1_000..60_000 => format!("{:.1} s", milliseconds as f64 / 1000.0),
        _ => format!("{} min {:02} s", milliseconds / 60_000, milliseconds % 60_000 / 1_000),
    }
}

/// A size as people read it: `512 B`, `45.2 MB`.
pub fn size(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1_000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1_000.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

/// A number of things as people read it: `1 file`, `12 files`.
pub fn count(number: u64, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

/// A failure as one block.
pub fn user_error(user_error: &UserError) -> Vec<String> {
    let mut lines = vec![warn(format!("{} [{}]", user_error.what, user_error.code))];
    lines.extend(user_error.why.lines().map(warn));
    if !user_error.evidence.is_empty() {
        lines.push(warn(""));
        lines.extend(user_error.evidence.iter().map(|line| warn(format!("  | {line}"))));
    }
    if !user_error.next.is_empty() {
        lines.push(warn(""));
        lines.extend(user_error.next.iter().map(|step| warn(format!("  → {step}"))));
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;

    #[test]
    fn durations_and_sizes_read_well() {
        assert_eq!(elapsed(240), "240 ms");
        assert_eq!(elapsed(3_140), "3.1 s");
        assert_eq!(elapsed(125_000), "2 min 05 s");
        assert_eq!(size(512), "512 B");
        assert_eq!(size(45_230_000), "45.2 MB");
        assert_eq!(size(999_990), "1.0 MB");
        assert_eq!([count(0, "file"), count(1, "file"), count(2, "file")], ["0 files", "1 file", "2 files"]);
    }

    #[test]
    fn what_somebody_named_does_not_steer_the_terminal_of_its_reader() {
        let evil = "a\x1b]52;c;ZXZpbA==\x07b\u{9b}2J\u{202e}c\nd";
        let block = user_error(&UserError::new(Code::WrongBranch, evil).why(evil).evidence(evil).next(evil));
        for line in [step(evil), detail(evil), warn(evil), result(evil)].iter().chain(&block) {
            assert!(!line.chars().any(|c| c.is_control() || clean::is_hostile(c)), "{line:?}");
        }
        assert_eq!(detail(evil), "       ab2Jc d");
    }

    #[test]
    fn a_user_error_is_one_block() {
        let block = user_error(
            &UserError::new(Code::WrongBranch, "`feature` is not the deploy branch of acme/shop/dev")
                .why("acme/shop/dev deploys `main`.")
                .next("git push paas-dev feature:main"),
        );
        assert_eq!(
            block,
            [
                " !     `feature` is not the deploy branch of acme/shop/dev [SW-P101]",
                " !     acme/shop/dev deploys `main`.",
                " !",
                " !       → git push paas-dev feature:main",
            ]
        );
    }
}
