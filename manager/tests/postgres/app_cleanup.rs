//! A destroyed app leaves nothing to the next app of its name, whatever happens in between.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::Code;

use crate::platform::{Platform, TestCleanup, operator, shop};

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_the_cleanup_keeps_the_name_until_it_is_done() {
    let mut platform = Platform::start().await;
    let app = shop().app_ref();
    // No cleanup is set: as if the server had died between the commit and the cleanup.
    platform.manager.destroy_app(&operator(), &app, "shop").await.expect("destroyed");
    platform.restart();
    let refused = platform.manager.create_app(&operator(), &app, None).await.expect_err("its source is still there");
    assert_eq!(refused.code, Code::InUse, "{refused}");

    let cleanup = Arc::new(TestCleanup::default());
    cleanup.fails.store(true, Ordering::Release);
    platform.manager.set_app_cleanup(cleanup.clone());
    platform.manager.clean_up_all().await.expect("tried");
    let refused = platform.manager.create_app(&operator(), &app, None).await.expect_err("its source is still there");
    assert_eq!(refused.code, Code::InUse, "{refused}");

    cleanup.fails.store(false, Ordering::Release);
    platform.manager.clean_up_all().await.expect("done");
    let envs = vec![shop(), "acme/shop/prod".parse().expect("a path")];
    assert_eq!(*cleanup.done.lock().expect("unpoisoned"), [(app.clone(), envs)]);
    platform.manager.create_app(&operator(), &app, None).await.expect("an app of the same name");
    platform.manager.clean_up_all().await.expect("nothing to do");
    assert_eq!(cleanup.done.lock().expect("unpoisoned").len(), 1, "the new app was cleaned up");
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_wants_the_name_gets_the_cleanup_done_first() {
    let platform = Platform::start().await;
    let cleanup = Arc::new(TestCleanup::default());
    platform.manager.set_app_cleanup(cleanup.clone());
    cleanup.fails.store(true, Ordering::Release);
    let app = shop().app_ref();
    platform.manager.destroy_app(&operator(), &app, "shop").await.expect("destroyed");
    cleanup.fails.store(false, Ordering::Release);
    platform.manager.create_app(&operator(), &app, None).await.expect("an app of the same name");
    assert_eq!(cleanup.done.lock().expect("unpoisoned").len(), 1);
    platform.stop().await;
}
