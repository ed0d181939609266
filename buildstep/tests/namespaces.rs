//! The networks that builds run in: kept for the next build, never shared by two, made anew when they were taken away.

mod support;

use std::sync::Arc;

use buildstep::Limits;
use model::{AppEnv, Code, UserError};
use support::{Files, RecordedOutput, TestBuilder, docker};
use tokio_util::sync::CancellationToken;

/// Tells its network, then goes on as it is told.
fn telling(then: &str) -> Files {
    Files::script(&format!("echo network $(readlink /proc/self/ns/net)\n{then}"))
}

/// The network that a build of these files, lock, ran in.
async fn network(builder: &TestBuilder, files: &Files) -> Result<String, UserError> {
    let output = Arc::new(RecordedOutput::default());
    builder.build_with(&builder.job(files), CancellationToken::new(), output.clone()).await?;
    Ok(output.told("network ").expect("its script tells"))
}

/// Containers of the builder that hold a network.
fn holders(builder: &TestBuilder) -> Vec<String> {
    let found = builder.found();
    found.iter().filter_map(|found| found.strip_prefix("container ")).filter(|name| name.contains("-sandbox-")).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_kept_for_the_next_build_and_goes_at_the_end() {
    let builder = TestBuilder::new("namespace-kept", Limits::default()).await;
    let first = network(&builder, &telling("true")).await.expect("it builds");
    assert_eq!(holders(&builder).len(), 1);
    assert_eq!(network(&builder, &telling("true")).await.expect("it builds"), first, "the network is kept");
    let failed = network(&builder, &telling("exit 1")).await.expect_err("it fails");
    assert_eq!(failed.code, Code::BuildFailed);
    assert_eq!(network(&builder, &telling("true")).await.expect("it builds"), first, "also after a build that failed");
    builder.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_builds_at_once_never_share_one() {
    let builder = Arc::new(TestBuilder::new("namespace-two", Limits::default()).await);
    let (output, cancel) = (Arc::new(RecordedOutput::default()), CancellationToken::new());
    let app: AppEnv = "testing/namespace-other/dev".parse().expect("an app");
    let long = builder.job_of(app.clone(), &telling("sleep 1000"));
    let mut running = tokio::spawn({
        let (builder, output, cancel) = (builder.clone(), output.clone(), cancel.clone());
        async move { builder.build_with(&long, cancel, output).await }
    });
    let held = tokio::select! {
        held = output.wait("network ") => held,
        ended = &mut running => panic!("it ended: {ended:?}"),
    };
    let other = network(&builder, &telling("true")).await.expect("it builds beside the other");
    assert_ne!(other, held);
    assert_eq!(network(&builder, &telling("true")).await.expect("it builds"), other, "the free one is lent, not the held one");
    assert_eq!(holders(&builder).len(), 2);
    cancel.cancel();
    let cancelled = running.await.expect("no panic").expect_err("it was cancelled");
    assert_eq!(cancelled.code, Code::Cancelled);
    builder.buildstep.purge_cache(&app.app_ref()).await.expect("purged");
    let builder = Arc::into_inner(builder).expect("no build holds it");
    builder.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_taken_away_is_made_anew() {
    let builder = TestBuilder::new("namespace-taken", Limits::default()).await;
    for ending in [&["rm", "--force"][..], &["kill"][..]] {
        network(&builder, &telling("true")).await.expect("it builds");
        let before = holders(&builder);
        assert_eq!(before.len(), 1);
        docker(&[ending, &[before[0].as_str()]].concat());
        network(&builder, &telling("true")).await.unwrap_or_else(|user_error| panic!("after {ending:?}: {user_error}"));
        let after = holders(&builder);
        assert!(after.len() == 1 && after != before, "after {ending:?}: {before:?}, then {after:?}");
    }
    builder.close().await;
}

/// The engine says of a network that is being made neither that it is there nor that its name is taken.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_builds_at_once_agree_on_their_network() {
    let builder = Arc::new(TestBuilder::new("namespace-first", Limits::default()).await);
    // The layers are there before, so that all ask for the network at once.
    builder.buildstep.boot_template(&"procfile".parse().expect("a name"), &|_| {}).await.expect("layers");
    let apps: Vec<AppEnv> = (0..4).map(|n| format!("testing/namespace-first-{n}/dev").parse().expect("an app")).collect();
    let mut builds = tokio::task::JoinSet::new();
    for app in &apps {
        let (builder, job) = (builder.clone(), builder.job_of(app.clone(), &telling("true")));
        builds.spawn(async move { builder.build_with(&job, CancellationToken::new(), Arc::default()).await.map(drop) });
    }
    while let Some(built) = builds.join_next().await {
        built.expect("no panic").unwrap_or_else(|user_error| panic!("{user_error}"));
    }
    for app in &apps {
        builder.buildstep.purge_cache(&app.app_ref()).await.expect("purged");
    }
    Arc::into_inner(builder).expect("no build holds it").close().await;
}
