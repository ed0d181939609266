//! What a request brings: a JSON body, a query, a form. Whatever can not be read is a `BadRequest` that says where.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, FromRequest, FromRequestParts, Query, Request};
use futures_util::StreamExt;
use http::request::Parts;
use http::{StatusCode, header};
use model::{Code, UserError};
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// Largest body of a request in bytes: the largest config, with room for its coding.
pub(crate) const MAX_BODY: usize = 256 * 1024;

/// How much of a body that is too large is read and thrown away: a client that still writes would not see the answer.
const DRAINED: usize = 64 * 1024 * 1024;

fn bad(what: &str, why: &str) -> Problem {
    let why: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    Problem(UserError::new(Code::BadRequest, what).why(why))
}

fn too_large() -> Problem {
    Problem(
        UserError::new(Code::TooLarge, "what was sent is too large")
            .why(format!("A request may have {} KiB; the whole config of an app 64 KiB.", MAX_BODY / 1024)),
    )
}

/// What a reader of JSON or of forms complained of, in words: without its own preface and without the place in a text that
/// the caller did not write. A name that breaks its grammar says so itself.
fn unread(what: &str, complaint: &str) -> Problem {
    let said = complaint.split_once("Failed to ").and_then(|(_, rest)| rest.split_once(": ")).map_or(complaint, |(_, said)| said);
    let said = said.rfind(" at line ").map_or(said, |at| &said[..at]);
    if let Some(at) = said.find('`')
        && (at == 0 || said[..at].ends_with(": "))
        && said[at..].contains("` is not a")
    {
        let name: String = said[at..].chars().filter(|c| !c.is_control()).take(300).collect();
        return Problem(UserError::new(Code::BadName, name));
    }
    bad(what, said)
}

/// The whole body, within its limit.
async fn whole(request: Request) -> Result<Bytes, Problem> {
    let mut pieces = request.into_body().into_data_stream();
    let (mut body, mut size) = (Vec::new(), 0);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| bad("the body can not be read", "The connection ended within it."))?;
        size += piece.len();
        if size > DRAINED {
            break;
        }
        if size <= MAX_BODY {
            body.extend_from_slice(&piece);
        }
    }
    if size > MAX_BODY { Err(too_large()) } else { Ok(body.into()) }
}

fn is_json(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// A JSON body. Unknown fields are refused by the types themselves.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(&request) {
            return Err(bad("the body is not JSON", "Its content type must be application/json."));
        }
        match Json::from_bytes(&whole(request).await?) {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(unread("the body can not be read", &rejection.body_text())),
        }
    }
}

/// A query.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(unread("the query can not be read", &rejection.body_text())),
        }
    }
}

/// A form of a page.
pub(crate) struct Sent<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Form::from_request(request, state).await {
            Ok(Form(value)) => Ok(Self(value)),
            Err(FormRejection::BytesRejection(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(too_large()),
            Err(rejection) => Err(unread("the form can not be read", &rejection.body_text())),
        }
    }
}

/// A plain text body.
pub(crate) struct Text(pub(crate) String);

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = whole(request).await?;
        String::from_utf8(bytes.into()).map(Self).map_err(|_| bad("the body can not be read", "It is not UTF-8."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_speak_for_themselves_and_readers_are_not_quoted() {
        let read = |complaint: &str| unread("the body can not be read", complaint).0;
        let name = read(
            "Failed to deserialize the JSON body into the target type: hostname: `127.0.0.1` is not a host name: an address is not a host name at line 1 column 24",
        );
        assert_eq!((name.code, name.what.as_str()), (Code::BadName, "`127.0.0.1` is not a host name: an address is not a host name"));
        let kind = read(
            "Failed to deserialize the JSON body into the target type: app: invalid type: integer `1`, expected a string at line 1 column 8",
        );
        assert_eq!((kind.code, kind.why.as_str()), (Code::BadRequest, "app: invalid type: integer `1`, expected a string"));
        assert_eq!(
            read("Failed to deserialize query string: limit: invalid digit found in string").why,
            "limit: invalid digit found in string"
        );
    }
}
