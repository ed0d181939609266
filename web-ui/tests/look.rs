//! The pages in a real browser: signing in, live logs, forms, hostile texts; and pictures of every page in both themes and on
//! a phone, which want to be looked at: `SHOTS=/some/folder scripts/test -p web-ui` keeps them.

mod browser;
mod platform;

use std::sync::Arc;

use browser::Browser;
use model::{AppEnv, Code, Exit, InstanceState, UserError};
use platform::{EVIL, PASSWORD, Platform, operator, shop};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

async fn seed(platform: &Platform) -> (String, String, Arc<Notify>) {
    let web = "web".parse().expect("a name");
    for name in ["acme/blog", "acme/search", "acme/mailer", "acme/landing-page"] {
        let app: AppEnv = format!("{name}/dev").parse().expect("a path");
        platform.manager.create_app(&operator(), &app.app_ref(), Some(&web)).await.expect("an app");
    }
    *platform.building.processes.lock().expect("unpoisoned") =
        vec![("web".into(), "gunicorn app:app -b :$PORT".into()), ("worker".into(), "python worker.py".into())];
    *platform.building.lines.lock().expect("unpoisoned") = [
        "-----> Python 3.13.2 (from .python-version)",
        "-----> Installing requirements with pip",
        "       Collecting flask==3.1.0",
        "         Downloading flask-3.1.0-py3-none-any.whl (102 kB)",
        "       \u{1b}[33mWARNING: Running pip as the 'root' user can result in broken permissions\u{1b}[0m",
        "       Collecting werkzeug>=3.1 (from flask==3.1.0)",
        "       \u{1b}[32mSuccessfully installed\u{1b}[0m flask-3.1.0 gunicorn-23.0.0 jinja2-3.1.5 werkzeug-3.1.3",
        "       took 4.2 s",
        "-----> Slug: 18.4 MB (+ 212.0 kB against v2)",
        "-----> Pushing the image",
        "       1 new layer of 18.4 MB, 3 known",
    ]
    .map(str::to_owned)
    .to_vec();
    let commit = |n: u32| model::Digest::of(&n.to_be_bytes()).hex()[..40].to_owned();
    let prod: AppEnv = "acme/shop/prod".parse().expect("a path");
    for (n, subject) in [(1, "Show the price with its currency"), (2, "Cache the front page for a minute"), (3, "Let guests check out")] {
        platform.push(if n == 2 { "dee" } else { "ada" }, &shop(), &commit(n), subject).await.expect("a release");
    }
    platform.push("ada", &prod, &commit(2), "Cache the front page for a minute").await.expect("a release");
    for (n, name) in [(5, "acme/blog/dev"), (6, "acme/blog/prod"), (7, "acme/search/dev"), (8, "acme/mailer/dev")] {
        platform.push("opa", &name.parse().expect("a path"), &commit(n), "Say hello to the new team").await.expect("a release");
    }
    let ada = platform.identity("ada").await;
    let set = [("DATABASE_URL", "postgres://x"), ("SENTRY_DSN", "x"), ("GREETING", "hello")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let number = platform.manager.set_config(&ada, &shop(), set.into(), Vec::new()).await.expect("config").release.expect("a release");
    platform.manager.roll_out(&shop(), number, Arc::new(manager::output::Discard)).await.expect("a rollout");
    platform.manager.add_domain(&ada, &shop(), &"shop.example.com".parse().expect("a name")).await.expect("a domain");
    let counts = [("web", 3_u32), ("worker", 1)].map(|(name, count)| (name.parse().expect("a name"), count));
    platform.manager.scale(&ada, &shop(), &counts.into()).await.expect("a scale");
    platform.manager.restart(&platform.identity("vic").await, &shop()).await.expect_err("a denial");
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g ada@laptop";
    platform.manager.add_key(&ada, &"ada".parse().expect("a name"), key).await.expect("a key");
    // One worker that crashes, one search that starts.
    while platform.live.instances().await.expect("instances").iter().filter(|one| one.app == shop()).count() < 4 {
        tokio::task::yield_now().await;
    }
    let instances = platform.live.instances().await.expect("instances");
    let mut states = std::collections::BTreeMap::new();
    for mut one in instances {
        let key = format!("{}/{}", one.app, one.label());
        if key == "acme/shop/dev/worker.1" {
            one.state = InstanceState::Flapping;
            one.restarts = 6;
            one.reason = Some("exited with status 1 six times within 5 min; it is started again in 40 s".into());
            one.code = Some(Code::Flapping);
            let lines = [
                "Traceback (most recent call last):",
                "  File \"/app/worker.py\", line 12, in <module>",
                "ModuleNotFoundError: No module named 'redis'",
            ];
            one.last_exit = Some(Exit { code: 1, oom: false, at: chrono::Utc::now(), last_lines: lines.map(str::to_owned).to_vec() });
            states.insert(key, one);
        } else if key.starts_with("acme/search/dev/web") {
            one.state = InstanceState::Starting;
            states.insert(key, one);
        }
    }
    platform.states.lock().expect("unpoisoned").extend(states);
    platform.changed.notify_one();
    *platform.building.fail.lock().expect("unpoisoned") = Some(
        UserError::new(Code::BuildFailed, "the build of acme/shop/dev failed in `pip install`")
            .why("pip could not find a version of `flaskk` that fits.")
            .evidence("ERROR: Could not find a version that satisfies the requirement flaskk==3.1.0")
            .evidence("ERROR: No matching distribution found for flaskk==3.1.0")
            .next("check the name in requirements.txt, line 3")
            .next("git commit -am 'Mend requirements' && git push paas-dev main"),
    );
    platform.push("dee", &shop(), &commit(12), "Try another framework").await.expect_err("a failure");
    let failed = platform.manager.builds(&ada, &shop(), 1).await.expect("builds").remove(0).id.to_string();
    *platform.lines.stored.lock().expect("unpoisoned") = (0..60)
        .map(|n| match n % 5 {
            0 => format!("2026-05-04T12:00:{:02}.120Z web.1 v4 10.0.0.7 \"GET /cart HTTP/1.1\" \u{1b}[32m200\u{1b}[0m 12 ms", n),
            1 => format!("2026-05-04T12:00:{:02}.340Z web.2 v4 10.0.0.9 \"POST /checkout HTTP/1.1\" \u{1b}[33m302\u{1b}[0m 48 ms", n),
            2 => format!("2026-05-04T12:00:{:02}.500Z web.3 v4 10.0.0.4 \"GET /nope HTTP/1.1\" \u{1b}[31m404\u{1b}[0m 3 ms", n),
            3 => format!("2026-05-04T12:00:{:02}.700Z web.1 v4 \u{1b}[2mdebug\u{1b}[0m cache hit for front page", n),
            _ => format!("2026-05-04T12:00:{:02}.900Z worker.1 v4 ModuleNotFoundError: No module named 'redis'", n),
        })
        .collect();
    let hold = Arc::new(Notify::new());
    *platform.building.hold.lock().expect("unpoisoned") = Some(hold.clone());
    (failed, commit(13), hold)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_in_a_real_browser() {
    let passing = tempfile::tempdir().expect("a folder");
    let shots = std::env::var_os("SHOTS").map_or_else(|| passing.path().to_path_buf(), std::path::PathBuf::from);
    std::fs::create_dir_all(&shots).expect("a folder");
    let platform = Arc::new(Platform::start().await);
    platform.session("ada").await;
    let shutdown = CancellationToken::new();
    let bound = platform.ui.bind("127.0.0.1:0".parse().expect("an address")).await.expect("a listener");
    let base = format!("http://localhost:{}", bound.address().expect("an address").port());
    let serving = tokio::spawn(bound.serve(shutdown.clone()));
    let mut browser = Browser::start().await;

    // Signing in leads to where one wanted to go.
    browser.look(1280, false).await;
    browser.open(&format!("{base}/apps/acme/shop/dev")).await;
    browser.until("location.pathname === '/sign-in'").await;
    browser.shoot(&shots.join("sign-in-1280-light.png"), 1280).await;
    let fill =
        format!("user.value = 'ada'; password.value = '{PASSWORD}'; document.querySelector('form[action=\"/sign-in\"]').requestSubmit()");
    browser.leave_by(&fill).await;
    assert_eq!(browser.value("location.pathname").await, "/apps/acme/shop/dev");
    // A page that shows nothing yet comes to life with the first push, without being asked again.
    browser.until("document.body.innerText.includes('Nothing is deployed to dev')").await;
    let (failed, commit, hold) = seed(&platform).await;
    browser.until("document.querySelector('#ps').innerText.includes('worker.1')").await;
    browser.until("document.querySelector('#facts').innerText.includes('3 of 4 healthy')").await;
    browser.leave_by("document.querySelector('#more-web').click()").await;
    browser
        .until("document.querySelector('#ps output').innerText === '4' && document.querySelector('#ps').innerText.includes('web.4')")
        .await;
    assert_eq!(browser.value("location.search").await, "", "what was just done stays in the address");

    let blog: AppEnv = "acme/blog/dev".parse().expect("a path");
    let pushing = {
        let (platform, blog) = (platform.clone(), blog.clone());
        tokio::spawn(async move { platform.push("dee", &blog, &commit, "Write about the launch").await })
    };
    let who = platform.identity("ada").await;
    let running = loop {
        let newest = platform.manager.builds(&who, &blog, 1).await.expect("builds").remove(0);
        if newest.state == model::BuildState::Running {
            break newest.id;
        }
        tokio::task::yield_now().await;
    };
    let pages = [
        ("home", "/".to_owned()),
        ("app", "/apps/acme/shop/dev".into()),
        ("empty", "/apps/acme/landing-page/dev".into()),
        ("build-failed", format!("/builds/{failed}")),
        ("build-live", format!("/builds/{running}")),
        ("logs", "/apps/acme/shop/dev/logs".into()),
        ("diff", "/apps/acme/shop/dev/diff?from=v4&to=v2&back=true".into()),
        ("account", "/account".into()),
        ("codes", "/errors".into()),
        ("code", "/errors/SW-R101".into()),
        ("missing", "/apps/acme/nope/dev".into()),
    ];
    for (name, path) in &pages {
        browser.open(&format!("{base}{path}")).await;
        if name.contains("live") || *name == "logs" {
            browser.until("document.querySelector('.log-status.on') && document.querySelectorAll('.log .l').length > 10").await;
        }
        for (width, dark) in [(1280, false), (1280, true), (390, false), (390, true)] {
            browser.look(width, dark).await;
            let over = browser.value("document.documentElement.scrollWidth - innerWidth").await;
            assert!(over.as_i64().is_some_and(|over| over <= 0), "{name} is {over} pixels wider than a screen of {width}");
            let theme = if dark { "dark" } else { "light" };
            browser.shoot(&shots.join(format!("{name}-{width}-{theme}.png")), width).await;
        }
        browser.look(1280, false).await;
    }

    // A live log keeps its lines in order, its filter hides, and hostile lines stay text.
    browser.open(&format!("{base}/apps/acme/shop/dev/logs")).await;
    browser.until("document.querySelector('.log-status.on') && document.querySelectorAll('.log .l').length === 60").await;
    platform.lines.coming.send(format!("web.1 \u{1b}[31m{EVIL}\u{1b}[0m")).expect("a listener");
    browser.until("document.querySelector('.log').lastElementChild.innerText.includes('<script>alert(1)')").await;
    assert_eq!(browser.value("document.querySelectorAll('.log script, .log img, .log svg').length").await, 0);
    browser
        .value(
            "const field = document.querySelector('[data-log-filter]'); field.value = 'checkout'; field.dispatchEvent(new Event('input'))",
        )
        .await;
    browser.until("document.querySelectorAll('.log .l:not([hidden])').length === 12").await;

    // A build that is watched ends before one's eyes.
    browser.open(&format!("{base}/builds/{running}")).await;
    browser.until("document.querySelector('.log').innerText.includes('Pushing the image')").await;
    hold.notify_one();
    pushing.await.expect("no panic").expect("a release");
    browser.until("document.querySelector('#state').innerText.includes('live')").await;
    browser
        .until("document.querySelector('.facts').innerText.includes('v2') && document.querySelector('.log').innerText.includes('went on')")
        .await;

    // The way back shows what it changes, then does it.
    browser.open(&format!("{base}/apps/acme/shop/dev")).await;
    browser.leave_by("document.querySelector('[aria-label=\"Roll back to v2\"]').click()").await;
    browser.until("document.body.innerText.includes('Go back to v2?')").await;
    browser.leave_by("document.querySelector('form[action$=rollback]').requestSubmit()").await;
    browser.until("document.querySelector('#releases').innerText.includes('rollback to v2')").await;

    let clean = browser.said.is_empty();
    assert!(clean, "the console of the browser is not clean: {:#?}", browser.said);
    browser.stop().await;
    shutdown.cancel();
    serving.await.expect("no panic");
    Arc::into_inner(platform).expect("the last holder").stop().await;
}
