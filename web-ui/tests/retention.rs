//! What piles up goes, and nothing that serves or may serve again: over a real manager and its database.

mod platform;

use manager::retention::Keep;
use model::ReleaseNumber;
use platform::{Platform, operator, shop};

#[tokio::test]
async fn old_builds_and_releases_go_with_all_that_only_they_named() {
    let platform = Platform::start().await;
    let (manager, records) = (&platform.manager, platform.manager.records());
    for n in 1..=6 {
        platform.push("ada", &shop(), &format!("{n:040}"), "a change").await.expect("a release");
    }
    let log = |build: &model::Build| platform.dir.path().join("builds").join(format!("{}.log", build.id));
    let before = records.builds(&shop(), 50).await.expect("builds");
    assert!(before.len() == 6 && before.iter().all(|build| log(build).exists()));

    let keep = Keep { builds: 2, releases: 3 };
    assert_eq!(manager.expire(keep).await.expect("a round"), (3, 3), "the builds of three kept releases stay");
    assert_eq!(manager.expire(keep).await.expect("a round"), (0, 0), "a second round finds nothing");

    let releases = records.releases(&shop(), 50).await.expect("releases");
    assert_eq!(releases.iter().map(|stored| stored.release.number.0).collect::<Vec<_>>(), [6, 5, 4]);
    let kept = records.builds(&shop(), 50).await.expect("builds");
    assert_eq!(kept.iter().map(|build| &build.id).collect::<Vec<_>>(), before[..3].iter().map(|build| &build.id).collect::<Vec<_>>());
    assert!(before[..3].iter().all(|build| log(build).exists()) && !before[3..].iter().any(|build| log(build).exists()));
    // What the sweeper of images goes by.
    let mut named = records.slug_images().await.expect("slugs");
    let mut wanted = records.release_images().await.expect("images");
    for images in [&mut named, &mut wanted] {
        images.sort();
    }
    assert_eq!((named.len(), &named), (3, &wanted), "an image is named that nothing kept runs");
    for (number, is_kept) in [(1, false), (3, false), (4, true), (6, true)] {
        let spec = platform.live.spec(&shop(), ReleaseNumber(number)).await.expect("coordination");
        assert_eq!(spec.is_some(), is_kept, "the spec of v{number}");
    }
    let events = manager.events(&operator(), &"acme".parse().expect("a name"), Some(&shop().app_ref()), 50).await.expect("events");
    assert_eq!(events.iter().filter(|event| event.verb == "expire").count(), 1, "one round is one event");
    assert_eq!(events.iter().filter(|event| event.verb == "push").count(), 6, "an event is gone");

    // One can go back, and is then kept as long as it serves.
    let back = manager.rollback(&operator(), &shop(), Some(ReleaseNumber(4))).await.expect("a rollback");
    assert_eq!(back, ReleaseNumber(7));
    assert!(manager.rollback(&operator(), &shop(), Some(ReleaseNumber(1))).await.is_err(), "a removed release was rolled back to");
    platform.stop().await;
}

#[tokio::test]
async fn logs_of_a_destroyed_app_go_and_those_of_others_stay() {
    let platform = Platform::start().await;
    let (manager, records) = (&platform.manager, platform.manager.records());
    let blog: model::AppEnv = "acme/blog/dev".parse().expect("a path");
    manager.create_app(&operator(), &blog.app_ref(), Some(&"web".parse().expect("a team"))).await.expect("an app");
    for (n, app) in [(1, shop()), (2, shop()), (3, blog.clone())] {
        platform.push("ada", &app, &format!("{n:040}"), "a change").await.expect("a release");
    }
    let logs = || {
        let names = std::fs::read_dir(platform.dir.path().join("builds")).expect("logs").map(|entry| entry.expect("a log").file_name());
        names.map(|name| name.to_string_lossy().into_owned()).collect::<std::collections::BTreeSet<_>>()
    };
    let of = async |app| {
        let builds = records.builds(app, 50).await.expect("builds");
        builds.into_iter().map(|build| format!("{}.log", build.id)).collect::<Vec<_>>()
    };
    let (kept, newest) = (of(&blog).await, of(&shop()).await.swap_remove(0));
    manager.destroy_app(&operator(), &shop().app_ref(), "acme/shop").await.expect("destroyed");
    let hours_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7_200);
    for log in logs().into_iter().filter(|log| *log != newest) {
        let file = std::fs::File::options().append(true).open(platform.dir.path().join("builds").join(log)).expect("a log");
        file.set_modified(hours_ago).expect("another time");
    }
    let keep = Keep { builds: 10, releases: 10 };
    manager.expire(keep).await.expect("a round");
    assert_eq!(logs(), kept.into_iter().chain([newest]).collect(), "a log whose record may be about to come, or that has one, went");
    platform.stop().await;
}
