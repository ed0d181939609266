//! The pages against a real manager: signing in, what a browser may be made to do, hostile texts, streams, forms.

mod platform;

use http::{Method, StatusCode, header};
use model::{Code, InstanceState, UserError};
use platform::{EVIL, PASSWORD, Platform, Streamed, form, page, send, shop};

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_and_out() {
    let platform = Platform::start().await;
    let old = platform.session("ada").await;
    let router = platform.router();
    let home = send(&router, page("/", None)).await;
    assert_eq!((home.status, home.header("location")), (StatusCode::SEE_OTHER, "/sign-in"));
    let build = send(&router, page("/builds/b-0123456789?x=1&y=2", None)).await;
    assert_eq!(build.header("location"), "/sign-in?next=/builds/b-0123456789%3Fx%3D1%26y%3D2");
    let shown = send(&router, page("/sign-in?next=/builds/b-0123456789%3Fx%3D1", None)).await;
    assert!(shown.text.contains("value=\"/builds/b-0123456789?x=1\""), "{}", shown.text);

    let wrong = send(&router, form("/sign-in", None, "user=ada&password=wrong&next=/")).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.text.contains("the name or the password is wrong") && wrong.headers.get(header::SET_COOKIE).is_none());
    let right =
        send(&router, form("/sign-in", None, &format!("user=ada&password={}&next=//evil.example", PASSWORD.replace(' ', "+")))).await;
    assert_eq!((right.status, right.header("location")), (StatusCode::SEE_OTHER, "/"), "another site is never gone to");
    let cookie = right.header("set-cookie").to_owned();
    assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Lax") && cookie.contains("; Path=/"), "{cookie}");
    let session = cookie.strip_prefix("slipway=").and_then(|rest| rest.split(';').next()).expect("a session").to_owned();
    assert_ne!(session, old, "each sign-in is a new session");
    assert_eq!(send(&router, page("/", Some(&session))).await.status, StatusCode::OK);

    let out = send(&router, form("/sign-out", Some(&session), "")).await;
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(send(&router, page("/", Some(&session))).await.status, StatusCode::SEE_OTHER, "the session goes on after the sign-out");
    platform.stop().await;

    let platform = Platform::start_with(web_ui::Config { https: true, ..web_ui::Config::default() }).await;
    platform.session("ada").await;
    let right = send(&platform.router(), form("/sign-in", None, &format!("user=ada&password={}", PASSWORD.replace(' ', "+")))).await;
    let cookie = right.header("set-cookie");
    assert!(cookie.starts_with("__Host-slipway=slw_") && cookie.contains("; Secure"), "{cookie}");
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_pages_can_do_nothing() {
    let platform = Platform::start().await;
    platform.push("ada", &shop(), &"a".repeat(40), "First").await.expect("a release");
    let session = platform.session("ada").await;
    let router = platform.router();
    let variants: [&[(&str, &str)]; 6] = [
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none"), ("origin", "http://localhost:7000")],
        &[("origin", "http://shop.acme.localhost:8080")],
        &[("origin", "null")],
        &[],
    ];
    let posts = [
        "/apps/acme/shop/dev/restart",
        "/apps/acme/shop/dev/scale",
        "/apps/acme/shop/dev/rollback",
        "/account/tokens",
        "/account/invitations/accept",
        "/account/memberships/leave",
        "/sign-out",
        "/sign-in",
        "/api/v1/apps/acme/shop/envs/dev/restart",
        "/api/v1/users/ada/tokens",
    ];
    for path in posts {
        for headers in variants {
            let mut request = form(path, Some(&session), "process=web&count=5&to=v1&label=x&user=ada&password=x");
            request.headers_mut().remove("sec-fetch-site");
            for (name, value) in headers {
                request.headers_mut().insert(*name, http::HeaderValue::from_static(value));
            }
            let answer = send(&router, request).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} with {headers:?}");
        }
    }
    // A cookie does for reading over the API; a method that a page can not make safe does not change anything.
    let mut read = page("/api/v1/whoami", Some(&session));
    assert_eq!(send(&router, read).await.status, StatusCode::OK);
    read = page("/apps/acme/shop/dev/restart", Some(&session));
    assert_eq!(send(&router, read).await.status, StatusCode::METHOD_NOT_ALLOWED);
    let mut own = form("/apps/acme/shop/dev/scale", Some(&session), "process=web&count=2");
    own.headers_mut().remove("sec-fetch-site");
    own.headers_mut().insert("origin", http::HeaderValue::from_static("http://localhost:7000"));
    assert_eq!(send(&router, own).await.status, StatusCode::SEE_OTHER, "our own page may");
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_the_headers_and_no_page_has_inline_code() {
    let platform = Platform::start().await;
    platform.push("ada", &shop(), &"a".repeat(40), "First").await.expect("a release");
    let session = platform.session("ada").await;
    let router = platform.router();
    let who = platform.identity("ada").await;
    let build = platform.manager.builds(&who, &shop(), 1).await.expect("builds")[0].id.to_string();
    let paths = [
        "/".to_owned(),
        "/account".into(),
        "/errors".into(),
        "/errors/SW-R101".into(),
        "/apps/acme/shop/dev".into(),
        "/apps/acme/shop/prod".into(),
        "/apps/acme/shop/dev/logs".into(),
        "/apps/acme/shop/dev/diff?from=v1&to=v1".into(),
        format!("/builds/{build}"),
        "/nothing".into(),
        "/builds/b-bcdfghjkmn".into(),
        "/apps/acme/shop/staging".into(),
        "/api/v1/openapi.json".into(),
        "/healthz".into(),
    ];
    for path in &paths {
        let answer = send(&router, page(path, Some(&session))).await;
        let csp = answer.header("content-security-policy");
        assert!(csp.contains("default-src 'none'") && csp.contains("frame-ancestors 'none'") && !csp.contains("unsafe"), "{path}: {csp}");
        assert_eq!((answer.header("x-content-type-options"), answer.header("referrer-policy")), ("nosniff", "same-origin"), "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        if answer.header("content-type").starts_with("text/html") {
            assert!(!answer.text.contains(" style=") && !answer.text.contains(" onclick="), "{path} has inline code");
            assert!(answer.text.contains("<html lang=\"en\">") && answer.text.contains("<h1"), "{path}");
            assert_eq!(answer.text.matches("<script").count(), 1, "{path}");
        }
    }
    for (path, status) in [("/nothing", 404), ("/builds/b-bcdfghjkmn", 404), ("/apps/acme/shop/staging", 404), ("/errors/SW-XXXX", 404)] {
        let answer = send(&router, page(path, Some(&session))).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.text.contains("class=\"user-error\""), "{path}: {}", answer.text);
    }
    for code in Code::ALL {
        let answer = send(&router, page(&format!("/errors/{code}"), None)).await;
        assert_eq!(answer.status, StatusCode::OK, "{code} has no page for everybody");
        assert!(answer.text.contains(code.as_str()), "{code}");
    }
    let home = send(&router, page("/", Some(&session))).await.text;
    let css =
        home.split("href=\"").filter_map(|part| part.split('"').next()).find(|url| url.ends_with(".css")).expect("a style").to_owned();
    let style = send(&router, page(&css, None)).await;
    assert_eq!((style.status, style.header("cache-control")), (StatusCode::OK, "public, max-age=31536000, immutable"));
    assert_eq!(send(&router, page("/static/app.css", None)).await.status, StatusCode::NOT_FOUND);
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_stay_texts() {
    let platform = Platform::start().await;
    *platform.building.lines.lock().expect("unpoisoned") =
        vec![EVIL.into(), format!("\u{1b}[31m{EVIL}\u{1b}[0m"), format!("\u{1b}]0;{EVIL}\u{7}x")];
    *platform.lines.stored.lock().expect("unpoisoned") = vec![EVIL.into(), format!("\u{1b}[1m{EVIL}")];
    platform.push("ada", &shop(), &"a".repeat(40), EVIL).await.expect("a release");
    *platform.building.fail.lock().expect("unpoisoned") = Some(UserError::new(Code::BuildFailed, EVIL).why(EVIL).evidence(EVIL).next(EVIL));
    platform.push("ada", &shop(), &"b".repeat(40), EVIL).await.expect_err("a failure");
    let mut broken = platform.live.instances().await.expect("instances").remove(0);
    broken.state = InstanceState::Crashed;
    broken.reason = Some(EVIL.into());
    broken.last_exit = Some(model::Exit { code: 1, oom: false, at: chrono::Utc::now(), last_lines: vec![EVIL.into()] });
    platform.states.lock().expect("unpoisoned").insert("acme/shop/dev/web.1".into(), broken);
    platform.changed.notify_one();
    let who = platform.identity("ada").await;
    while !platform.manager.ps(&who, &shop()).await.expect("ps").instances.iter().any(|one| one.reason.is_some()) {
        tokio::task::yield_now().await;
    }
    let session = platform.session("ada").await;
    let router = platform.router();
    let builds = platform.manager.builds(&who, &shop(), 2).await.expect("builds");
    let quoted: String = EVIL.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let mut paths = vec!["/".to_owned(), "/apps/acme/shop/dev".into(), "/apps/acme/shop/dev/logs".into()];
    paths.extend(builds.iter().map(|build| format!("/builds/{}", build.id)));
    paths.extend([format!("/?q={quoted}"), format!("/sign-in?next=/{quoted}"), format!("/apps/acme/shop/dev?said={quoted}")]);
    paths.extend([format!("/errors/{quoted}"), format!("/{quoted}"), format!("/apps/acme/{quoted}/dev"), format!("/builds/{quoted}")]);
    paths.push(format!("/apps/acme/shop/dev/logs?process={quoted}"));
    for path in paths {
        for session in [Some(session.as_str()), None] {
            let answer = send(&router, page(&path, session)).await;
            assert!(answer.status.as_u16() < 500, "{path}: {}", answer.status);
            for markup in ["<script>", "<img", "<svg/", "\"'>", "49"] {
                let found = answer.text.find(markup);
                // Our own pictures and numbers are no such thing.
                let ours = markup == "49" || found.is_none();
                assert!(ours, "{path} lets `{markup}` through: {:?}", found.map(|at| &answer.text[at.saturating_sub(80)..at + 40]));
            }
            assert!(!answer.text.contains('\u{1b}'), "{path} has an escape");
        }
    }
    let streamed = send(&router, page(&format!("/builds/{}/stream", builds[0].id), Some(&session))).await;
    assert_eq!(streamed.header("content-type"), "text/event-stream");
    let shown = send(&router, page("/apps/acme/shop/dev", Some(&session))).await.text;
    assert!(shown.contains("&lt;script&gt;alert(1)"), "the text itself is shown");
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_followed_and_cancelled_in_the_browser() {
    let platform = std::sync::Arc::new(Platform::start().await);
    let hold = std::sync::Arc::new(tokio::sync::Notify::new());
    *platform.building.hold.lock().expect("unpoisoned") = Some(hold.clone());
    *platform.building.lines.lock().expect("unpoisoned") = vec!["       \u{1b}[32mcompiling\u{1b}[0m <b>".into()];
    let push = |commit: &'static str| {
        let platform = platform.clone();
        tokio::spawn(async move { platform.push("ada", &shop(), &commit.repeat(40), "Slow").await })
    };
    let who = platform.identity("ada").await;
    let running = async || loop {
        let newest = platform.manager.builds(&who, &shop(), 1).await.expect("builds").into_iter().next();
        if let Some(build) = newest.filter(|build| build.state == model::BuildState::Running) {
            break build.id;
        }
        tokio::task::yield_now().await;
    };
    let session = platform.session("vic").await;
    let router = platform.router();
    let pushing = push("a");
    let id = running().await;
    let shown = send(&router, page(&format!("/builds/{id}"), Some(&session))).await.text;
    assert!(shown.contains(&format!("data-stream=\"/builds/{id}/stream\"")) && shown.contains("building"), "{shown}");
    assert!(!shown.contains("/cancel"), "a viewer is offered what they may not do");
    let mut stream = Streamed::open(&router, page(&format!("/builds/{id}/stream"), Some(&session))).await;
    stream.until("compiling").await;
    assert!(stream.read.contains("[\"c2\",\"compiling\"]") && stream.read.contains("\"k\":\"step\""), "{}", stream.read);
    hold.notify_one();
    stream.read_on().await;
    assert!(stream.read.contains("event: end") && stream.read.contains("\"state\":\"live\""), "{}", stream.read);
    pushing.await.expect("no panic").expect("a release");
    // A browser that lost the stream goes on behind what it has.
    let last = stream.read.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().expect("an id").to_owned();
    let mut again = page(&format!("/builds/{id}/stream"), Some(&session));
    again.headers_mut().insert("last-event-id", last.parse().expect("a number"));
    let again = send(&router, again).await;
    assert!(!again.text.contains("compiling") && again.text.contains("event: end"), "{}", again.text);

    let pushing = push("b");
    let id = running().await;
    let viewer = send(&router, form(&format!("/builds/{id}/cancel"), Some(&session), "")).await;
    assert_eq!(viewer.status, StatusCode::FORBIDDEN);
    let dee = platform.session("dee").await;
    assert!(send(&router, page(&format!("/builds/{id}"), Some(&dee))).await.text.contains("/cancel"));
    assert_eq!(send(&router, form(&format!("/builds/{id}/cancel"), Some(&dee), "")).await.status, StatusCode::SEE_OTHER);
    assert_eq!(pushing.await.expect("no panic").expect_err("it was cancelled").code, Code::Cancelled);
    let shown = send(&router, page(&format!("/builds/{id}"), Some(&dee))).await.text;
    assert!(shown.contains("cancelled") && shown.contains("SW-P110"), "{shown}");
    std::sync::Arc::into_inner(platform).expect("the last holder").stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_forms_of_an_app_do_what_they_say() {
    let platform = Platform::start().await;
    platform.push("ada", &shop(), &"a".repeat(40), "First").await.expect("a release");
    let router = platform.router();
    let (ada, vic) = (platform.session("ada").await, platform.session("vic").await);
    let mut live = Streamed::open(&router, page("/apps/acme/shop/dev/live", Some(&ada))).await;
    live.until("event: mark").await;
    let did = async |path: &str, fields: &str, said: &str| {
        let answer = send(&router, form(&format!("/apps/acme/shop/dev/{path}"), Some(&ada), fields)).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (StatusCode::SEE_OTHER, format!("/apps/acme/shop/dev?said={said}").as_str()),
            "{path}: {}",
            answer.text
        );
    };
    did("scale", "process=web&count=3", "scale").await;
    live.until_times("event: mark", 2).await;
    did("config", "key=GREETING&value=a%0D%0Ab", "config").await;
    did("restart", "", "restart").await;
    did("domains", "hostname=Shop.Example.com", "domain").await;
    let shown = send(&router, page("/apps/acme/shop/dev", Some(&ada))).await.text;
    for text in ["shop.example.com", "GREETING", "slipway ps -a acme/shop -e dev", "/scale", "/restart"] {
        assert!(shown.contains(text), "`{text}` is not on the page");
    }
    assert_eq!(platform.manager.config_values(&platform.identity("ada").await, &shop()).await.expect("values")["GREETING"], "a\nb");
    let back = send(&router, page("/apps/acme/shop/dev/diff?from=v2&to=v1&back=true", Some(&ada))).await;
    assert!(back.text.contains("config") && back.text.contains("Roll back to v1"), "{}", back.text);
    did("rollback", "to=v1", "rollback").await;
    did("domains/remove", "hostname=shop.example.com", "domain-gone").await;

    let seen = send(&router, page("/apps/acme/shop/dev", Some(&vic))).await;
    assert_eq!(seen.status, StatusCode::OK);
    for offered in ["/scale", "/restart", "/rollback", "Roll back", "/config\"", "/domains\""] {
        assert!(!seen.text.contains(offered), "a viewer is offered `{offered}`");
    }
    for path in ["scale", "restart", "rollback", "config", "domains", "domains/remove"] {
        let fields = "process=web&count=1&to=v1&key=A&value=b&hostname=a.example";
        let answer = send(&router, form(&format!("/apps/acme/shop/dev/{path}"), Some(&vic), fields)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} by a viewer");
        assert!(answer.text.contains("SW-A403") && answer.text.contains("<!doctype html>"), "{path}: {}", answer.text);
    }
    let mallory = platform.session("mallory").await;
    for path in ["", "/live", "/logs", "/logs/stream", "/diff?from=v1&to=v2"] {
        let answer = send(&router, page(&format!("/apps/acme/shop/dev{path}"), Some(&mallory))).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path} by a stranger");
    }
    assert!(!send(&router, page("/", Some(&mallory))).await.text.contains("shop"), "a stranger sees the app");
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_ones_own() {
    let platform = Platform::start().await;
    let router = platform.router();
    let ada = platform.session("ada").await;
    let key = "ssh-ed25519+AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g+ada%40laptop";
    let added = send(&router, form("/account/keys", Some(&ada), &format!("key={key}"))).await;
    assert_eq!(added.header("location"), "/account?said=key", "{}", added.text);
    let shown = send(&router, page("/account", Some(&ada))).await.text;
    assert!(shown.contains("ada@laptop") && shown.contains("SHA256:"), "{shown}");
    let wrong = send(&router, form("/account/keys", Some(&ada), "key=nonsense")).await;
    assert!(wrong.status == StatusCode::UNPROCESSABLE_ENTITY && wrong.text.contains("SW-K400"), "{}", wrong.text);
    let made = send(&router, form("/account/tokens", Some(&ada), "label=ci&scope=deploy")).await;
    let token = made.text.split("slw_").nth(1).and_then(|rest| rest.get(..40)).map(|rest| format!("slw_{rest}")).expect("a token");
    let me = send(&router, platform::api(Method::GET, "/api/v1/whoami", Some(&token), None)).await;
    assert_eq!(me.json()["user"], "ada");
    assert!(!send(&router, page("/account", Some(&ada))).await.text.contains(&token), "a token is shown again");
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_is_answered_and_a_tenant_left_in_the_browser() {
    let platform = Platform::start().await;
    platform.push("ada", &shop(), &"a".repeat(40), "First").await.expect("a release");
    let router = platform.router();
    let (ada, mallory) = (platform.session("ada").await, platform.session("mallory").await);
    let invite = || async {
        let token = platform.token("ada").await;
        let body = serde_json::json!({ "role": "viewer" });
        let invited =
            send(&router, platform::api(Method::PUT, "/api/v1/tenants/acme/teams/web/members/mallory", Some(&token), Some(body))).await;
        assert!(invited.status.is_success(), "{}", invited.text);
    };
    invite().await;
    assert!(!send(&router, page("/", Some(&mallory))).await.text.contains("acme/shop"), "an invitation alone shows the app");
    let shown = send(&router, page("/account", Some(&mallory))).await.text;
    assert!(shown.contains("Accept acme / web") && shown.contains("as viewer · by ada"), "{shown}");

    let declined = send(&router, form("/account/invitations/decline", Some(&mallory), "tenant=acme&team=web")).await;
    assert_eq!(declined.header("location"), "/account?said=declined", "{}", declined.text);
    assert!(!send(&router, page("/account", Some(&mallory))).await.text.contains("Accept acme"), "it is still offered");
    let twice = send(&router, form("/account/invitations/accept", Some(&mallory), "tenant=acme&team=web")).await;
    assert!(twice.status.is_client_error() && twice.text.contains("class=\"user-error\""), "{}: {}", twice.status, twice.text);

    invite().await;
    let others = send(&router, form("/account/invitations/accept", Some(&ada), "tenant=acme&team=web")).await;
    assert!(others.status.is_client_error(), "ada took the invitation of another: {}", others.status);
    let accepted = send(&router, form("/account/invitations/accept", Some(&mallory), "tenant=acme&team=web")).await;
    assert_eq!(accepted.header("location"), "/account?said=accepted", "{}", accepted.text);
    assert!(send(&router, page("/apps/acme/shop/dev", Some(&mallory))).await.status.is_success(), "the member does not see the app");

    let left = send(&router, form("/account/memberships/leave", Some(&mallory), "tenant=acme")).await;
    assert_eq!(left.header("location"), "/account?said=left", "{}", left.text);
    assert_eq!(send(&router, page("/apps/acme/shop/dev", Some(&mallory))).await.status, StatusCode::NOT_FOUND);
    let last = send(&router, form("/account/memberships/leave", Some(&mallory), "tenant=evil")).await;
    assert!(last.status.is_client_error(), "the last owner left: {}", last.status);
    platform.stop().await;
}
