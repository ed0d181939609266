//! `PageFormat`: how a page of ours is written, by what the client takes.
//!
//! Owns the reading of `Accept`, as far as three forms need it. Looked at only when a page is due; a request that an app answers
//! never is.

use http::header::{self, HeaderMap};

/// How a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageFormat {
    /// For people with a browser, and for whoever does not say.
    Html,
    /// For programs: a problem of RFC 9457.
    Problem,
    /// For people with a terminal: clients that take anything and name nothing.
    Text,
}

impl PageFormat {
    /// The form for a client that sent these headers.
    pub fn wanted(headers: &HeaderMap) -> Self {
        let (mut json, mut anything, mut other) = (false, false, false);
        let lists = headers.get_all(header::ACCEPT).iter();
        for range in lists.flat_map(|list| list.as_bytes().split(|byte| *byte == b',')) {
            let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            if parts.any(is_refused) {
                continue;
            }
            match name.as_slice() {
                b"text/html" | b"application/xhtml+xml" => return Self::Html,
                b"application/json" | b"application/problem+json" => json = true,
                b"*/*" | b"text/plain" => anything = true,
                // A picture, a font: nobody reads the page, and a browser draws this one.
                _ => other = true,
            }
        }
        if json {
            Self::Problem
        } else if anything && !other {
            Self::Text
        } else {
            Self::Html
        }
    }
}

/// Whether a parameter says that its type is not taken: `q=0`, `q=0.000`.
fn is_refused(parameter: &[u8]) -> bool {
    let value = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="));
    value.is_some_and(|value| value.starts_with(b"0") && value.iter().all(|byte| matches!(byte, b'0' | b'.')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn each_client_gets_its_form() {
        for (accept, format) in [
            (None, PageFormat::Html),
            (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), PageFormat::Html),
            (Some("application/json, text/html;q=0.1"), PageFormat::Html),
            (Some("application/json, text/plain, */*"), PageFormat::Problem),
            (Some("Application/JSON; charset=utf-8"), PageFormat::Problem),
            (Some("*/*, application/problem+json"), PageFormat::Problem),
            (Some("text/html;q=0, application/json"), PageFormat::Problem),
            (Some("application/json;q=0.0, */*"), PageFormat::Text),
            (Some("application/json;q=0.5"), PageFormat::Problem),
            (Some("*/*"), PageFormat::Text),
            (Some("text/plain"), PageFormat::Text),
            (Some("image/avif,image/webp,*/*;q=0.8"), PageFormat::Html),
            (Some("application/json, application/xml, text/html"), PageFormat::Html),
            (Some(""), PageFormat::Html),
        ] {
            let headers = accept.map(|accept| (header::ACCEPT, HeaderValue::from_static(accept))).into_iter().collect();
            assert_eq!(PageFormat::wanted(&headers), format, "{accept:?}");
        }
    }
}
