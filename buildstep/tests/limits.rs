//! What a hostile or broken build meets: each limit ends it, is named with its code, and nothing stays behind.

mod support;

use std::time::Duration;

use buildstep::Limits;
use model::{Code, UserError};
use support::{Files, RecordedOutput, SCOPE, TestBuilder, docker};
use tokio_util::sync::CancellationToken;

fn small() -> Limits {
    Limits {
        memory: 256 << 20,
        pids: 100,
        time: Duration::from_secs(60),
        disk: 300 << 20,
        files: 20_000,
        output: 200_000,
        ..Limits::default()
    }
}

/// Runs a script that must fail; checks that nothing is left.
async fn refused(name: &str, limits: Limits, script: &str) -> UserError {
    let builder = TestBuilder::new(name, limits).await;
    let job = builder.job(&Files::script(script));
    let user_error = match builder.build_job(&job, CancellationToken::new()).await {
        Ok(_) => panic!("{name} was built"),
        Err(user_error) => user_error,
    };
    builder.close().await;
    user_error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_build_shows_its_last_words() {
    let user_error = refused("limits-fail", small(), "echo first\necho the reason >&2\nexit 3").await;
    assert_eq!(user_error.code, Code::BuildFailed);
    assert!(user_error.evidence.contains(&"the reason".to_owned()), "{user_error}");
    assert!(user_error.why.contains("exit code 3"), "{user_error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_hog_is_named() {
    let user_error = refused("limits-memory", small(), "head -c 400M /dev/zero | tail").await;
    assert_eq!(user_error.code, Code::BuildMemory, "{user_error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_is_named() {
    let user_error = refused("limits-forks", small(), "bomb() { bomb | bomb & }\nbomb\nsleep 1000").await;
    assert_eq!(user_error.code, Code::BuildProcesses, "{user_error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_build_ends() {
    let limits = Limits { time: Duration::from_secs(3), ..small() };
    let user_error = refused("limits-time", limits, "trap '' TERM INT HUP\nsetsid sleep 1000 &\nwhile :; do sleep 1; done").await;
    assert_eq!(user_error.code, Code::BuildTime, "{user_error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named() {
    let user_error = refused("limits-disk", small(), "for i in $(seq 8); do head -c 50M /dev/zero > /tmp/fill$i; done; sleep 1000").await;
    assert_eq!(user_error.code, Code::BuildDisk, "{user_error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_cache_is_named() {
    let user_error =
        refused("limits-cache", small(), "for i in $(seq 8); do head -c 50M /dev/zero > /cache/build/fill$i; done; sleep 1000").await;
    assert_eq!(user_error.code, Code::BuildDisk, "{user_error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_over_its_limit_starts_anew_and_one_below_it_stays() {
    let builder = TestBuilder::new("limits-cache-limit", Limits { cache: 4 << 20, ..small() }).await;
    let keep =
        |bytes: &str| Files::script(&format!("echo \"kept $(ls /cache/build | xargs)\"\nhead -c {bytes} /dev/zero > /cache/build/{bytes}"));
    let mut kept = Vec::new();
    for bytes in ["1M", "8M", "2M"] {
        let output = std::sync::Arc::new(RecordedOutput::default());
        builder.build_with(&builder.job(&keep(bytes)), CancellationToken::new(), output.clone()).await.expect("it builds");
        kept.push(output.told("kept").expect("its script tells").trim().to_owned());
    }
    assert_eq!(kept, ["", "1M", ""], "what each build found of those before");
    builder.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn countless_files_are_named() {
    let user_error =
        refused("limits-files", small(), "cd /tmp; for d in $(seq 30); do mkdir $d; (cd $d; touch $(seq 1000)); done; sleep 1000").await;
    assert_eq!(user_error.code, Code::BuildDisk, "{user_error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_of_output_is_capped_and_the_build_goes_on() {
    let builder = TestBuilder::new("limits-output", small()).await;
    let job = builder.job(&Files::script("printf '\\033]0;title\\007\\033[31mred\\033[0m\\n'\nyes some words to fill the log with | head -c 1G\nhead -c 100M /dev/zero\necho done > result"));
    let slug = builder.build_job(&job, CancellationToken::new()).await.expect("it builds");
    let output = builder.output.text();
    assert!(output.len() < 300_000, "{} bytes were passed on", output.len());
    assert!(output.contains("\u{1b}[31mred\u{1b}[0m") && !output.contains("title"), "colours stay, titles go");
    assert!(output.contains("not shown"), "it must be said that output is missing");
    assert!(slug.size > 0);
    builder.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_build_ends_at_once() {
    let builder = TestBuilder::new("limits-cancel", small()).await;
    let job = builder.job(&Files::script("echo begun\nsleep 1000"));
    let cancel = CancellationToken::new();
    let (stop, output) = (cancel.clone(), builder.output.clone());
    let stopping = async {
        output.wait("begun").await;
        stop.cancel();
        std::future::pending::<()>().await;
    };
    let user_error = tokio::select! {
        built = builder.build_job(&job, cancel) => built.expect_err("it was cancelled"),
        () = stopping => unreachable!("it never ends"),
    };
    assert_eq!(user_error.code, Code::Cancelled);
    builder.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_whose_asker_is_gone_leaves_nothing() {
    let builder = TestBuilder::new("limits-dropped", small()).await;
    let job = builder.job(&Files::script("echo begun\nsleep 1000"));
    let output = builder.output.clone();
    tokio::select! {
        _ = builder.build_job(&job, CancellationToken::new()) => panic!("it can not end"),
        _ = output.wait("begun") => {}
    }
    builder.quiet().await;
    builder.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_sees_no_more_than_it_should() {
    let builder = TestBuilder::new("limits-inside", small()).await;
    let script = r#"echo "user $(id -u) $(id -un) $(id -g)"
grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status
ls /var/run/docker.sock 2>&1 || true
env | sort
touch /etc/x /usr/x 2>&1 || true
find / -xdev -name '*build.sh*' -not -path '/proc/*' 2>/dev/null || true
"#;
    builder.build(&Files::script(script)).await.expect("it builds");
    let output = builder.output.text();
    let uid = builder.uid();
    assert!(uid > 200_000 && output.contains(&format!("user {uid} app 10001\n")), "{output}");
    assert!(output.contains("CapEff:\t0000000000000000") && output.contains("CapBnd:\t0000000000000000"), "{output}");
    assert!(output.contains("NoNewPrivs:\t1") && output.contains("Seccomp:\t2"), "{output}");
    assert!(output.contains("/var/run/docker.sock': No such file") && output.contains("'/etc/x': Permission denied"), "{output}");
    assert!(!output.contains("build.sh"), "the script is a file that the build could change: {output}");
    builder.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_script_hides_from_its_own_user_is_in_the_slug() {
    let builder = TestBuilder::new("limits-hidden", small()).await;
    let script = "mkdir -p a/b; echo word | tee a/b/secret > shown; chmod 000 a/b/secret a/b a shown";
    let files = Files::of(&[("Procfile", "web: sleep 1000\n"), ("bin/build", &format!("#!/bin/bash\n{script}\n"))]);
    let slug = builder.build(&files).await.expect("it builds");
    let running = builder.serve(&slug).await;
    assert_eq!(running.exec("cat /app/a/b/secret /app/shown"), "word\nword");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_script_leaves_running_does_not_change_its_slug_while_it_is_taken() {
    let builder = TestBuilder::new("limits-busy", small()).await;
    let script = "head -c 30M /dev/urandom > large\n(setsid bash -c 'while :; do date >> /app/grows; done' &)\nsleep 0.2";
    builder.build(&Files::script(script)).await.expect("it builds");
    builder.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_writes_into_its_slug_is_refused_in_words() {
    let user_error = refused("limits-junk", small(), "head -c 2000 /dev/urandom > /proc/1/fd/1").await;
    assert_eq!(user_error.code, Code::BuildFailed, "{user_error}");
    assert!(user_error.why.contains("standard output of the container"), "{user_error}");
}

/// Takes every inotify instance that its user may have, says how many, and keeps them as long as it is told to.
const WATCHERS: &str = r#"cat > watch.c <<'END'
#include <stdio.h>
#include <sys/inotify.h>
int main(void) {
    int count = 0;
    while (inotify_init1(0) >= 0) count++;
    printf("watchers %d\n", count);
    fflush(stdout);
    return getchar() == EOF ? 0 : 0;
}
END
gcc -o watch watch.c
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_takes_all_it_can_takes_nothing_from_others() {
    let builder = std::sync::Arc::new(TestBuilder::new("limits-greedy", small()).await);
    let (output, cancel) = (std::sync::Arc::new(RecordedOutput::default()), CancellationToken::new());
    let greedy = builder.job(&Files::script(&format!("{WATCHERS}sleep 1000 | ./watch")));
    let running = tokio::spawn({
        let (builder, output, cancel) = (builder.clone(), output.clone(), cancel.clone());
        async move { builder.build_with(&greedy, cancel, output).await }
    });
    let taken = tokio::time::timeout(Duration::from_secs(60), output.wait("watchers ")).await.expect("the greedy build tells");
    assert_ne!(taken, "0", "nothing was taken");
    let app: model::AppEnv = "testing/limits-modest/dev".parse().expect("an app");
    let modest = builder.job_of(app.clone(), &Files::script(&format!("{WATCHERS}./watch < /dev/null")));
    let other = std::sync::Arc::new(RecordedOutput::default());
    builder.build_with(&modest, CancellationToken::new(), other.clone()).await.expect("it builds");
    assert_eq!(other.told("watchers "), Some(taken), "what one app takes, another lacks");
    cancel.cancel();
    assert_eq!(running.await.expect("no panic").expect_err("it was cancelled").code, Code::Cancelled);
    builder.buildstep.purge_cache(&app.app_ref()).await.expect("purged");
    std::sync::Arc::into_inner(builder).expect("no build holds it").close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_makes_only_the_calls_of_the_profile() {
    let builder = TestBuilder::new("limits-calls", small()).await;
    let probe = include_str!("../../slugrunner/tests/host/common/probe.c");
    builder.build(&Files::script(&format!("cat > probe.c <<'END'\n{probe}END\ngcc -o probe probe.c && ./probe"))).await.expect("it builds");
    let output = builder.output.text();
    for line in
        ["io_uring_setup ENOSYS", "socket AF_VSOCK EPERM", "socket AF_INET ok", "unshare EPERM", "clone3 ENOSYS", "thread ok", "process ok"]
    {
        assert!(output.contains(line), "{line} is missing: {output}");
    }
    builder.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_belongs_to_the_uid_of_its_app() {
    let builder = TestBuilder::new("limits-owner", small()).await;
    let uid = builder.uid();
    let files =
        Files::of(&[("Procfile", "web: sleep 1000\n"), ("bin/build", "#!/bin/bash\numask 077; mkdir private; echo word > private/file\n")]);
    let slug = builder.build(&files).await.expect("it builds");
    let running = builder.serve(&slug).await;
    let seen = running.exec("id -u; cat /app/private/file; stat -c %u:%g /app /app/private /app/private/file");
    assert_eq!(seen, format!("{uid}\nword\n{uid}:10001\n{uid}:10001\n{uid}:10001"));
}

/// Two platforms on one engine, as when tests run beside a platform: one makes a layer, both use it, it goes with the last.
#[tokio::test(flavor = "multi_thread")]
async fn a_layer_is_shared_by_platforms_and_goes_with_the_last_that_uses_it() {
    use manager::Builder as _;
    let (folder, work) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let shared = folder.path().join("shared");
    std::fs::create_dir(&shared).expect("a folder");
    // A layer that nothing else on this engine can have.
    let spec = format!(
        "name = \"shared\"\ntitle = \"Shared {}\"\norder = 90\n[[detect]]\nall = [\"shared\"]\n[run]\nsetup = \"own.sh\"\n",
        std::process::id()
    );
    std::fs::write(shared.join("template.toml"), spec).expect("written");
    std::fs::write(shared.join("build.sh.tera"), "true\n").expect("written");
    std::fs::write(shared.join("own.sh"), format!("echo {} > /etc/shared\n", std::process::id())).expect("written");
    let template: model::TemplateName = "shared".parse().expect("a name");
    let builder = TestBuilder::new("limits-shared", small()).await;
    let platform = |scope: &str, templates: Vec<std::path::PathBuf>| {
        builder.another(buildstep::Config {
            network: scope.into(),
            work: work.path().join(scope),
            templates,
            keep_layers: Duration::ZERO,
            ..buildstep::Config::default()
        })
    };
    let (one, two) = (platform("swshared-1", vec![folder.path().into()]), platform("swshared-2", vec![folder.path().into()]));
    let lines = std::sync::Mutex::new(Vec::new());
    let note = |event: buildstep::ProgressEvent<'_>| {
        if let buildstep::ProgressEvent::Line(line) = event {
            lines.lock().expect("no panic before").push(line.to_owned());
        }
    };
    let made = || lines.lock().expect("no panic before").iter().filter(|line| line.starts_with("making the layer")).count();
    one.boot_template(&template, &note).await.expect("layers");
    assert_eq!(made(), 2, "the first platform makes both layers");
    two.boot_template(&template, &note).await.expect("layers");
    assert_eq!(made(), 2, "the second one uses them");
    let tags = || docker(&["images", "--format", "{{.Tag}}", "slipway/stack-shared-run"]);
    assert_eq!(tags().lines().count(), 3, "a name for all and one for each: {}", tags());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    // Without the template, the layers are of no use to a platform.
    platform("swshared-1", Vec::new()).reap().await;
    assert_eq!(tags().lines().filter(|tag| tag.ends_with("-swshared-1")).count(), 0, "it gave up its own: {}", tags());
    assert_eq!(tags().lines().count(), 2, "what the other one uses stays: {}", tags());
    two.boot_template(&template, &note).await.expect("layers");
    assert_eq!(made(), 2, "nothing was made again");
    platform("swshared-2", Vec::new()).reap().await;
    assert_eq!(tags(), "", "nobody uses them");
    builder.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_of_another_life_are_reaped() {
    use manager::Builder as _;
    let mut builder = TestBuilder::new("limits-reap", small()).await;
    builder.build(&Files::script("true")).await.expect("it builds, so that its stack is there");
    let image = docker(&["images", "--quiet", "slipway/stack-procfile-build"]);
    let image = image.lines().next().expect("the layer").to_owned();
    let mine = format!("slipway.scope={SCOPE}");
    let run = |build: &str, labels: &[&str]| {
        let labels = labels.iter().flat_map(|label| ["--label", label]);
        docker(
            &["run", "--detach", "--network", "none", "--name", build]
                .into_iter()
                .chain(labels)
                .chain([image.as_str(), "sleep", "1000"])
                .collect::<Vec<_>>(),
        )
    };
    run("slipway-b-left-over", &["slipway.kind=build", "slipway.life=another", &mine]);
    run("slipway-sandbox-left-over", &["slipway.kind=sandbox", "slipway.life=another", &mine]);
    let foreign = run("slipway-b-of-another-platform", &["slipway.kind=build", "slipway.life=another", "slipway.scope=another"]);
    // What a layer is once a newer one of its recipe has taken its name.
    let nameless = |scope: &str| docker(&["commit", "--change", &format!("LABEL slipway.layer={scope}"), &foreign]);
    let (worn, of_another) = (nameless(SCOPE), nameless("another"));
    run("slipway-stack-begun", &["slipway.kind=stack", &mine]);
    builder.buildstep.reap().await;
    let left = builder.found();
    let images = docker(&["images", "--no-trunc", "--quiet", "--filter", "dangling=true"]);
    let others = docker(&["rmi", &of_another]);
    let references = docker(&["images", "--no-trunc", "--format", "{{.Tag}}", "slipway/stack-procfile-build"]);
    let foreign_runs = docker(&["inspect", "--format", "{{.State.Running}}", &foreign]);
    docker(&["rm", "--force", "--volumes", &foreign]);
    assert!(!left.iter().any(|found| found.contains("left-over")), "{left:?}");
    assert!(left.iter().any(|found| found.starts_with("container slipway-sandbox-")), "what this life keeps stays: {left:?}");
    assert_eq!(foreign_runs, "true", "a container of another platform was touched");
    assert!(!images.contains(&worn), "a layer that lost its name stays: {images}");
    assert!(images.contains(&of_another) && others.contains(&of_another), "a layer of another platform was touched: {images}");
    assert!(references.lines().any(|tag| tag.ends_with(&format!("-{SCOPE}"))), "the layer that it uses is not marked: {references}");
    assert!(left.iter().any(|found| found == "container slipway-stack-begun"), "a layer that may be in the making was touched");
    builder.next_life().await;
    builder.buildstep.reap().await;
    let left = builder.found();
    assert!(!left.iter().any(|found| found.starts_with("container ")), "what the life before left is there: {left:?}");
    builder.close().await;
}
