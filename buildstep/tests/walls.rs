//! What a hostile or broken build meets: each limit ends it, is named with its code, and nothing stays behind.

mod support;

use std::time::{Duration, Instant};

use buildstep::Limits;
use model::{Code, Trouble};
use support::{Bench, Files, docker};
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
async fn refused(name: &str, limits: Limits, script: &str) -> (Trouble, Bench) {
    let bench = Bench::new(name, limits).await;
    let job = bench.job(&Files::script(script));
    let trouble = match bench.build_job(&job, CancellationToken::new()).await {
        Ok(_) => panic!("{name} was built"),
        Err(trouble) => trouble,
    };
    bench.assert_clean(&job);
    bench.purge().await;
    (trouble, bench)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_build_shows_its_last_words() {
    let (trouble, _) = refused("walls-fail", small(), "echo first\necho the reason >&2\nexit 3").await;
    assert_eq!(trouble.code, Code::BuildFailed);
    assert!(trouble.evidence.contains(&"the reason".to_owned()), "{trouble}");
    assert!(trouble.why.contains("exit code 3"), "{trouble}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_hog_is_named() {
    let (trouble, _) = refused("walls-memory", small(), "head -c 400M /dev/zero | tail").await;
    assert_eq!(trouble.code, Code::BuildMemory, "{trouble}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_is_named() {
    let start = Instant::now();
    let (trouble, _) = refused("walls-forks", small(), "bomb() { bomb | bomb & }\nbomb\nsleep 100").await;
    assert_eq!(trouble.code, Code::BuildProcesses, "{trouble}");
    assert!(start.elapsed() < Duration::from_secs(50), "it took {:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_build_ends() {
    let limits = Limits { time: Duration::from_secs(3), ..small() };
    let start = Instant::now();
    let (trouble, _) = refused("walls-time", limits, "trap '' TERM INT HUP\nsetsid sleep 1000 &\nwhile :; do sleep 1; done").await;
    assert_eq!(trouble.code, Code::BuildTime, "{trouble}");
    assert!(start.elapsed() < Duration::from_secs(30), "it took {:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named() {
    let (trouble, _) = refused("walls-disk", small(), "for i in $(seq 100); do head -c 50M /dev/zero > /tmp/fill$i; sleep 0.1; done").await;
    assert_eq!(trouble.code, Code::BuildDisk, "{trouble}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_cache_is_named() {
    let (trouble, _) =
        refused("walls-cache", small(), "for i in $(seq 100); do head -c 50M /dev/zero > /cache/build/fill$i; sleep 0.1; done").await;
    assert_eq!(trouble.code, Code::BuildDisk, "{trouble}");
}

#[tokio::test(flavor = "multi_thread")]
async fn countless_files_are_named() {
    let (trouble, _) =
        refused("walls-files", small(), "cd /tmp; for d in $(seq 200); do mkdir $d; (cd $d; touch $(seq 1000)); done; sleep 20").await;
    assert_eq!(trouble.code, Code::BuildDisk, "{trouble}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_of_output_is_capped_and_the_build_goes_on() {
    let bench = Bench::new("walls-output", small()).await;
    let job = bench.job(&Files::script("printf '\\033]0;title\\007\\033[31mred\\033[0m\\n'\nyes some words to fill the log with | head -c 1G\nhead -c 100M /dev/zero\necho done > result"));
    let slug = bench.build_job(&job, CancellationToken::new()).await.expect("it builds");
    bench.assert_clean(&job);
    let heard = bench.heard.text();
    assert!(heard.len() < 300_000, "{} bytes were passed on", heard.len());
    assert!(heard.contains("\u{1b}[31mred\u{1b}[0m") && !heard.contains("title"), "colours stay, titles go");
    assert!(heard.contains("not shown"), "it must be said that output is missing");
    assert!(slug.size > 0);
    bench.purge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_build_ends_at_once() {
    let bench = Bench::new("walls-cancel", small()).await;
    let job = bench.job(&Files::script("echo begun\nsleep 1000"));
    let cancel = CancellationToken::new();
    let (stop, heard) = (cancel.clone(), bench.heard.clone());
    tokio::spawn(async move {
        while !heard.text().contains("begun") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.cancel();
    });
    let start = Instant::now();
    let trouble = bench.build_job(&job, cancel).await.expect_err("it was cancelled");
    assert_eq!(trouble.code, Code::Cancelled);
    assert!(start.elapsed() < Duration::from_secs(60), "it took {:?}", start.elapsed());
    bench.assert_clean(&job);
    bench.purge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_whose_asker_is_gone_leaves_nothing() {
    let bench = Bench::new("walls-dropped", small()).await;
    let job = bench.job(&Files::script("echo begun\nsleep 1000"));
    let heard = bench.heard.clone();
    tokio::select! {
        _ = bench.build_job(&job, CancellationToken::new()) => panic!("it can not end"),
        () = async { while !heard.text().contains("begun") { tokio::time::sleep(Duration::from_millis(20)).await; } } => {}
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while !docker(&["ps", "--all", "--quiet", "--filter", &format!("label=slipway.build={}", job.build)]).is_empty() {
        assert!(Instant::now() < deadline, "the container of a dropped build stays");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bench.purge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_sees_no_more_than_it_should() {
    let bench = Bench::new("walls-inside", small()).await;
    let script = r#"id -u
grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status
ls /var/run/docker.sock 2>&1 || true
env | sort
touch /etc/x /usr/x 2>&1 || true
cat /slipway/build.sh > /dev/null && echo readable; echo >> /slipway/build.sh || echo not writable
"#;
    bench.build(&Files::script(script)).await.expect("it builds");
    let heard = bench.heard.text();
    assert!(heard.contains("\n10001\n"), "{heard}");
    assert!(heard.contains("CapEff:\t0000000000000000") && heard.contains("CapBnd:\t0000000000000000"), "{heard}");
    assert!(heard.contains("NoNewPrivs:\t1") && heard.contains("Seccomp:\t2"), "{heard}");
    assert!(heard.contains("/var/run/docker.sock': No such file") && heard.contains("'/etc/x': Permission denied"), "{heard}");
    assert!(heard.contains("not writable"), "{heard}");
    bench.purge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_of_another_life_are_reaped() {
    use manager::Builder as _;
    let bench = Bench::new("walls-reap", small()).await;
    bench.build(&Files::script("true")).await.expect("it builds, so that its stack is there");
    let image = docker(&["images", "--quiet", "slipway/stack-procfile-build"]);
    let image = image.lines().next().expect("the layer").to_owned();
    // Named like a build of this test alone: others run at the same time, so only this one may be looked at.
    let labels =
        ["slipway.kind=build", "slipway.scope=slipway-build-test", "slipway.build=b-left-over"].map(|label| format!("--label={label}"));
    docker(&["run", "--detach", &labels[0], &labels[1], &labels[2], &image, "sleep", "1000"]);
    bench.builder.reap().await;
    assert_eq!(docker(&["ps", "--all", "--quiet", "--filter", "label=slipway.build=b-left-over"]), "");
    bench.purge().await;
}
