//! Byte ranges: `Range` of a pull, `Content-Range` of a chunk.
//!
//! Pure. Must never turn a range that can not be served into the whole content: resuming clients would append it.

use std::ops::Range;

/// The part of a content that a `Range` header requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RequestedRange {
    /// No range, or one in a unit or form that is not offered and may be ignored.
    Whole,
    /// These bytes; never empty.
    Part(Range<u64>),
    /// Nothing of it exists.
    Unsatisfiable,
}

/// Reads `bytes=first-last`, `bytes=first-` and `bytes=-suffix`. Several ranges at once are answered with the whole.
pub(crate) fn requested(header: Option<&str>, length: u64) -> RequestedRange {
    let Some(spec) = header.and_then(|value| value.trim().strip_prefix("bytes=")) else { return RequestedRange::Whole };
    if spec.contains(',') {
        return RequestedRange::Whole;
    }
    let Some((first, last)) = spec.split_once('-') else { return RequestedRange::Whole };
    let part = match (number(first), number(last)) {
        (Some(first), Some(last)) => first..last.saturating_add(1).min(length),
        (Some(first), None) if last.is_empty() => first..length,
        (None, Some(suffix)) if first.is_empty() => length.saturating_sub(suffix)..length,
        _ => return RequestedRange::Whole,
    };
    if part.is_empty() { RequestedRange::Unsatisfiable } else { RequestedRange::Part(part) }
}

/// Reads the `Content-Range` of a chunk, `first-last`; some clients write `bytes first-last/total`.
pub(crate) fn chunk(header: &str) -> Option<Range<u64>> {
    let spec = header.trim();
    let spec = spec.strip_prefix("bytes ").or_else(|| spec.strip_prefix("bytes=")).unwrap_or(spec);
    let spec = spec.split_once('/').map_or(spec, |(range, _)| range);
    let (first, last) = spec.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let end = last.checked_add(1)?;
    (first < end).then_some(first..end)
}

fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) { None } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pulls() {
        assert_eq!(requested(None, 10), RequestedRange::Whole);
        assert_eq!(requested(Some("bytes=0-3"), 10), RequestedRange::Part(0..4));
        assert_eq!(requested(Some("bytes=4-"), 10), RequestedRange::Part(4..10));
        assert_eq!(requested(Some("bytes=-3"), 10), RequestedRange::Part(7..10));
        assert_eq!(requested(Some("bytes=-30"), 10), RequestedRange::Part(0..10));
        assert_eq!(requested(Some("bytes=8-100"), 10), RequestedRange::Part(8..10));
        for none in ["bytes=10-", "bytes=10-20", "bytes=5-0", "bytes=-0"] {
            assert_eq!(requested(Some(none), 10), RequestedRange::Unsatisfiable, "{none}");
        }
        assert_eq!(requested(Some("bytes=0-"), 0), RequestedRange::Unsatisfiable);
        for whole in ["lines=0-3", "bytes=0-1,3-4", "bytes=a-b", "bytes=-", "bytes=+1-2"] {
            assert_eq!(requested(Some(whole), 10), RequestedRange::Whole, "{whole}");
        }
    }

    #[test]
    fn chunks() {
        assert_eq!(chunk("0-9"), Some(0..10));
        assert_eq!(chunk("bytes 10-19/*"), Some(10..20));
        for bad in ["", "9-0", "-5", "5-", "a-b", "0-18446744073709551615"] {
            assert_eq!(chunk(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_part_lies_inside(header in "bytes=[0-9]{0,21}-[0-9]{0,21}", length in any::<u64>()) {
            if let RequestedRange::Part(part) = requested(Some(&header), length) {
                prop_assert!(part.start < part.end && part.end <= length);
            }
        }
    }
}
