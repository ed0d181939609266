//! The walk of one push, end to end: real git and ssh, Docker, PostgreSQL, registry, router.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tests::{Platform, Repository, wait_for};

const DEV: &str = "hello-dev.acme.localhost";
const PROD: &str = "hello.acme.localhost";

fn ps(platform: &Platform, env: &str) -> Result<serde_json::Value> {
    platform.json(&["ps", "-a", "acme/hello", "-e", env])
}

/// One test, because one platform serves all of its steps and each stands on the one before.
#[test]
fn a_push_goes_live_and_everything_after_it_works() -> Result<()> {
    let mut platform = Platform::start()?;
    first_push(&platform)?;
    prod_without_a_build(&platform)?;
    a_short_path_means_what_it_says(&platform)?;
    a_refused_push_changes_nothing(&platform)?;
    a_crash_at_start_keeps_the_old_release(&platform)?;
    a_wrong_port_is_named(&platform)?;
    a_push_that_waited_for_another_is_told(&platform)?;
    config_scale_rollback(&platform)?;
    verbs_over_ssh(&platform)?;
    the_server_dies_and_comes_back(&mut platform)?;
    destroy(&platform)
}

fn first_push(platform: &Platform) -> Result<()> {
    let repository = Repository::example(platform, "hello-python", "hello")?;
    let pushed = repository.push("acme/hello/dev")?;
    assert!(pushed.ok, "{}", pushed.said);
    let parts = [
        "-----> Build b-",
        "/builds/b-",
        "-----> Template: python",
        "-----> Release v1",
        "web.1 on host-1 in zone zone-1: healthy",
        "=====> acme/hello/dev v1 is live",
        DEV,
    ];
    for part in parts {
        assert!(pushed.said.contains(part), "the push did not say {part:?}:\n{}", pushed.said);
    }
    let answer = platform.get(DEV, "/")?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.contains("Hello from"), "{answer:?}");
    assert_eq!(platform.get("nobody.acme.localhost", "/")?.status, 404);
    Ok(())
}

fn prod_without_a_build(platform: &Platform) -> Result<()> {
    let repository = Repository::reopen(platform, "hello");
    let pushed = repository.push("acme/hello/prod")?;
    assert!(pushed.ok, "{}", pushed.said);
    assert!(pushed.said.contains("-----> Already built by b-"), "prod was built again:\n{}", pushed.said);
    assert_eq!(platform.get(PROD, "/")?.status, 200);
    let dev = platform.json(&["releases", "-a", "acme/hello", "-e", "dev"])?;
    let prod = platform.json(&["releases", "-a", "acme/hello", "-e", "prod"])?;
    assert_eq!(dev[0]["image"], prod[0]["image"], "dev and prod run different images of one commit");
    Ok(())
}

/// A remote without its tenant leads to the app that it names, and makes none out of a tenant or in just any environment.
fn a_short_path_means_what_it_says(platform: &Platform) -> Result<()> {
    let repository = Repository::reopen(platform, "hello");
    let refused = |path: &str, parts: &[&str]| -> Result<()> {
        let pushed = repository.push(path)?;
        assert!(!pushed.ok, "{path} was taken:\n{}", pushed.said);
        for part in parts {
            assert!(pushed.said.contains(part), "the refusal of {path} does not say {part:?}:\n{}", pushed.said);
        }
        Ok(())
    };
    refused("fresh/hello", &["no app `fresh`", "[SW-A404]", "Nothing was made", "/acme/fresh/hello"])?;
    refused(
        "acme/hello",
        &["`acme/hello` leaves out the environment", "[SW-A422]", "needs one: acme/hello/dev", "→ git remote set-url paas-dev ssh://"],
    )?;
    platform.slipway(&["tenants:create", "demo", "--owner", "ada"])?;
    refused("demo/hello", &["[SW-A422]", "needs one: demo/hello/dev", "/demo/hello/dev"])?;
    let apps = platform.json(&["apps"])?;
    assert_eq!(apps.as_array().map(Vec::len), Some(1), "a refused path made an app: {apps}");
    let pushed = repository.push("hello/dev")?;
    assert!(pushed.ok && pushed.said.contains("Everything up-to-date"), "{}", pushed.said);
    Ok(())
}

fn a_refused_push_changes_nothing(platform: &Platform) -> Result<()> {
    let repository = Repository::reopen(platform, "hello");
    let good = repository.git(&["rev-parse", "HEAD"])?;
    repository.write("requirements.txt", "no-such-package-of-slipway==99.99\n")?;
    repository.write("model.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n")?;
    repository.commit("Break the build")?;
    repository.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{good},vendor/lib")])?;
    repository.git(&["commit", "-q", "--amend", "--no-edit"])?;
    let pushed = repository.push("acme/hello/dev")?;
    assert!(!pushed.ok, "a broken build was accepted:\n{}", pushed.said);
    assert!(pushed.said.contains("[SW-B103]") && pushed.said.contains("pre-receive hook declined"), "{}", pushed.said);
    for part in ["       5 files, ", "and empty in the build: vendor/lib", "which are not part of a push: model.bin"] {
        assert!(pushed.said.contains(part), "the push did not say {part:?}:\n{}", pushed.said);
    }
    assert!(repository.git(&["ls-remote", &platform.remote("acme/hello/dev"), "main"])?.starts_with(&good), "the ref moved");
    assert_eq!(platform.get(DEV, "/")?.status, 200, "the old release does not serve any more");
    assert!(platform.containers("build")?.is_empty(), "a build container is left behind");
    repository.git(&["reset", "-q", "--hard", &good])?;

    let branch = repository.push_refs("acme/hello/dev", &["main:feature"])?;
    assert!(!branch.ok && branch.said.contains("SW-P101"), "{}", branch.said);
    let deleted = repository.push_refs("acme/hello/dev", &[":main"])?;
    assert!(!deleted.ok && deleted.said.contains("SW-P102"), "{}", deleted.said);
    repository.write("app.yaml", "proceses: {}\n")?;
    repository.commit("Break app.yaml")?;
    let manifest = repository.push("acme/hello/dev")?;
    assert!(!manifest.ok && manifest.said.contains("did you mean `processes`?"), "{}", manifest.said);
    repository.git(&["reset", "-q", "--hard", &good])?;
    repository.write("app.yaml", "processes: {web: {memory: 900GB}}\n")?;
    repository.commit("Ask for too much")?;
    let too_much = repository.push("acme/hello/dev")?;
    assert!(!too_much.ok && too_much.said.contains("[SW-R107]") && !too_much.said.contains("Template:"), "{}", too_much.said);
    repository.git(&["reset", "-q", "--hard", &good])?;
    let nothing = Repository::new(platform, "nothing")?;
    nothing.write("README", "no language here\n")?;
    nothing.commit("Nothing")?;
    let undetected = nothing.push("acme/nothing/dev")?;
    assert!(!undetected.ok && undetected.said.contains("SW-B101"), "{}", undetected.said);
    Ok(())
}

fn a_crash_at_start_keeps_the_old_release(platform: &Platform) -> Result<()> {
    let repository = Repository::reopen(platform, "hello");
    let good = repository.git(&["rev-parse", "HEAD"])?;
    repository.write("app.py", "raise SystemExit('this app is broken on purpose')\n")?;
    repository.commit("Crash")?;
    let pushed = repository.push("acme/hello/dev")?;
    for once in ["broken on purpose", "it ended while starting, exit code 1", "[SW-R103]"] {
        assert_eq!(pushed.said.matches(once).count(), 1, "{once:?} is to be said once:\n{}", pushed.said);
    }
    assert!(pushed.said.contains("still serves"), "{}", pushed.said);
    let releases = platform.json(&["releases", "-a", "acme/hello", "-e", "dev"])?;
    assert_eq!(releases[0]["state"], "failed");
    assert_eq!(platform.get(DEV, "/")?.status, 200);
    repository.git(&["reset", "-q", "--hard", &good])?;
    Ok(())
}

fn a_wrong_port_is_named(platform: &Platform) -> Result<()> {
    let repository = Repository::reopen(platform, "hello");
    repository.write("app.yaml", "processes:\n  web:\n    health: {tcp: true, start: 3s}\n")?;
    let app = repository.read("app.py")?.replace("int(os.environ.get(\"PORT\", \"5000\"))", "4567");
    repository.write("app.py", &app)?;
    repository.commit("Listen elsewhere")?;
    let pushed = repository.push_refs("acme/hello/dev", &["-f", "main"])?;
    assert!(pushed.said.contains("4567"), "the port that it listens on is not named:\n{}", pushed.said);
    assert_eq!(platform.get(DEV, "/")?.status, 200);
    Ok(())
}

/// Two pushes out of the same state: the second began where the branch does not stand any more when its turn comes.
fn a_push_that_waited_for_another_is_told(platform: &Platform) -> Result<()> {
    let slow = Repository::new(platform, "slow")?;
    slow.write("Procfile", "web: exec sleep 1000\n")?;
    slow.write("app.yaml", "processes: {web: {count: 0}}\n")?;
    slow.write("bin/build", "#!/bin/sh\nwhile ! [ -e /cache/go ]; do sleep 0.1; done\n")?;
    slow.commit("Wait")?;
    let first = slow.push_in_background("acme/slow/dev")?;
    wait_for("the first build to run", Duration::from_secs(120), || {
        let builds = platform.json(&["builds", "-a", "acme/slow"]).unwrap_or_default();
        Ok((builds[0]["state"] == "running" && !platform.containers("build")?.is_empty()).then_some(()))
    })?;
    slow.write("other", "x")?;
    slow.commit("Overtake")?;
    let second = slow.push_in_background("acme/slow/dev")?;
    wait_for("the second to wait", Duration::from_secs(60), || {
        Ok((platform.json(&["builds", "-a", "acme/slow"])?.as_array().is_some_and(|all| all.len() == 2)).then_some(()))
    })?;
    let container = platform.containers("build")?.into_iter().next().context("the build's container")?;
    // Whoever builds may write its own cache: the end of the first build is in our hands.
    Command::new("docker").args(["exec", &container, "touch", "/cache/go"]).status()?;
    let (first, second) = (first.wait()?, second.wait()?);
    assert!(first.ok, "{}", first.said);
    assert!(!second.ok && second.said.contains("moved while this push waited [SW-P109]"), "{}", second.said);
    assert!(!second.said.contains("cannot lock ref"), "{}", second.said);
    Ok(())
}

fn config_scale_rollback(platform: &Platform) -> Result<()> {
    let repository = Repository::reopen(platform, "hello");
    repository.git(&["reset", "-q", "--hard", "HEAD~1"])?;
    let old = "Hello from {os.environ.get('SLIPWAY_APP', 'Python')}";
    let app = repository.read("app.py")?;
    assert!(app.contains(old), "the example has changed; mend this test");
    repository.write("app.py", &app.replace(old, "Greeting {os.environ.get('GREETING', 'none')}"))?;
    repository.commit("Greet by config")?;
    let pushed = repository.push_refs("acme/hello/dev", &["-f", "main"])?;
    assert!(pushed.said.contains("is live"), "{}", pushed.said);
    assert!(platform.get(DEV, "/")?.body.contains("Greeting none"));

    platform.slipway(&["config:set", "GREETING=moin", "-a", "acme/hello", "-e", "dev"])?;
    let greets = |word: &str| Ok(platform.get(DEV, "/")?.body.contains(word).then_some(()));
    wait_for("the greeting from config", Duration::from_secs(20), || greets("Greeting moin"))?;
    let scaled = platform.slipway(&["ps:scale", "web=2", "-a", "acme/hello", "-e", "dev"])?;
    assert!(scaled.contains("web=2"), "{scaled}");
    wait_for("two healthy instances", Duration::from_secs(30), || {
        let ps = ps(platform, "dev")?;
        let healthy = ps["instances"].as_array().context("instances")?.iter().filter(|one| one["state"] == "healthy").count();
        Ok((healthy == 2).then_some(()))
    })?;
    platform.slipway(&["rollback", "-a", "acme/hello", "-e", "dev"])?;
    wait_for("the release before the config", Duration::from_secs(20), || greets("Greeting none"))?;
    let diff = platform.slipway(&["releases:diff", "-a", "acme/hello", "-e", "dev"])?;
    assert!(diff.contains("config   - GREETING"), "{diff}");
    let logs = platform.slipway(&["logs", "-a", "acme/hello", "-e", "dev", "-n", "200"])?;
    assert!(logs.contains("web.1"), "{logs}");
    let events = platform.slipway(&["events", "-a", "acme/hello", "-e", "dev"])?;
    for verb in ["push", "config:set", "ps:scale", "rollback"] {
        assert!(events.contains(verb), "no event {verb}:\n{events}");
    }
    Ok(())
}

fn verbs_over_ssh(platform: &Platform) -> Result<()> {
    let text =
        |output: &std::process::Output| String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let apps = platform.over_ssh("apps")?;
    assert!(apps.status.success() && text(&apps).contains("acme/hello"), "{}", text(&apps));
    let run = platform.over_ssh("run -a acme/hello -e dev -- sh -c 'id -u; exit 7'")?;
    assert_eq!(run.status.code(), Some(7), "{}", text(&run));
    assert_ne!(text(&run).trim(), "0", "a one-off runs as root");
    let denied = platform.over_ssh("users:create eve")?;
    assert_eq!(denied.status.code(), Some(4), "{}", text(&denied));
    assert!(platform.containers("oneoff")?.is_empty(), "a one-off is left behind");
    Ok(())
}

fn the_server_dies_and_comes_back(platform: &mut Platform) -> Result<()> {
    let mut before = platform.containers("instance")?;
    platform.kill_server()?;
    platform.start_server()?;
    let up = || Ok((platform.get(DEV, "/")?.status == 200).then_some(()));
    wait_for("the app after the server was killed", Duration::from_secs(30), up)?;
    let mut after = platform.containers("instance")?;
    before.sort();
    after.sort();
    assert_eq!(before, after, "the restart touched running instances");
    let doctor = platform.slipway(&["doctor"])?;
    assert!(doctor.contains("nothing is wrong"), "{doctor}");
    Ok(())
}

fn destroy(platform: &Platform) -> Result<()> {
    assert!(platform.slipway(&["apps:destroy", "acme/hello"]).is_err(), "an app was destroyed without its name");
    platform.slipway(&["apps:destroy", "acme/hello", "--confirm", "hello"])?;
    wait_for("the end of every instance", Duration::from_secs(60), || Ok(platform.containers("instance")?.is_empty().then_some(())))?;
    assert_eq!(platform.get(DEV, "/")?.status, 404);
    let found = std::process::Command::new("find").arg(platform.path().join("data")).args(["-name", "hello.git"]).output()?;
    assert!(found.stdout.is_empty(), "the source of a destroyed app is left: {}", String::from_utf8_lossy(&found.stdout));
    Ok(())
}
