//! Pages of the router in the content type that the client accepts.

use model::RouteState;

use crate::harness::{App, HOST, Running};

const ERRORS: &str = "http://paas.localhost:9000/errors/";

fn ask(running: &Running, host: &str, accept: &str) -> crate::harness::Answer {
    running.ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\n\r\n"))
}

#[test]
fn a_program_gets_a_problem_a_browser_a_page_and_a_terminal_text() {
    let app = App::echo();
    let running = Running::start(|config| config.errors = ERRORS.into());
    running.route(RouteState::Maintenance, &[&app]);
    for (host, status, code, title) in
        [("nobody.acme.localhost", 404, "SW-H404", "No app here"), (HOST, 503, "SW-H503", "Down for maintenance")]
    {
        let answer = ask(&running, host, "application/json, */*");
        assert_eq!((answer.status, answer.code(), answer.header("content-type")), (status, code, Some("application/problem+json")));
        let problem: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!((&problem["code"], &problem["status"], &problem["title"]), (&code.into(), &status.into(), &title.into()), "{problem}");
        assert_eq!(problem["type"], format!("{ERRORS}{code}"), "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        assert_eq!(problem["request"].as_str().map(str::len), Some(24), "{problem}");

        let answer = ask(&running, host, "text/html,application/xhtml+xml,*/*;q=0.8");
        assert_eq!((answer.status, answer.header("content-type")), (status, Some("text/html; charset=utf-8")));
        assert!(answer.text().contains(&format!("<a href=\"{ERRORS}{code}\">{code}</a>")), "{}", answer.text());

        let answer = ask(&running, host, "*/*");
        assert_eq!((answer.status, answer.header("content-type")), (status, Some("text/plain; charset=utf-8")));
        assert!(answer.text().starts_with(&format!("{status} {title} [{code}]\n")), "{}", answer.text());
    }
}

#[test]
fn what_an_app_says_is_its_own_whatever_is_asked_for() {
    let app = App::echo();
    let running = Running::with(&[&app]);
    let answer = ask(&running, HOST, "application/json");
    assert_eq!((answer.status, answer.code()), (200, "none"));
}
