//! What the API says when there is nothing to do, when something is not there, and to whom it advises what.

mod platform;

use axum::Router;
use http::{Method, StatusCode};
use platform::{Platform, api, send, shop};
use serde_json::{Value, json};

/// The last JSON line of a streamed answer, or the whole of another.
async fn said(router: &Router, token: &str, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let answer = send(router, api(method, path, Some(token), body)).await;
    let last = answer.text.lines().last().unwrap_or_default().to_owned();
    (answer.status, serde_json::from_str(&last).unwrap_or_else(|_| json!(last)))
}

fn advises_to_make(user_error: &Value) -> bool {
    user_error["next"].to_string().contains("apps:create")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_so_already_is_said_and_not_done() {
    let platform = Platform::start().await;
    platform.push("ada", &shop(), &"a".repeat(40), "First").await.expect("a release");
    let router = platform.router();
    let ada = platform.token("ada").await;
    let base = "/api/v1/apps/acme/shop/envs/dev";
    let call = async |method, path: &str, body| said(&router, &ada, method, &format!("{base}{path}"), body).await;

    let set = json!({ "set": { "A": "2" } });
    assert_eq!(call(Method::PATCH, "/config", Some(set.clone())).await.1, json!({ "done": { "release": "v2" } }));
    assert_eq!(call(Method::PATCH, "/config", Some(set)).await.1, json!({ "done": { "release": null, "changed": false } }));

    let own = json!({ "hostname": "shop.example.com" });
    assert_eq!(call(Method::POST, "/domains", Some(own.clone())).await.0, StatusCode::CREATED);
    let (status, again) = call(Method::POST, "/domains", Some(own)).await;
    assert_eq!((status, &again["what"]), (StatusCode::CONFLICT, &json!("shop.example.com leads to acme/shop/dev already")));
    let (status, given) = call(Method::DELETE, "/domains?hostname=shop-dev.acme.localhost", None).await;
    assert_eq!((status, &given["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("SW-A422")));
    assert!(given["what"].to_string().contains("given to acme/shop/dev by the platform"), "{given}");

    let (status, process) = call(Method::GET, "/logs?process=nope", None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!((&process["what"], &process["why"]), (&json!("acme/shop/dev has no process type `nope`"), &json!("It has web.")));
    assert_eq!(call(Method::GET, "/logs?process=web", None).await.0, StatusCode::OK, "a type without lines yet");
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn advice_can_be_followed_by_whoever_gets_it() {
    let platform = Platform::start().await;
    let router = platform.router();
    let [root, ada, vic] = [platform.token("root").await, platform.token("ada").await, platform.token("vic").await];
    let call = async |token: &str, method, path: &str, body| said(&router, token, method, path, body).await;

    // Who may make apps is told how, and nobody else; and not who wants one gone.
    assert!(advises_to_make(&call(&ada, Method::GET, "/api/v1/apps/acme/nope", None).await.1));
    assert!(!advises_to_make(&call(&vic, Method::GET, "/api/v1/apps/acme/nope", None).await.1));
    assert!(!advises_to_make(&call(&ada, Method::GET, "/api/v1/apps/evil/nope", None).await.1));
    assert!(!advises_to_make(&call(&root, Method::GET, "/api/v1/apps/nowhere/nope", None).await.1));
    assert!(!advises_to_make(&call(&ada, Method::DELETE, "/api/v1/apps/acme/nope?confirm=nope", None).await.1));

    // An app of another team reads like none, whatever is asked of it.
    let eve = platform.token("eve").await;
    for path in ["", "/events", "/envs/dev/ps", "/envs/dev/config", "/envs/dev/logs"] {
        let hidden = call(&eve, Method::GET, &format!("/api/v1/apps/acme/shop{path}"), None).await;
        let absent = call(&eve, Method::GET, &format!("/api/v1/apps/acme/nope{path}"), None).await;
        assert_eq!(hidden.1.to_string().replace("acme/shop", "X"), absent.1.to_string().replace("acme/nope", "X"), "{path}");
    }

    // A team that is not there is what is missing, for those who may know the tenant.
    let wish = |app: &str| Some(json!({ "app": app, "team": "nope" }));
    for token in [&root, &ada] {
        let (status, team) = call(token, Method::POST, "/api/v1/apps", wish("acme/zz")).await;
        assert_eq!((status, &team["what"]), (StatusCode::NOT_FOUND, &json!("acme has no team `nope`")));
    }
    let foreign = call(&ada, Method::POST, "/api/v1/apps", wish("evil/zz")).await.1;
    let absent = call(&ada, Method::POST, "/api/v1/apps", wish("gone/zz")).await.1;
    assert_eq!(foreign.to_string().replace("evil", "X"), absent.to_string().replace("gone", "X"), "a foreign tenant is like none");

    let (status, users) = call(&ada, Method::GET, "/api/v1/users", None).await;
    assert_eq!((status, &users["next"]), (StatusCode::FORBIDDEN, &json!(["ask the operator of this platform"])));
    let (status, keys) = call(&root, Method::GET, "/api/v1/users/nosuch/keys", None).await;
    assert_eq!((status, &keys["what"]), (StatusCode::NOT_FOUND, &json!("there is no user `nosuch`")));
    platform.stop().await;
}
