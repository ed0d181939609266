//! What a visitor reads when no app answers: one page per cause, each with its stable code.
//!
//! Owns all words of the router towards visitors and the choice of status and code. Must never show anything of the inside:
//! no addresses but that of the code's page, no instance, no error of ours.

mod content_type;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use model::Code;

use crate::downstream::request_head::Fault;
pub(crate) use content_type::PageFormat;

/// The header that carries the code. Apps can not set it.
pub const ERROR_HEADER: &str = "x-slipway-error";

/// Why no app answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The request is not one.
    Fault(Fault),
    /// No app has this host name.
    UnknownHost,
    /// The route is in maintenance.
    Maintenance,
    /// The app is stopped.
    Stopped,
    /// Nothing was ever deployed.
    Empty,
    /// No release ever became healthy.
    Failed,
    /// No instance became ready while the request was held.
    NoInstance,
    /// The instances are there and stay down.
    Down,
    /// The route stayed paused for too long.
    Paused,
    /// Too many requests are held already.
    Full,
    /// The request was not sent, or its connection broke before an answer.
    Unreachable,
    /// The answer is not HTTP, or switches protocols unasked.
    BadAnswer,
    /// The app did not answer in time.
    Late,
    /// The client stopped sending its body.
    SlowBody,
}

impl Refusal {
    /// The status that answers it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Fault(fault) => StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::BAD_REQUEST),
            Self::UnknownHost => StatusCode::NOT_FOUND,
            Self::Maintenance | Self::Stopped | Self::Empty | Self::Failed | Self::NoInstance | Self::Down | Self::Paused | Self::Full => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Unreachable | Self::BadAnswer => StatusCode::BAD_GATEWAY,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// The stable code.
    pub fn code(self) -> Code {
        match self {
            Self::Fault(Fault::Slow) | Self::SlowBody => Code::ClientTimeout,
            Self::Fault(Fault::TargetLength | Fault::HeadLength) => Code::HeadTooLarge,
            Self::Fault(_) => Code::BadHttp,
            Self::UnknownHost => Code::UnknownHost,
            Self::Maintenance | Self::Stopped | Self::Empty | Self::Failed | Self::NoInstance | Self::Down | Self::Paused | Self::Full => {
                Code::NoInstance
            }
            Self::Unreachable | Self::BadAnswer => Code::BadAnswer,
            Self::Late => Code::AnswerTimeout,
        }
    }

    /// Seconds after which another try makes sense.
    fn retry_after(self) -> Option<u32> {
        match self {
            Self::Maintenance => Some(60),
            Self::NoInstance | Self::Paused | Self::Full => Some(5),
            _ => None,
        }
    }

    /// Whether the client connection can not be used any more.
    fn closes(self) -> bool {
        matches!(self, Self::Fault(_) | Self::SlowBody)
    }

    /// A heading, and what is the matter.
    fn words(self) -> (&'static str, String) {
        let (heading, text) = match self {
            Self::Fault(fault) => {
                let heading = match fault.status() {
                    405 => "Method not served",
                    408 => "Request timed out",
                    414 => "Address too long",
                    417 => "Expectation not met",
                    431 => "Request head too large",
                    505 => "HTTP version not served",
                    _ => "Bad request",
                };
                return (heading, format!("The request was refused: {fault}."));
            }
            Self::UnknownHost => {
                ("No app here", "No app has this host name. Check the address; if the app is yours, look at its host names.")
            }
            Self::Maintenance => ("Down for maintenance", "This app is being worked on. Please come back in a little while."),
            Self::Stopped => {
                ("App stopped", "This app is stopped: it has no running instance. Its owner can start it again by scaling it up.")
            }
            Self::Empty => {
                ("Nothing here yet", "This host name is taken, and nothing is deployed to it yet. Its owner deploys with `git push`.")
            }
            Self::Failed => (
                "App did not start",
                "No release of this app has started yet. Its owner sees why with `slipway ps`, and tries again with `slipway releases:retry`.",
            ),
            Self::NoInstance => {
                ("App starting", "This app has no instance that is ready. It may be starting; please try again in a few seconds.")
            }
            Self::Down => ("App down", "This app keeps failing to start. Its owner finds the reason in its logs."),
            Self::Paused => ("App paused", "This app is paused for a moment. Please try again in a few seconds."),
            Self::Full => (
                "Too many requests are waiting",
                "This app is not ready, and too many requests wait for it already. Please try again in a few seconds.",
            ),
            Self::Unreachable => ("App unreachable", "The app did not accept the request, or broke the connection before it answered."),
            Self::BadAnswer => ("Bad answer", "The app gave an answer that is not valid HTTP."),
            Self::Late => ("App too slow", "The app did not begin to answer in time."),
            Self::SlowBody => ("Request timed out", "The rest of the request did not arrive in time."),
        };
        (heading, text.to_owned())
    }

    /// The page as a response; `id` lets the owner find the request in the log. What each code means is told behind `errors`.
    pub fn response(self, format: PageFormat, id: &str, errors: &str) -> Response<Bytes> {
        let about = if errors.is_empty() { String::new() } else { format!("{errors}{}", self.code()) };
        let (kind, body) = match format {
            PageFormat::Html => ("text/html; charset=utf-8", self.html(id, &about)),
            PageFormat::Problem => ("application/problem+json", self.problem(id, &about)),
            PageFormat::Text => ("text/plain; charset=utf-8", self.text(id, &about)),
        };
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::VARY, HeaderValue::from_static("accept"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(HeaderName::from_static(ERROR_HEADER), HeaderValue::from_static(self.code().as_str()));
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self == Self::Fault(Fault::Method) {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
        }
        if self.closes() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn problem(self, id: &str, about: &str) -> String {
        let (title, detail) = self.words();
        let kind = if about.is_empty() { "about:blank" } else { about };
        let (status, code) = (self.status().as_u16(), self.code());
        serde_json::json!({ "type": kind, "title": title, "status": status, "detail": detail, "code": code, "request": id }).to_string()
    }

    fn text(self, id: &str, about: &str) -> String {
        let (heading, text) = self.words();
        let (status, code) = (self.status().as_u16(), self.code());
        let about = if about.is_empty() { String::new() } else { format!("{about}\n") };
        format!("{status} {heading} [{code}]\n{text}\nrequest {id}\n{about}")
    }

    fn html(self, id: &str, about: &str) -> String {
        let (heading, text) = self.words();
        let (status, code) = (self.status().as_u16(), self.code());
        let code = if about.is_empty() { code.to_string() } else { format!("<a href=\"{about}\">{code}</a>") };
        let refresh = if matches!(self, Self::NoInstance | Self::Paused) { "<meta http-equiv=\"refresh\" content=\"5\">\n" } else { "" };
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n{refresh}<title>{status} {heading}</title>\n\
             <style>:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:20vh auto 0;padding:0 1.5rem}}\
             h1{{font-size:1.5rem;margin:0 0 .5rem}}small{{opacity:.7}}</style>\n</head>\n<body>\n\
             <h1>{heading}</h1>\n<p>{text}</p>\n<p><small>{status} · {code} · request {id}</small></p>\n</body>\n</html>\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_what_and_which_and_closes_what_can_not_go_on() {
        let response = |refusal: Refusal| refusal.response(PageFormat::Html, "abc", "http://paas.localhost/errors/");
        let page = response(Refusal::UnknownHost);
        assert_eq!((page.status().as_u16(), page.headers()[ERROR_HEADER].as_bytes()), (404, &b"SW-H404"[..]));
        let text = String::from_utf8_lossy(page.body()).into_owned();
        assert!(
            text.contains("No app has this host name")
                && text.contains("href=\"http://paas.localhost/errors/SW-H404\"")
                && text.contains("request abc"),
            "{text}"
        );
        assert!(!page.headers().contains_key(header::CONNECTION));
        let page = response(Refusal::Fault(Fault::TwoLengths));
        assert_eq!((page.status().as_u16(), page.headers()[header::CONNECTION].as_bytes()), (400, &b"close"[..]));
        assert_eq!(response(Refusal::Full).headers()[header::RETRY_AFTER].as_bytes(), b"5");
        for (refusal, status, code) in [
            (Refusal::Fault(Fault::Slow), 408, "SW-H408"),
            (Refusal::Fault(Fault::Tls), 400, "SW-H400"),
            (Refusal::Fault(Fault::TargetLength), 414, "SW-H431"),
            (Refusal::Fault(Fault::HeadLength), 431, "SW-H431"),
            (Refusal::Unreachable, 502, "SW-H502"),
            (Refusal::NoInstance, 503, "SW-H503"),
            (Refusal::Late, 504, "SW-H504"),
        ] {
            assert_eq!((refusal.status().as_u16(), refusal.code().as_str()), (status, code));
        }
    }

    #[test]
    fn each_form_has_the_code_and_where_it_is_explained() {
        let body = |format, errors| String::from_utf8_lossy(Refusal::NoInstance.response(format, "abc", errors).body()).into_owned();
        let problem: serde_json::Value = serde_json::from_str(&body(PageFormat::Problem, "http://paas.localhost/errors/")).expect("JSON");
        assert_eq!(
            problem,
            serde_json::json!({
                "type": "http://paas.localhost/errors/SW-H503",
                "title": "App starting",
                "status": 503,
                "detail": "This app has no instance that is ready. It may be starting; please try again in a few seconds.",
                "code": "SW-H503",
                "request": "abc",
            })
        );
        assert!(body(PageFormat::Problem, "").contains("about:blank"));
        assert_eq!(
            body(PageFormat::Text, "http://paas.localhost/errors/"),
            "503 App starting [SW-H503]\nThis app has no instance that is ready. It may be starting; please try again in a few seconds.\n\
             request abc\nhttp://paas.localhost/errors/SW-H503\n"
        );
    }
}
