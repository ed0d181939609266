//! A page per code: the text of the documentation, or at least what the code is called.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use model::{Code, UserError};
use serde::Serialize;

use super::{Answer, markdown};
use crate::Web;
use crate::caller::Caller;
use crate::problem::Problem;

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/error_pages.rs"));
}

#[derive(Serialize)]
struct Page {
    title: String,
    code: String,
    /// Made by `markdown`, which lets no markup through; the template marks it as safe.
    html: String,
    family: &'static str,
    families: Vec<Family>,
}

#[derive(Serialize)]
struct Family {
    name: &'static str,
    codes: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    code: &'static str,
    name: String,
}

fn documented(code: Code) -> Option<&'static str> {
    embedded::ERROR_PAGES.iter().find(|(name, _)| *name == code.as_str()).map(|(_, text)| *text)
}

/// `NotListening` as `Not listening`; or the heading of its page, when that says more than the code.
fn name(code: Code) -> String {
    let heading = documented(code).and_then(|text| text.lines().next()?.strip_prefix("# "));
    if let Some(heading) = heading.map(|heading| heading.replace(code.as_str(), "")) {
        let heading = heading.trim_matches(|c: char| c.is_whitespace() || ":·-—".contains(c)).to_owned();
        if !heading.is_empty() {
            return heading;
        }
    }
    let mut words = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
            words.extend(letter.to_lowercase());
        } else {
            words.push(letter);
        }
    }
    words
}

fn family(code: Code) -> &'static str {
    match code.as_str().as_bytes().get(3) {
        Some(b'A') => "Access and names",
        Some(b'K') => "Keys",
        Some(b'P') => "Push",
        Some(b'M') => "Manifest",
        Some(b'B') => "Build",
        Some(b'R') => "Running",
        Some(b'H') => "Requests",
        _ => "The platform",
    }
}

/// Every code by its family, in the order of the list.
fn families() -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    for code in Code::ALL {
        let item = Item { code: code.as_str(), name: name(*code) };
        match families.iter_mut().find(|known| known.name == family(*code)) {
            Some(known) => known.codes.push(item),
            None => families.push(Family { name: family(*code), codes: vec![item] }),
        }
    }
    families
}

/// Every code.
pub(crate) async fn list(State(web): State<Arc<Web>>, caller: Caller) -> Response {
    let page = Page { title: "Codes".into(), code: String::new(), html: String::new(), family: "", families: families() };
    web.pages.draw("error.html", caller.identity.as_ref(), &page)
}

/// One code. Anybody may read it: whoever can not sign in needs it most.
pub(crate) async fn page(State(web): State<Arc<Web>>, caller: Caller, Path(text): Path<String>) -> Answer {
    let found = Code::ALL.iter().find(|code| code.as_str().eq_ignore_ascii_case(&text));
    let Some(code) = found.copied() else {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(20).collect();
        return Err(Problem(UserError::new(Code::NotFound, format!("there is no code `{shown}`")).next("see all codes at /errors")));
    };
    let html = documented(code).map(markdown::html).unwrap_or_default();
    let page = Page { title: name(code), code: code.to_string(), html, family: family(code), families: Vec::new() };
    Ok(web.pages.draw("error.html", caller.identity.as_ref(), &page))
}
