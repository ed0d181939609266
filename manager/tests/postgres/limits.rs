//! What is too much is refused at once, with its limit.

use std::collections::BTreeMap;

use model::Code;

use crate::platform::{Platform, shop};

#[tokio::test(flavor = "multi_thread")]
async fn a_value_with_a_nul_byte_is_refused_at_once() {
    let platform = Platform::start().await;
    let ada = platform.ada().await;
    let set = BTreeMap::from([("SECRET".to_owned(), "a\0b".to_owned())]);
    let refused = platform.manager.set_config(&ada, &shop(), set, Vec::new()).await.expect_err("no variable can hold it");
    assert_eq!(refused.code, Code::BadRequest, "{refused}");
    assert!(refused.what.contains("`SECRET` holds a NUL byte"), "{refused}");
    assert!(platform.manager.config_keys(&ada, &shop()).await.expect("keys").is_empty());
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_limited_in_all() {
    let platform = Platform::start().await;
    let ada = platform.ada().await;
    let counts = |counts: &[(&str, u32)]| counts.iter().map(|(name, count)| (name.parse().expect("a name"), *count)).collect();
    platform.manager.scale(&ada, &shop(), &counts(&[("web", 600)])).await.expect("600 are allowed");
    let refused = platform.manager.scale(&ada, &shop(), &counts(&[("worker", 500)])).await.expect_err("1,100 in all");
    assert_eq!((refused.code, refused.what.as_str()), (Code::BadRequest, "acme/shop/dev would have 1100 instances"));
    platform.stop().await;
}
