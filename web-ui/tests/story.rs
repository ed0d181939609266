//! A push is one story: its build, its log, the state of its app and the ways on agree, to the verdict and after it.

mod platform;

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use model::{BuildState, InstanceId, InstanceState, InstanceStatus, ProcessName, ReleaseNumber, ReleaseState, RouteState};
use platform::{Platform, api, page, send, shop};
use serde_json::json;

/// From now on `web.1` of the shop never becomes healthy.
fn break_it(platform: &Platform) {
    let broken = InstanceStatus {
        id: InstanceId::mint([9; 10]),
        app: shop(),
        process: ProcessName::web(),
        ordinal: 1,
        release: ReleaseNumber(1),
        epoch: 0,
        host: "host-a".parse().expect("a name"),
        zone: "a".parse().expect("a name"),
        state: InstanceState::Flapping,
        address: None,
        since: chrono::DateTime::UNIX_EPOCH,
        restarts: 3,
        last_exit: None,
        reason: Some("exited with status 1".into()),
        code: None,
    };
    platform.states.lock().expect("unpoisoned").insert(format!("{}/web.1", shop()), broken);
    platform.changed.notify_one();
}

fn mend_it(platform: &Platform) {
    platform.states.lock().expect("unpoisoned").clear();
    platform.changed.notify_one();
}

async fn release(platform: &Platform, number: u32) -> model::Release {
    let stored = platform.manager.records().release(&shop(), ReleaseNumber(number)).await.expect("records");
    stored.expect("a release").release
}

async fn route_state(platform: &Platform) -> RouteState {
    platform.live.routes().await.expect("routes").into_iter().find(|route| route.app == shop()).expect("a route").state
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_release_that_fails_is_failed_everywhere_and_the_ways_on_work() {
    let platform = Platform::start().await;
    let (token, session, router) = (platform.token("ada").await, platform.session("ada").await, platform.router());
    let get = async |path: &str| send(&router, api(Method::GET, path, Some(&token), None)).await;
    let post = async |path: &str, body| send(&router, api(Method::POST, path, Some(&token), Some(body))).await;
    let env = "/api/v1/apps/acme/shop/envs/dev";
    assert_eq!(get(&format!("{env}/ps")).await.json()["state"]["kind"], "empty");

    break_it(&platform);
    let refused = platform.push("ada", &shop(), &"a".repeat(40), "First").await.expect_err("it never becomes healthy");
    let who = platform.identity("ada").await;
    let build = platform.manager.builds(&who, &shop(), 1).await.expect("builds").remove(0);
    assert_eq!((build.state, build.error.as_ref().map(|error| error.code)), (BuildState::Failed, Some(refused.code)));
    let log = get(&format!("/api/v1/builds/{}/log?follow=true", build.id)).await.text;
    assert!(log.contains("Rolling out v1") && log.contains("exited with status 1") && log.contains("releases:retry"), "{log}");
    let shown = send(&router, page(&format!("/builds/{}", build.id), Some(&session))).await.text;
    assert!(shown.contains("failed") && !shown.contains(">succeeded<"), "{shown}");

    let state = get(&format!("{env}/ps")).await.json()["state"].clone();
    assert_eq!((&state["kind"], &state["text"]), (&json!("failed"), &json!("v1 failed")));
    for path in ["/", "/apps/acme/shop/dev"] {
        let shown = send(&router, page(path, Some(&session))).await.text;
        assert!(shown.contains("v1 failed"), "{path}: {shown}");
        assert!(!shown.contains("waits for its first push") || path == "/", "{path} calls a failed deploy empty");
    }
    assert!(send(&router, page("/apps/acme/shop/dev", Some(&session))).await.text.contains("Try again"));
    assert_eq!(route_state(&platform).await, RouteState::Failed);
    let restart = post(&format!("{env}/restart"), json!({})).await;
    assert!(restart.text.contains("slipway releases:retry -a acme/shop -e dev"), "{}", restart.text);

    // It fails again while what breaks it is there; then a change of config tries the same image.
    let again = post(&format!("{env}/releases/retry"), json!({})).await;
    assert_eq!(again.status, StatusCode::OK);
    assert!(again.text.contains("\"error\""), "{}", again.text);
    mend_it(&platform);
    let set =
        send(&router, api(Method::PATCH, &format!("{env}/config"), Some(&token), Some(json!({ "set": { "GREETING": "moin" } })))).await;
    assert!(set.text.contains("\"release\":\"v3\""), "{}", set.text);
    assert_eq!(release(&platform, 3).await.state, ReleaseState::Live);
    let state = get(&format!("{env}/ps")).await.json()["state"].clone();
    assert_eq!((&state["kind"], &state["serving"]), (&json!("live"), &json!(3)));
    assert_eq!(route_state(&platform).await, RouteState::Ready);
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_runs_the_failed_image_with_the_config_of_now() {
    let platform = Platform::start().await;
    let who = platform.identity("ada").await;
    platform.push("ada", &shop(), &"a".repeat(40), "First").await.expect("live");
    break_it(&platform);
    platform.push("ada", &shop(), &"b".repeat(40), "Second").await.expect_err("it never becomes healthy");
    // The state says what serves and what failed.
    let ps = platform.manager.ps(&who, &shop()).await.expect("ps");
    assert_eq!(ps.state.release, Some(ReleaseNumber(2)));
    mend_it(&platform);
    let set: BTreeMap<String, String> = [("GREETING".to_owned(), "moin".to_owned())].into();
    let change = platform.manager.set_config(&who, &shop(), set, Vec::new()).await.expect("set");
    assert_eq!(change.release, Some(ReleaseNumber(3)));
    let number = platform.manager.retry(&who, &shop(), Some(ReleaseNumber(2))).await.expect("a release");
    let tried = release(&platform, number.0).await;
    assert_eq!((tried.commit.as_str(), tried.config_keys.as_slice()), ("b".repeat(40).as_str(), &["GREETING".to_owned()][..]));
    let refused = platform.manager.retry(&who, &shop(), Some(ReleaseNumber(1))).await.expect_err("it did not fail");
    assert!(refused.what.contains("did not fail") && refused.next[0].starts_with("slipway rollback v1"), "{refused}");
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_fails_keeps_the_config() {
    let platform = Platform::start().await;
    let who = platform.identity("ada").await;
    let roll_out = async |number| platform.manager.roll_out(&shop(), number, std::sync::Arc::new(manager::output::Discard)).await;
    platform.push("ada", &shop(), &"a".repeat(40), "First").await.expect("live");
    let set = |value: &str| BTreeMap::from([("GREETING".to_owned(), value.to_owned())]);
    let change = platform.manager.set_config(&who, &shop(), set("moin"), Vec::new()).await.expect("set");
    roll_out(change.release.expect("a release")).await.expect("live");

    break_it(&platform);
    let back = platform.manager.rollback(&who, &shop(), Some(ReleaseNumber(1))).await.expect("a release");
    roll_out(back).await.expect_err("it never becomes healthy");
    assert_eq!(platform.manager.config_values(&who, &shop()).await.expect("config"), set("moin"), "the failed rollback took the config");

    mend_it(&platform);
    let back = platform.manager.rollback(&who, &shop(), Some(ReleaseNumber(1))).await.expect("a release");
    roll_out(back).await.expect("live");
    assert!(platform.manager.config_values(&who, &shop()).await.expect("config").is_empty(), "the config of v1 came back with it");
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_holds_over_releases_and_ends_by_word() {
    let platform = Platform::start().await;
    let (token, router) = (platform.token("dee").await, platform.router());
    platform.push("ada", &shop(), &"a".repeat(40), "First").await.expect("live");
    let path = "/api/v1/apps/acme/shop/envs/dev/maintenance";
    let put = async |mode: serde_json::Value| send(&router, api(Method::PUT, path, Some(&token), Some(json!({ "mode": mode })))).await;
    assert_eq!(put(json!("page")).await.status, StatusCode::OK);
    assert_eq!(route_state(&platform).await, RouteState::Maintenance);
    platform.push("ada", &shop(), &"b".repeat(40), "Second").await.expect("live");
    assert_eq!(route_state(&platform).await, RouteState::Maintenance);
    assert_eq!(send(&router, api(Method::GET, path, Some(&token), None)).await.json()["mode"], "page");
    assert_eq!(put(json!("hold")).await.status, StatusCode::OK);
    assert_eq!(route_state(&platform).await, RouteState::Paused);
    assert_eq!(put(json!(null)).await.status, StatusCode::OK);
    assert_eq!(route_state(&platform).await, RouteState::Ready);
    assert_eq!(put(json!("sometimes")).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_tells_nobody_what_is_not_theirs() {
    let platform = Platform::start().await;
    let router = platform.router();
    let path = "/api/v1/router/trace?host=Shop-dev.acme.localhost";
    let own = send(&router, api(Method::GET, path, Some(&platform.token("vic").await), None)).await.json();
    assert_eq!(own["app"], "acme/shop/dev");
    let other = send(&router, api(Method::GET, path, Some(&platform.token("mallory").await), None)).await.json();
    assert_eq!((&other["app"], &other["steps"][0]), (&json!(null), &json!("no rule has the host name shop-dev.acme.localhost: 404")));
    platform.stop().await;
}
