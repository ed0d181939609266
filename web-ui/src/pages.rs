//! placeholder
use std::sync::Arc;
use axum::Router;
use axum::response::{IntoResponse, Response};
use crate::{Web, caller::Caller, problem::Problem};
pub(crate) struct Pages;
impl Pages { pub(crate) fn new(_: Option<&std::path::Path>) -> Self { Self } }
pub(crate) fn router() -> Router<Arc<Web>> { Router::new() }
pub(crate) fn trouble(_: &Web, _: Option<&Caller>, t: &model::Trouble) -> Response { Problem(t.clone()).into_response() }
