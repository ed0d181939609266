//! Docker goes away under a platform: stopped, hanging, and not there yet at its start. What is refused says why, what ran comes
//! back, nothing is left behind.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tests::{Ground, OwnEngine, Platform, Pushed, Repository, wait_for};

const DEV: &str = "hello-dev.acme.localhost";
/// An answer that does not come within this is taken for none. The longest wait of the product itself is 30 s.
const BOUND: Duration = Duration::from_secs(120);

/// Without a dependency: the engine of this test reaches no package index.
const SERVER: &str = r#"
import http.server, os
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"version 1")
http.server.HTTPServer(("", int(os.environ["PORT"])), Page).serve_forever()
"#;

/// What the build runs as `manage.py collectstatic`: it stays in the middle of the build until somebody ends it.
const SLOW: &str = "import sys, time\nprint('the slow part begins', flush=True)\ntime.sleep(900)\n";

#[test]
fn docker_stops_and_hangs() -> Result<()> {
    let bridges = interfaces()?;
    let mut engine = OwnEngine::start()?;
    engine.take_python_stack()?;
    engine.stop()?;
    let mut platform = Platform::start_on(Ground { docker: Some(engine.socket()), ..Ground::default() })?;
    an_app_is_refused(&platform)?;
    engine.up()?;
    first_push(&platform)?;

    engine.stop()?;
    a_push_is_refused(&platform, "stopped")?;
    ps_tells_the_truth(&platform)?;
    engine.up()?;
    everything_comes_back(&platform)?;

    a_running_build_fails(&platform, || engine.freeze())?;
    a_push_is_refused(&platform, "hangs")?;
    let doctor = platform.command_of_slipway(&["doctor"])?.output()?;
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(!doctor.status.success() && said.contains("takes connections and does not answer"), "{said}");
    engine.thaw()?;
    everything_comes_back(&platform)?;

    a_running_build_fails(&platform, || engine.stop())?;
    engine.up()?;
    everything_comes_back(&platform)?;

    the_server_comes_back_first(&mut platform, &mut engine)?;
    let repository = Repository::reopen(&platform, "hello");
    repository.write("note.txt", "pushed when all was well again\n")?;
    repository.commit("A note")?;
    let pushed = repository.push("acme/hello/dev")?;
    assert!(pushed.ok && pushed.said.contains("is live"), "the platform did not recover:\n{}", pushed.said);
    drop(platform);
    drop(engine);
    let gone: Vec<_> = bridges.difference(&interfaces()?).cloned().collect();
    assert!(!gone.iter().any(|name| name == "docker0"), "the machine's own bridge is gone: {gone:?}");
    Ok(())
}

fn interfaces() -> Result<BTreeSet<String>> {
    std::fs::read_dir("/sys/class/net")?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

fn an_app<'a>(platform: &'a Platform, name: &str) -> Result<Repository<'a>> {
    let repository = Repository::new(platform, name)?;
    repository.write("app.py", SERVER)?;
    repository.write("Procfile", "web: python app.py\n")?;
    repository.write("requirements.txt", "")?;
    repository.commit("Hello")?;
    Ok(repository)
}

fn first_push(platform: &Platform) -> Result<()> {
    let repository = an_app(platform, "hello")?;
    let pushed = repository.push("acme/hello/dev")?;
    assert!(pushed.ok && pushed.said.contains("is live"), "{}", pushed.said);
    Ok(())
}

/// On a platform that has not seen its engine yet: it serves, it says what is wrong, and it refuses a push for the right reason.
fn an_app_is_refused(platform: &Platform) -> Result<()> {
    assert_eq!(platform.get(DEV, "/")?.status, 404, "the router serves");
    let doctor = platform.command_of_slipway(&["doctor"])?.output()?;
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(!doctor.status.success() && said.contains("BAD  docker") && said.contains("ok   server"), "{said}");
    let repository = an_app(platform, "early")?;
    let pushed = repository.push("acme/early/dev")?;
    assert!(!pushed.ok, "{}", pushed.said);
    let block = block(&pushed)?;
    for part in ["[SW-S101]", "Nothing was released", "| could not connect to Docker: ", "→ sudo slipway doctor"] {
        assert!(block.contains(part), "the refusal does not say {part:?}:\n{}", pushed.said);
    }
    let releases = platform.json(&["releases", "-a", "acme/early", "-e", "dev"])?;
    assert_eq!(releases.as_array().map(Vec::len), Some(0), "{releases}");
    Ok(())
}

/// Power fails in the middle of a build, and the engine is the last to come back. It is the same server that then starts the app, and
/// removes what the build left.
fn the_server_comes_back_first(platform: &mut Platform, engine: &mut OwnEngine) -> Result<()> {
    let repository = Repository::reopen(platform, "hello");
    let good = repository.git(&["rev-parse", "HEAD"])?;
    let pushing = a_build_in_its_middle(platform)?;
    let was_left = platform.containers("build")?;
    platform.kill_server()?;
    assert!(!ended(pushing)?.ok);
    engine.stop()?;
    platform.start_server()?;
    Repository::reopen(platform, "hello").git(&["reset", "-q", "--hard", &good])?;
    wait_for("a reason why the app does not run", BOUND, || {
        let ps = platform.json(&["ps", "-a", "acme/hello", "-e", "dev"])?;
        Ok((ps["instances"][0]["code"] == "SW-S101" && ps["instances"][0]["state"] == "crashed").then_some(()))
    })?;
    a_push_is_refused(platform, "is the last to come")?;
    engine.up()?;
    let left = platform.containers("build")?;
    assert!(!was_left.is_empty() && left == was_left, "the build left {was_left:?}, and the engine came back with {left:?}");
    everything_comes_back(platform)?;
    let spools = std::fs::read_dir(platform.path().join("data/build"))?.filter(|entry| {
        let name = entry.as_ref().map(|entry| entry.file_name().to_string_lossy().into_owned()).unwrap_or_default();
        name.starts_with("spool-") || name.starts_with("layer-")
    });
    assert_eq!(spools.count(), 0, "a build's files stay");
    Ok(())
}

/// One block with reason, evidence, next command and code, soon; nothing has moved.
fn a_push_is_refused(platform: &Platform, how: &str) -> Result<()> {
    let repository = Repository::reopen(platform, "hello");
    let good = repository.git(&["rev-parse", "HEAD"])?;
    repository.write("note.txt", &format!("pushed while the engine {how}\n"))?;
    repository.commit("A note")?;
    let begun = Instant::now();
    let pushed = repository.push("acme/hello/dev")?;
    assert!(!pushed.ok && begun.elapsed() < BOUND, "after {:?}:\n{}", begun.elapsed(), pushed.said);
    let block = block(&pushed)?;
    for part in ["Docker can not be reached [SW-S101]", "Nothing was released", "| could not ", "→ sudo slipway doctor"] {
        assert!(block.contains(part), "the refusal does not say {part:?}:\n{}", pushed.said);
    }
    assert_eq!(pushed.said.matches("[SW-").count(), 1, "more than one block:\n{}", pushed.said);
    nothing_moved(platform, &repository, &good)
}

/// Everything from the first line that carries a code.
fn block(pushed: &Pushed) -> Result<String> {
    let at = pushed.said.find("Docker can not be reached").with_context(|| format!("no block:\n{}", pushed.said))?;
    Ok(pushed.said[at..].to_owned())
}

fn nothing_moved(platform: &Platform, repository: &Repository<'_>, good: &str) -> Result<()> {
    let remote = repository.git(&["ls-remote", &platform.remote("acme/hello/dev"), "main"])?;
    repository.git(&["reset", "-q", "--hard", good])?;
    assert!(remote.starts_with(good), "the ref moved: {remote}, not {good}");
    let releases = platform.json(&["releases", "-a", "acme/hello", "-e", "dev"])?;
    assert_eq!((releases.as_array().map(Vec::len), &releases[0]["state"]), (Some(1), &"live".into()), "{releases}");
    Ok(())
}

/// The containers ended with their engine: nobody may read that they are well.
fn ps_tells_the_truth(platform: &Platform) -> Result<()> {
    wait_for("an instance that is not called healthy", BOUND, || {
        let ps = platform.json(&["ps", "-a", "acme/hello", "-e", "dev"])?;
        let one = &ps["instances"][0];
        Ok((one["state"] != "healthy" && one["reason"].as_str().is_some_and(|reason| !reason.is_empty())).then_some(()))
    })
}

/// By itself: nothing is asked for but the app's own answer.
fn everything_comes_back(platform: &Platform) -> Result<()> {
    wait_for("the app after the engine is back", BOUND, || {
        let answer = platform.get(DEV, "/")?;
        Ok((answer.status == 200 && answer.body.contains("version 1")).then_some(()))
    })?;
    wait_for("an instance that is called healthy", BOUND, || {
        let ps = platform.json(&["ps", "-a", "acme/hello", "-e", "dev"])?;
        Ok((ps["instances"][0]["state"] == "healthy" && ps["instances"].as_array().map(Vec::len) == Some(1)).then_some(()))
    })?;
    wait_for("the removal of what builds left behind", BOUND, || Ok(platform.containers("build")?.is_empty().then_some(())))
}

/// A build that is in its middle when the ground goes ends as failed, with the reason.
fn a_running_build_fails(platform: &Platform, go: impl FnOnce() -> Result<()>) -> Result<()> {
    let repository = Repository::reopen(platform, "hello");
    let good = repository.git(&["rev-parse", "HEAD"])?;
    let pushing = a_build_in_its_middle(platform)?;
    go()?;
    let pushed = ended(pushing)?;
    assert!(!pushed.ok, "{}", pushed.said);
    block(&pushed)?;
    let last = platform.json(&["builds", "-a", "acme/hello", "-e", "dev"])?[0].clone();
    assert_eq!((&last["state"], &last["error"]["code"]), (&"failed".into(), &"SW-S101".into()), "{last}");
    nothing_moved(platform, &repository, &good)
}

/// A push whose build runs for as long as nobody ends it.
fn a_build_in_its_middle(platform: &Platform) -> Result<Child> {
    let repository = Repository::reopen(platform, "hello");
    repository.write("manage.py", SLOW)?;
    repository.write("django/__init__.py", "STATIC_ROOT = None\n")?;
    repository.commit("Be slow")?;
    let pushing = repository.pushing("acme/hello/dev", &["main"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let builds = || platform.json(&["builds", "-a", "acme/hello", "-e", "dev"]);
    wait_for("the middle of a build", BOUND, || {
        // Not the one of an earlier step, which came as far.
        let newest = builds()?[0].clone();
        let id = newest["id"].as_str().context("an id")?;
        let log = std::fs::read_to_string(platform.path().join("data/builds").join(format!("{id}.log"))).unwrap_or_default();
        Ok((newest["state"] == "running" && log.contains("the slow part begins")).then_some(()))
    })?;
    Ok(pushing)
}

fn ended(pushing: Child) -> Result<Pushed> {
    let output = pushing.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Pushed { ok: output.status.success(), said })
}
