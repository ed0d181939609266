//! A ref and its release agree: what becomes of prepared releases when pushes end, over a real manager and its database.

mod platform;

use std::sync::Arc;

use manager::output::Discard;
use model::{ReleaseNumber, ReleaseState};
use platform::{Platform, shop};

const ONE: &str = "1111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222";

async fn state(platform: &Platform, number: u32) -> ReleaseState {
    let stored = platform.manager.records().release(&shop(), ReleaseNumber(number)).await.expect("records");
    stored.expect("a release").release.state
}

#[tokio::test]
async fn a_push_that_ends_gives_up_its_own_release_and_no_other() {
    let platform = Platform::start().await;
    platform.prepare("ada", &shop(), ONE, "one").await.expect("a prepared release");
    // Another push to the same app, refused late: it ends while the first is about to move the ref.
    platform.manager.settle(&shop(), Some(TWO), None).await.expect("settled");
    assert_eq!(state(&platform, 1).await, ReleaseState::Prepared, "another push's release was given up");
    let who = platform.identity("ada").await;
    platform.manager.activate(&who, &shop(), ONE, Arc::new(Discard)).await.expect("live");
    assert_eq!(state(&platform, 1).await, ReleaseState::Live);

    platform.prepare("ada", &shop(), TWO, "two").await.expect("a prepared release");
    platform.manager.settle(&shop(), Some(TWO), Some(ONE)).await.expect("settled");
    assert_eq!(state(&platform, 2).await, ReleaseState::Aborted, "its ref did not move");
    platform.stop().await;
}

#[tokio::test]
async fn two_pushes_of_one_commit_both_end_well() {
    let platform = Platform::start().await;
    platform.prepare("ada", &shop(), ONE, "one").await.expect("a prepared release");
    // The ref has moved, and the other push of this commit settles before this one's hook speaks.
    platform.manager.settle(&shop(), Some(ONE), Some(ONE)).await.expect("settled");
    let who = platform.identity("ada").await;
    platform.manager.activate(&who, &shop(), ONE, Arc::new(Discard)).await.expect("live, though another has made it active");
    assert_eq!(state(&platform, 1).await, ReleaseState::Live);
    platform.stop().await;
}

#[tokio::test]
async fn a_start_settles_all_that_is_open_by_where_the_ref_stands() {
    let platform = Platform::start().await;
    platform.prepare("ada", &shop(), ONE, "one").await.expect("a prepared release");
    platform.manager.settle(&shop(), None, None).await.expect("settled");
    assert_eq!(state(&platform, 1).await, ReleaseState::Aborted);
    let who = platform.identity("ada").await;
    let error = platform.manager.activate(&who, &shop(), ONE, Arc::new(Discard)).await.expect_err("what was given up is not served");
    assert_eq!(error.code, model::Code::Internal);
    platform.stop().await;
}
