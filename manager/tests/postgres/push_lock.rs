//! A push that loses its lock stops, and writes no release.

use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use model::{BuildState, Code};
use store::records::Lock;
use tokio::sync::Notify;

use crate::platform::{DEADLINE, Platform, shop};

const ONE: &str = "1111111111111111111111111111111111111111";

/// Gives the lock to another push, as after its lease ran out.
async fn steal_lock(platform: &Platform, holder: &str) {
    platform.records.release_lock(&shop(), holder).await.expect("records");
    let now = Utc::now();
    let other = Lock {
        app: shop(),
        holder: "b-other".into(),
        owner: "eve".into(),
        reason: "push".into(),
        since: now,
        expires: now + TimeDelta::minutes(10),
    };
    assert_eq!(platform.records.take_lock(&other).await.expect("records").holder, "b-other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_without_its_lock_writes_no_release() {
    let platform = Platform::start().await;
    let hold = Arc::new(Notify::new());
    *platform.builder.hold.lock().expect("unpoisoned") = Some(hold.clone());
    let (pushed, ()) = tokio::join!(platform.prepare(ONE), async {
        let build = platform.until_build(BuildState::Running).await;
        steal_lock(&platform, build.as_str()).await;
        hold.notify_one();
    });
    let refused = pushed.expect_err("another push holds the lock");
    assert_eq!(refused.code, Code::Locked, "{refused}");
    assert!(platform.records.releases(&shop(), 10).await.expect("records").is_empty(), "a release was written");
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lock_is_noticed_while_the_build_runs() {
    let platform = Platform::start().await;
    // Never let go: only the loss of the lock ends the build.
    *platform.builder.hold.lock().expect("unpoisoned") = Some(Arc::new(Notify::new()));
    let pushing = tokio::time::timeout(DEADLINE, platform.prepare(ONE));
    let (pushed, ()) = tokio::join!(pushing, async {
        let build = platform.until_build(BuildState::Running).await;
        steal_lock(&platform, build.as_str()).await;
    });
    let refused = pushed.expect("the build did not end").expect_err("another push holds the lock");
    assert_eq!(refused.code, Code::Locked, "{refused}");
    let held = platform.records.lock(&shop()).await.expect("records").expect("a lock");
    assert_eq!(held.holder, "b-other", "the lock of the other push was released");
    platform.stop().await;
}
