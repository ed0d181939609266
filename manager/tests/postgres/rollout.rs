//! How rollouts end: live, failed with the last good release serving, or superseded.

use model::{Code, InstanceState, ReleaseNumber, ReleaseState};

use crate::platform::{Platform, shop};

const ONE: &str = "1111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222";
const THREE: &str = "3333333333333333333333333333333333333333";

async fn live_one(platform: &Platform) {
    platform.prepare(ONE).await.expect("a prepared release");
    let rollout = platform.activate(ONE).await;
    platform.report(1, InstanceState::Healthy, 0).await;
    rollout.await.expect("no panic").expect("live");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superseded_rollout_is_no_failure_and_no_rollback() {
    let platform = Platform::start().await;
    live_one(&platform).await;
    platform.prepare(TWO).await.expect("a prepared release");
    let second = platform.activate(TWO).await;
    platform.until_state(2, ReleaseState::Active).await;
    platform.report(2, InstanceState::Starting, 0).await;
    platform.prepare(THREE).await.expect("a prepared release");
    let third = platform.activate(THREE).await;
    let superseded = second.await.expect("no panic").expect_err("a newer release took its place");
    assert_eq!(superseded.code, Code::Superseded);
    platform.until_state(2, ReleaseState::Superseded).await;
    assert_eq!(platform.events("rollback").await, [], "nothing was rolled back");
    platform.report(3, InstanceState::Healthy, 0).await;
    platform.forget(1).await;
    third.await.expect("no panic").expect("live");
    assert_eq!(platform.release(1).await.state, ReleaseState::Retired);
    assert_eq!(platform.release(2).await.state, ReleaseState::Superseded, "it never was live");
    assert_eq!(platform.records.env(&shop()).await.expect("records").expect("the app").current, Some(ReleaseNumber(3)));
    // A rollback goes to what has served, past the one that never did.
    let ada = platform.ada().await;
    platform.manager.rollback(&ada, &shop(), None).await.expect("a rollback");
    let cause = platform.release(4).await.cause;
    assert_eq!(cause, model::release::Cause::Rollback { to: ReleaseNumber(1) });
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_rollout_goes_back_and_says_so_once() {
    let platform = Platform::start().await;
    live_one(&platform).await;
    platform.prepare(TWO).await.expect("a prepared release");
    let second = platform.activate(TWO).await;
    platform.until_state(2, ReleaseState::Active).await;
    platform.report(2, InstanceState::Crashed, 2).await;
    let failed = second.await.expect("no panic").expect_err("it crashes");
    assert_eq!(failed.code, Code::CrashedAtStart);
    assert!(failed.why.contains("v1 still serves"), "{failed}");
    assert_eq!(platform.release(2).await.state, ReleaseState::Failed);
    assert_eq!(platform.records.env(&shop()).await.expect("records").expect("the app").current, Some(ReleaseNumber(1)));
    let events = platform.events("rollback").await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].detail["failed"], 2);
    platform.stop().await;
}
