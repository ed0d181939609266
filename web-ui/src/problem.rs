//! Troubles as answers of the API: `application/problem+json` and a status by code.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use model::{Code, UserError};

/// A failure as an answer.
#[derive(Debug)]
pub(crate) struct Problem(pub(crate) UserError);

impl From<UserError> for Problem {
    fn from(user_error: UserError) -> Self {
        Self(user_error)
    }
}

impl From<model::name::InvalidName> for Problem {
    fn from(error: model::name::InvalidName) -> Self {
        Self(UserError::bad_name(&error))
    }
}

/// The status of a code: what is the caller's to mend is a 4xx, what is the platform's a 5xx.
pub(crate) fn status(code: Code) -> StatusCode {
    match code {
        Code::NotSignedIn => StatusCode::UNAUTHORIZED,
        Code::NotAllowed => StatusCode::FORBIDDEN,
        Code::UnknownApp | Code::NotFound | Code::NoRelease => StatusCode::NOT_FOUND,
        Code::NameTaken | Code::KeyTaken | Code::InUse | Code::Locked => StatusCode::CONFLICT,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::TooManyTries => StatusCode::TOO_MANY_REQUESTS,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::DatabaseDown | Code::EngineDown => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = status(self.0.code);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, body).into_response();
        // Whoever draws pages makes one of it.
        response.extensions_mut().insert(self.0);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"slipway\""));
        }
        response
    }
}

/// Who calls nothing that exists.
pub(crate) fn no_such_path(path: &str) -> UserError {
    let shown: String = path.chars().filter(|c| !c.is_control()).take(80).collect();
    UserError::new(Code::NotFound, format!("there is nothing at `{shown}`")).next("GET /api/v1/openapi.json lists what there is")
}

/// What a request is answered that nobody may make without signing in.
pub(crate) fn not_signed_in() -> UserError {
    UserError::new(Code::NotSignedIn, "you are not signed in")
        .why("The request carries no token, or one that has ended.")
        .next("slipway login")
}
