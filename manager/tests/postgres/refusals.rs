//! Refusals are counted, and never displace the events of what was done.

use model::Code;
use store::records::{Member, Role};

use crate::platform::{Platform, operator, shop};

#[tokio::test(flavor = "multi_thread")]
async fn many_refusals_are_one_count_and_no_event() {
    let platform = Platform::start().await;
    let vic = "vic".parse().expect("a name");
    platform.manager.create_user(&operator(), &vic, false).await.expect("a user");
    let team = "web".parse().expect("a name");
    let member = Member { tenant: shop().tenant, team, user: vic.clone(), role: Role::Viewer };
    platform.manager.set_member(&operator(), &member).await.expect("a member");
    let vic = platform.manager.identity(&vic, "test").await.expect("a user");
    for _ in 0..500 {
        let refused = platform.manager.restart(&vic, &shop()).await.expect_err("a viewer");
        assert_eq!(refused.code, Code::NotAllowed);
    }
    assert_eq!(platform.events("restart").await, [], "refusals are events");
    assert_eq!(platform.events("apps:create").await.len(), 1, "the real events are out of view");
    let refusals = platform.manager.refusals(&platform.ada().await, &shop().tenant, 50).await.expect("refusals");
    // Two, when the hour turned in between.
    assert!(refusals.len() <= 2, "{refusals:?}");
    assert_eq!(refusals.iter().map(|refusal| refusal.count).sum::<u64>(), 500);
    assert_eq!((refusals[0].actor.as_str(), refusals[0].verb.as_str(), refusals[0].object.as_str()), ("vic", "restart", "acme/shop/dev"));
    assert!(platform.manager.refusals(&vic, &shop().tenant, 50).await.is_err(), "a viewer reads who was refused");
    platform.stop().await;
}
