//! The networks that builds run in: kept for the next build, never shared by two, made anew when they were taken away.

mod support;

use std::sync::Arc;

use buildstep::Limits;
use model::{AppEnv, Code, UserError};
use support::{Bench, Files, Heard, docker};
use tokio_util::sync::CancellationToken;

/// Tells its network, then goes on as it is told.
fn telling(then: &str) -> Files {
    Files::script(&format!("echo network $(readlink /proc/self/ns/net)\n{then}"))
}

/// The network that a build of these files, alone, ran in.
async fn network(bench: &Bench, files: &Files) -> Result<String, UserError> {
    let heard = Arc::new(Heard::default());
    bench.build_heard(&bench.job(files), CancellationToken::new(), heard.clone()).await?;
    Ok(heard.told("network ").expect("its script tells"))
}

/// Containers of the bench that hold a network.
fn holders(bench: &Bench) -> Vec<String> {
    let found = bench.found();
    found.iter().filter_map(|found| found.strip_prefix("container ")).filter(|name| name.contains("-sandbox-")).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_kept_for_the_next_build_and_goes_at_the_end() {
    let bench = Bench::new("sandbox-kept", Limits::default()).await;
    let first = network(&bench, &telling("true")).await.expect("it builds");
    assert_eq!(holders(&bench).len(), 1);
    assert_eq!(network(&bench, &telling("true")).await.expect("it builds"), first, "the network is kept");
    let failed = network(&bench, &telling("exit 1")).await.expect_err("it fails");
    assert_eq!(failed.code, Code::BuildFailed);
    assert_eq!(network(&bench, &telling("true")).await.expect("it builds"), first, "also after a build that failed");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_builds_at_once_never_share_one() {
    let bench = Arc::new(Bench::new("sandbox-two", Limits::default()).await);
    let (heard, cancel) = (Arc::new(Heard::default()), CancellationToken::new());
    let app: AppEnv = "testing/sandbox-other/dev".parse().expect("an app");
    let long = bench.job_of(app.clone(), &telling("sleep 1000"));
    let mut running = tokio::spawn({
        let (bench, heard, cancel) = (bench.clone(), heard.clone(), cancel.clone());
        async move { bench.build_heard(&long, cancel, heard).await }
    });
    let held = tokio::select! {
        held = heard.wait("network ") => held,
        ended = &mut running => panic!("it ended: {ended:?}"),
    };
    let other = network(&bench, &telling("true")).await.expect("it builds beside the other");
    assert_ne!(other, held);
    assert_eq!(network(&bench, &telling("true")).await.expect("it builds"), other, "the free one is lent, not the held one");
    assert_eq!(holders(&bench).len(), 2);
    cancel.cancel();
    let cancelled = running.await.expect("no panic").expect_err("it was cancelled");
    assert_eq!(cancelled.code, Code::Cancelled);
    bench.builder.purge_cache(&app.app_ref()).await.expect("purged");
    let bench = Arc::into_inner(bench).expect("no build holds it");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_taken_away_is_made_anew() {
    let bench = Bench::new("sandbox-taken", Limits::default()).await;
    for ending in [&["rm", "--force"][..], &["kill"][..]] {
        network(&bench, &telling("true")).await.expect("it builds");
        let before = holders(&bench);
        assert_eq!(before.len(), 1);
        docker(&[ending, &[before[0].as_str()]].concat());
        network(&bench, &telling("true")).await.unwrap_or_else(|user_error| panic!("after {ending:?}: {user_error}"));
        let after = holders(&bench);
        assert!(after.len() == 1 && after != before, "after {ending:?}: {before:?}, then {after:?}");
    }
    bench.close().await;
}
