//! The story of a push on real parts, told to its verdict: by git, by `builds:attach`, by `ps`, by the router.

use std::time::Duration;

use anyhow::{Context, Result};
use tests::{Platform, Repository, wait_for};

const APP: [&str; 4] = ["-a", "acme/story", "-e", "dev"];
const HOST: &str = "story-dev.acme.localhost";
/// An app that answers with its version, and does not start without GREETING.
const SOURCE: &str = "import os, sys, http.server
if 'GREETING' not in os.environ:
    sys.exit('GREETING is not set')
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        body = b'VERSION ' + self.path.encode('latin-1')
        self.send_response(200)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(('', int(os.environ['PORT'])), Handler).serve_forever()
";

fn state(platform: &Platform) -> Result<serde_json::Value> {
    Ok(platform.json(&[&["ps"][..], &APP].concat())?["state"].clone())
}

/// Runs a verb that may fail: its exit code and all that it wrote.
fn verb(platform: &Platform, words: &[&str]) -> Result<(i32, String)> {
    let output = platform.command_of_slipway(words)?.output()?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok((output.status.code().context("an exit code")?, text))
}

#[test]
fn a_push_is_one_story() -> Result<()> {
    let platform = Platform::start()?;
    let repository = Repository::new(&platform, "story")?;
    repository.write("Procfile", "web: python app.py\n")?;
    repository.write("requirements.txt", "")?;
    repository.write("app.py", &SOURCE.replace("VERSION", "v1"))?;
    repository.commit("First")?;
    a_first_release_that_fails(&platform, &repository)?;
    the_config_mends_it(&platform)?;
    live_means_live(&platform, &repository)?;
    what_browsers_send_arrives(&platform)?;
    maintenance_trace_and_metrics(&platform)
}

fn a_first_release_that_fails(platform: &Platform, repository: &Repository<'_>) -> Result<()> {
    let pushed = repository.push("acme/story/dev")?;
    for part in ["GREETING is not set", "[SW-R103]", "slipway releases:retry -a acme/story -e dev"] {
        assert!(pushed.said.contains(part), "the push does not say {part:?}:\n{}", pushed.said);
    }
    let (code, log) = verb(platform, &[&["builds:attach"][..], &APP].concat())?;
    assert_eq!(code, 1, "a deploy that failed is green:\n{log}");
    for part in ["Rolling out v1", "GREETING is not set", "[SW-R103]"] {
        assert!(log.contains(part), "builds:attach does not tell {part:?}:\n{log}");
    }
    let state = state(platform)?;
    assert_eq!((&state["kind"], &state["text"]), (&"failed".into(), &"v1 failed".into()), "{state}");
    let page = platform.get(HOST, "/")?;
    assert!(page.status == 503 && page.body.contains("releases:retry"), "{page:?}");
    let again = repository.push("acme/story/dev")?;
    assert!(
        again.said.contains("Everything up-to-date") && again.said.contains("slipway releases:retry -a acme/story -e dev"),
        "{}",
        again.said
    );
    let (code, said) = verb(platform, &[&["restart"][..], &APP].concat())?;
    assert!(code != 0 && said.contains("slipway releases:retry"), "{said}");
    let (code, said) = verb(platform, &[&["releases:retry"][..], &APP].concat())?;
    assert!(code == 1 && said.contains("GREETING is not set"), "{code}: {said}");
    Ok(())
}

fn the_config_mends_it(platform: &Platform) -> Result<()> {
    platform.slipway(&[&["config:set", "GREETING=moin"][..], &APP].concat())?;
    assert_eq!(platform.get(HOST, "/")?.body, "v1 /");
    let state = state(platform)?;
    assert_eq!((&state["kind"], &state["text"]), (&"live".into(), &"1 of 1 healthy".into()), "{state}");
    Ok(())
}

/// The first read after "is live" comes from the new release, each time.
fn live_means_live(platform: &Platform, repository: &Repository<'_>) -> Result<()> {
    for version in 2..=6 {
        repository.write("app.py", &SOURCE.replace("VERSION", &format!("v{version}")))?;
        repository.commit(&format!("Version {version}"))?;
        let pushed = repository.push("acme/story/dev")?;
        assert!(pushed.ok, "{}", pushed.said);
        for _ in 0..20 {
            assert_eq!(platform.get(HOST, "/")?.body, format!("v{version} /"), "an earlier release answered after:\n{}", pushed.said);
        }
    }
    let (code, log) = verb(platform, &[&["builds:attach"][..], &APP].concat())?;
    assert!(code == 0 && log.contains("is live") && log.contains("from push to live"), "{log}");
    Ok(())
}

fn what_browsers_send_arrives(platform: &Platform) -> Result<()> {
    for path in ["/?q=a^b", "/a`b\\c", "/?q=\"x\""] {
        let answer = platform.get(HOST, path)?;
        assert_eq!((answer.status, answer.body), (200, format!("v6 {path}")));
    }
    Ok(())
}

fn maintenance_trace_and_metrics(platform: &Platform) -> Result<()> {
    let trace = platform.slipway(&["router:trace", &format!("http://{HOST}:8080/shop?x=y")])?;
    assert!(trace.starts_with(&format!("{HOST} leads to acme/story/dev, which is ready")) && trace.contains("it may go to i-"), "{trace}");
    platform.slipway(&[&["maintenance:on"][..], &APP].concat())?;
    wait_for("the maintenance page", Duration::from_secs(10), || {
        let page = platform.get(HOST, "/")?;
        Ok((page.status == 503 && page.body.contains("maintenance")).then_some(()))
    })?;
    platform.slipway(&[&["maintenance:off"][..], &APP].concat())?;
    wait_for("the app after maintenance", Duration::from_secs(10), || Ok((platform.get(HOST, "/")?.status == 200).then_some(())))?;
    let metrics = tests::http::get(platform.status, "status", "/metrics")?;
    assert!(metrics.body.contains("slipway_router_requests_total{status=\"2xx\"}"), "{metrics:?}");
    let hosts = platform.json(&["hosts"])?;
    assert_eq!((&hosts[0]["name"], &hosts[0]["state"]), (&"host-1".into(), &"OK".into()), "{hosts}");
    platform.slipway(&["hosts:maintenance", "host-1", "on"])?;
    wait_for("the host in maintenance", Duration::from_secs(20), || {
        Ok((platform.json(&["hosts"])?[0]["state"] == "MAINTENANCE").then_some(()))
    })?;
    assert_eq!(platform.get(HOST, "/")?.status, 200, "with nowhere to go, what runs stays");
    platform.slipway(&["hosts:maintenance", "host-1", "off"])?;
    wait_for("the host in service", Duration::from_secs(20), || Ok((platform.json(&["hosts"])?[0]["state"] == "OK").then_some(())))
}
