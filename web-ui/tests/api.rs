//! The API against a real manager: every route × everybody who may not, the shapes of answers, streams, limits.

mod platform;

use http::{Method, StatusCode};
use platform::{Platform, Streamed, api, send, shop};
use serde_json::{Value, json};
use store::records::Role;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Need {
    Public,
    SignedIn,
    Super,
    Oneself,
    Role(Role),
    /// In a tenant, not in an app.
    Tenant(Role),
}

/// What each route takes, and a body that would be right.
fn need(method: &Method, path: &str) -> (Need, Option<Value>) {
    use Need::{Oneself, Public, SignedIn, Super, Tenant};
    use Role::{Deployer, Operator, Owner, Viewer};
    let env = path.strip_prefix("/api/v1/apps/{tenant}/{app}/envs/{env}");
    match (method.as_str(), env.unwrap_or(path)) {
        ("POST", "/api/v1/login") => (Public, Some(json!({ "user": "ada", "password": "wrong", "label": "" }))),
        ("GET", "/api/v1/openapi.json" | "/healthz") => (Public, None),
        ("DELETE", "/api/v1/login") | ("GET", "/api/v1/whoami" | "/api/v1/tenants" | "/api/v1/resolve" | "/api/v1/apps") => {
            (SignedIn, None)
        }
        ("GET", "/api/v1/users") => (Super, None),
        ("POST", "/api/v1/users") => (Super, Some(json!({ "name": "new" }))),
        ("POST", "/api/v1/tenants") => (Super, Some(json!({ "name": "new", "team": "web", "owner": "ada" }))),
        ("POST", "/api/v1/users/{user}/password") => (Oneself, Some(json!({ "password": "a long enough one" }))),
        ("GET" | "POST" | "DELETE", "/api/v1/users/{user}/keys") => (Oneself, None),
        ("DELETE", "/api/v1/users/{user}" | "/api/v1/tenants/{tenant}") => (Super, None),
        ("GET" | "DELETE", "/api/v1/users/{user}/tokens") => (Oneself, None),
        ("GET", "/api/v1/users/{user}/invitations")
        | ("POST" | "DELETE", "/api/v1/users/{user}/invitations/{tenant}/{team}")
        | ("DELETE", "/api/v1/users/{user}/memberships/{tenant}") => (Oneself, None),
        ("POST", "/api/v1/users/{user}/tokens") => (Oneself, Some(json!({ "label": "ci" }))),
        ("DELETE", "/api/v1/tenants/{tenant}/teams/{team}" | "/api/v1/tenants/{tenant}/teams/{team}/members/{user}") => {
            (Tenant(Owner), None)
        }
        ("PATCH", "/api/v1/tenants/{tenant}") => (Tenant(Owner), Some(json!({ "create_on_push": true }))),
        ("POST", "/api/v1/tenants/{tenant}/teams") => (Tenant(Owner), Some(json!({ "name": "new" }))),
        ("GET", "/api/v1/tenants/{tenant}/members" | "/api/v1/tenants/{tenant}/invitations") => (Tenant(Viewer), None),
        ("PUT", "/api/v1/tenants/{tenant}/teams/{team}/members/{user}") => (Tenant(Owner), Some(json!({ "role": "owner" }))),
        ("GET", "/api/v1/tenants/{tenant}/events" | "/api/v1/tenants/{tenant}/refusals") => (Tenant(Owner), None),
        ("POST", "/api/v1/apps") => (Need::Role(Deployer), Some(json!({ "app": "acme/other", "team": "web" }))),
        ("GET", "/api/v1/apps/{tenant}/{app}" | "/api/v1/apps/{tenant}/{app}/events") => (Need::Role(Viewer), None),
        ("DELETE", "/api/v1/apps/{tenant}/{app}") => (Need::Role(Owner), None),
        ("GET", "/builds" | "/releases" | "/releases/diff" | "/config" | "/ps" | "/domains" | "/logs") => (Need::Role(Viewer), None),
        ("POST", "/rollback") => (Need::Role(Deployer), Some(json!({ "to": "v1" }))),
        ("POST", "/restart") => (Need::Role(Deployer), None),
        ("POST", "/releases/retry") => (Need::Role(Deployer), Some(json!({}))),
        ("GET", "/maintenance") => (Need::Role(Viewer), None),
        ("PUT", "/maintenance") => (Need::Role(Deployer), Some(json!({ "mode": "page" }))),
        ("GET", "/api/v1/hosts") => (Super, None),
        ("PUT", "/api/v1/hosts/{host}/maintenance") => (Super, Some(json!({ "on": true }))),
        ("GET", "/api/v1/router/trace") => (SignedIn, None),
        ("GET", "/config/values") => (Need::Role(Operator), None),
        ("PATCH", "/config") => (Need::Role(Operator), Some(json!({ "set": { "A": "b" } }))),
        ("POST", "/scale") => (Need::Role(Operator), Some(json!({ "counts": { "web": 2 } }))),
        ("POST", "/domains") => (Need::Role(Operator), Some(json!({ "hostname": "a.example" }))),
        ("DELETE", "/domains") => (Need::Role(Operator), None),
        ("GET", "/api/v1/builds/{build}" | "/api/v1/builds/{build}/log") => (Need::Role(Viewer), None),
        ("POST", "/api/v1/builds/{build}/cancel") => (Need::Role(Deployer), None),
        _ => panic!("{method} {path} has no row in the matrix"),
    }
}

fn filled(path: &str, app: &str, build: &str) -> String {
    let path = path.replace("{tenant}/{app}", app).replace("{tenant}", "acme").replace("{team}", "web").replace("{env}", "dev");
    let path = path.replace("{user}", "ada").replace("{build}", build).replace("{host}", "one");
    let query = match path.rsplit('/').next() {
        Some("resolve") => "?path=shop",
        Some("diff") => "?from=v1&to=v1",
        Some("keys") => "?fingerprint=SHA256:x",
        Some("tokens") => "?id=000000000000",
        Some("domains") => "?hostname=a.example",
        Some("trace") => "?host=shop-dev.acme.localhost",
        _ => "",
    };
    path + query
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_does_what_they_may_not() {
    let platform = Platform::start().await;
    platform.push("ada", &shop(), &"a".repeat(40), "First").await.expect("a release");
    let build = platform.manager.builds(&platform.identity("ada").await, &shop(), 1).await.expect("builds")[0].id.to_string();
    let router = platform.router();
    let mut tokens = std::collections::HashMap::new();
    for user in ["ada", "opa", "dee", "vic", "eve", "mallory", "root"] {
        tokens.insert(user, platform.token(user).await);
    }
    let revoked = platform.token("ada").await;
    platform.manager.sign_out(&revoked).await.expect("a sign-out");

    let call = async |method: &Method, path: &str, token: Option<&str>, body: Option<Value>| {
        let mut request = api(method.clone(), path, token, body);
        // The body of a key is text; of the query of a key, only DELETE takes one.
        if path.contains("/keys") && *method == Method::POST {
            *request.body_mut() = axum::body::Body::from("not a key");
        }
        send(&router, request).await
    };
    for (method, template) in web_ui::ROUTES {
        let (need, body) = need(method, template);
        let path = filled(template, "acme/shop", &build);
        let what = format!("{method} {path}");
        if need == Need::Public {
            let status = call(method, &path, None, body).await.status;
            assert!(status.is_success() || *template == "/api/v1/login", "{what} is public: {status}");
            continue;
        }
        for token in [None, Some("slw_never"), Some(revoked.as_str()), Some("")] {
            let answer = call(method, &path, token, body.clone()).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what} with {token:?}");
            assert_eq!(answer.json()["code"], "SW-A401", "{what}");
            assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
        }
        if *template == "/api/v1/login" {
            // It would end the token that the rest of the matrix is asked with.
            continue;
        }
        // A stranger gets for what there is the same answer as for what there is not.
        let stranger = call(method, &path, Some(&tokens["mallory"]), body.clone()).await;
        let denied = match need {
            Need::Public | Need::SignedIn => None,
            Need::Super => Some(StatusCode::FORBIDDEN),
            Need::Oneself | Need::Role(_) | Need::Tenant(_) => Some(StatusCode::NOT_FOUND),
        };
        if let Some(denied) = denied {
            assert_eq!(stranger.status, denied, "{what} by a stranger: {}", stranger.text);
        }
        assert!(need == Need::SignedIn && template.ends_with("resolve") || !stranger.text.contains("python"), "{what}: {}", stranger.text);
        if matches!(need, Need::Role(_)) && template.contains("{app}") {
            let missing = call(method, &filled(template, "acme/none", "b-0000000000"), Some(&tokens["mallory"]), body.clone()).await;
            assert_eq!(missing.status, stranger.status, "{what}");
            assert_eq!(missing.text.replace("acme/none", "acme/shop"), stranger.text, "{what} tells a stranger what is there");
        }
        if let Need::Role(_) = need {
            // Another team of the same tenant.
            let other_team = call(method, &path, Some(&tokens["eve"]), body.clone()).await.status;
            let expected = StatusCode::NOT_FOUND;
            assert_eq!(other_team, expected, "{what} from another team");
        }
        let lower = match need {
            Need::Role(Role::Owner) | Need::Tenant(Role::Owner) => Some("opa"),
            Need::Role(Role::Operator) => Some("dee"),
            Need::Role(Role::Deployer) => Some("vic"),
            Need::Super => Some("ada"),
            _ => None,
        };
        if let Some(lower) = lower {
            let answer = call(method, &path, Some(&tokens[lower]), body.clone()).await;
            assert_eq!((answer.status, &answer.json()["code"]), (StatusCode::FORBIDDEN, &json!("SW-A403")), "{what} as {lower}");
        }
        if matches!(need, Need::Role(Role::Viewer)) {
            let status = call(method, &path, Some(&tokens["vic"]), body).await.status;
            assert_eq!(status, StatusCode::OK, "{what} as a viewer");
        }
    }
    let users = call(&Method::GET, "/api/v1/users", Some(&tokens["root"]), None).await;
    assert_eq!(users.status, StatusCode::OK, "a super user may");
    assert!(!users.text.contains("argon2"), "a hash of a password leaves: {}", users.text);
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_walk_of_an_app_over_the_api() {
    let platform = Platform::start().await;
    let router = platform.router();
    let ada = platform.token("ada").await;
    let call = async |method: Method, path: &str, body: Option<Value>| send(&router, api(method, path, Some(&ada), body)).await;

    let me = call(Method::GET, "/api/v1/whoami", None).await.json();
    assert_eq!(
        me,
        json!({ "user": "ada", "operator": false, "super": false, "ssh": "ssh://paas@localhost:2222", "memberships": [{ "tenant": "acme", "team": "web", "role": "owner" }] })
    );
    let made = call(Method::POST, "/api/v1/apps", Some(json!({ "app": "blog", "team": null }))).await;
    assert_eq!((made.status, &made.json()["app"]), (StatusCode::CREATED, &json!("acme/blog")));
    assert_eq!(made.json()["envs"][0]["remote"], "ssh://paas@localhost:2222/acme/blog/dev");
    let again = call(Method::POST, "/api/v1/apps", Some(json!({ "app": "blog" }))).await;
    assert_eq!((again.status, &again.json()["code"]), (StatusCode::CONFLICT, &json!("SW-A409")));
    assert_eq!(call(Method::GET, "/api/v1/resolve?path=blog", None).await.json(), json!({ "tenant": "acme", "app": "blog" }));
    assert_eq!(call(Method::GET, "/api/v1/tenants", None).await.json(), json!(["acme"]));

    platform.push("ada", &shop(), &"a".repeat(40), "First").await.expect("a release");
    let base = "/api/v1/apps/acme/shop/envs/dev";
    let info = call(Method::GET, "/api/v1/apps/acme/shop", None).await.json();
    assert_eq!((&info["envs"][0]["current"], &info["envs"][0]["url"]), (&json!("v1"), &json!("http://shop-dev.acme.localhost:8080/")));
    assert_eq!(info["envs"][0]["deploy_branch"], "main");

    // One batch of config is one release, told line by line.
    let set = call(Method::PATCH, &format!("{base}/config"), Some(json!({ "set": { "GREETING": "hello", "B": "2" }, "unset": [] }))).await;
    assert_eq!(set.header("content-type"), "application/x-ndjson");
    let lines: Vec<Value> = set.text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    assert_eq!(lines.last().expect("a last line"), &json!({ "done": { "release": "v2" } }), "{}", set.text);
    assert!(lines[0]["line"].as_str().expect("a line").starts_with("-----> Rolling out v2"));
    assert_eq!(call(Method::GET, &format!("{base}/config"), None).await.json(), json!(["B", "GREETING"]));
    assert_eq!(call(Method::GET, &format!("{base}/config/values"), None).await.json(), json!({ "GREETING": "hello", "B": "2" }));
    let same = call(Method::PATCH, &format!("{base}/config"), Some(json!({ "set": { "B": "2" } }))).await;
    assert_eq!(same.json(), json!({ "done": { "release": null, "changed": false } }));
    let diff = call(Method::GET, &format!("{base}/releases/diff?from=v1&to=v2"), None).await;
    assert!(diff.text.contains("config   + GREETING") && !diff.text.contains("hello"), "{}", diff.text);

    let scaled = call(Method::POST, &format!("{base}/scale"), Some(json!({ "counts": { "web": 3 } }))).await;
    assert_eq!(scaled.json(), json!({ "done": { "release": null } }));
    assert_eq!(call(Method::GET, &format!("{base}/ps"), None).await.json()["wanted"], json!({ "web": 3 }));
    let unknown = call(Method::POST, &format!("{base}/scale"), Some(json!({ "counts": { "worker": 3 } }))).await;
    assert_eq!((unknown.status, &unknown.json()["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("SW-A422")));
    assert_eq!(call(Method::POST, &format!("{base}/restart"), None).await.json(), json!({ "done": { "release": null } }));

    let back = call(Method::POST, &format!("{base}/rollback"), Some(json!({ "to": "v1" }))).await;
    assert!(back.text.ends_with("{\"done\":{\"release\":\"v3\"}}\n"), "{}", back.text);
    assert_eq!(call(Method::GET, &format!("{base}/config"), None).await.json(), json!([]), "the config goes back too");
    let none = call(Method::POST, &format!("{base}/rollback"), Some(json!({ "to": "v9" }))).await;
    assert_eq!((none.status, none.header("content-type")), (StatusCode::NOT_FOUND, "application/problem+json"));
    let releases = call(Method::GET, &format!("{base}/releases"), None).await.json();
    assert_eq!((releases[0]["number"].as_u64(), releases[0]["state"].as_str()), (Some(3), Some("live")));

    assert_eq!(
        call(Method::POST, &format!("{base}/domains"), Some(json!({ "hostname": "shop.example.com" }))).await.status,
        StatusCode::CREATED
    );
    let domains = call(Method::GET, &format!("{base}/domains"), None).await.json();
    assert_eq!((domains[0]["platform"].as_bool(), domains[1]["hostname"].as_str()), (Some(true), Some("shop.example.com")));
    assert_eq!(call(Method::DELETE, &format!("{base}/domains?hostname=shop.example.com"), None).await.status, StatusCode::OK);

    let builds = call(Method::GET, &format!("{base}/builds?limit=5"), None).await.json();
    let id = builds[0]["id"].as_str().expect("an id");
    let log = call(Method::GET, &format!("/api/v1/builds/{id}/log?follow=true"), None).await;
    assert!(log.text.contains("-----> Template: python") && log.header("content-type").starts_with("text/plain"), "{}", log.text);

    let body = json!({ "set": { "GREETING": "no" } });
    let denied = send(&router, api(Method::PATCH, &format!("{base}/config"), Some(&platform.token("vic").await), Some(body))).await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN, "{}", denied.text);

    let events = call(Method::GET, "/api/v1/apps/acme/shop/events?limit=50", None).await.json();
    let sets: Vec<_> = events.as_array().expect("a list").iter().filter(|event| event["verb"] == "config:set").collect();
    let sets: Vec<_> =
        sets.iter().map(|event| (event["outcome"].as_str(), event["object"].as_str(), &event["detail"]["release"])).collect();
    assert_eq!(sets, [(Some("done"), Some("acme/shop/dev"), &json!(2))], "one change is one event, and a refusal is none");
    let refusals = call(Method::GET, "/api/v1/tenants/acme/refusals", None).await.json();
    let of_vic: Vec<_> = refusals.as_array().expect("a list").iter().filter(|refusal| refusal["actor"] == "vic").collect();
    assert_eq!((of_vic.len(), &of_vic[0]["count"], &of_vic[0]["object"]), (1, &json!(1), &json!("acme/shop/dev")));
    let verbs: Vec<&str> = events.as_array().expect("a list").iter().filter_map(|event| event["verb"].as_str()).collect();
    for verb in ["domains:remove", "rollback", "restart", "ps:scale", "config:set", "config:get", "push", "apps:create"] {
        assert!(verbs.contains(&verb), "{verb} is no event of {verbs:?}");
    }
    assert!(events[0]["origin"].as_str().expect("an origin").starts_with("api "), "{}", events[0]);
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g ada@laptop";
    let mut request = api(Method::POST, "/api/v1/users/ada/keys", Some(&ada), None);
    *request.body_mut() = axum::body::Body::from(key);
    let added = send(&router, request).await;
    assert_eq!((added.status, &added.json()["comment"]), (StatusCode::CREATED, &json!("ada@laptop")), "{}", added.text);
    let fingerprint = added.json()["fingerprint"].as_str().expect("a fingerprint").replace('+', "%2B");
    assert_eq!(call(Method::DELETE, &format!("/api/v1/users/ada/keys?fingerprint={fingerprint}"), None).await.status, StatusCode::OK);

    let wrong = call(Method::DELETE, "/api/v1/apps/acme/shop?confirm=nope", None).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(call(Method::DELETE, "/api/v1/apps/acme/shop?confirm=shop", None).await.status, StatusCode::OK);
    assert_eq!(call(Method::GET, "/api/v1/apps/acme/shop", None).await.status, StatusCode::NOT_FOUND);
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_when_the_client_leaves() {
    let platform = Platform::start().await;
    platform.push("ada", &shop(), &"a".repeat(40), "First").await.expect("a release");
    let router = platform.router();
    let ada = platform.token("ada").await;
    let body = json!({ "set": { "A": "1" } });
    let mut answer = Streamed::open(&router, api(Method::PATCH, "/api/v1/apps/acme/shop/envs/dev/config", Some(&ada), Some(body))).await;
    answer.until("Rolling out").await;
    drop(answer);
    let who = platform.identity("ada").await;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let newest = platform.manager.releases(&who, &shop(), 1).await.expect("releases").remove(0);
        if newest.number.0 == 2 && newest.state == model::ReleaseState::Live {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "v2 did not become live: {newest:?}");
        tokio::task::yield_now().await;
    }
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_and_builds_stream() {
    let platform = Platform::start().await;
    platform.push("ada", &shop(), &"a".repeat(40), "First").await.expect("a release");
    let router = platform.router();
    let ada = platform.token("ada").await;
    *platform.lines.stored.lock().expect("unpoisoned") = (1..=300).map(|n| format!("web.1 line {n}")).collect();
    let path = "/api/v1/apps/acme/shop/envs/dev/logs";
    let tail = send(&router, api(Method::GET, &format!("{path}?n=2"), Some(&ada), None)).await;
    assert_eq!(tail.text, "web.1 line 299\nweb.1 line 300\n");
    let mut follow = Streamed::open(&router, api(Method::GET, &format!("{path}?n=2&follow=true"), Some(&ada), None)).await;
    // What was stored between listening and reading comes both ways and is shown once.
    platform.lines.coming.send("web.1 line 300".into()).expect("a listener");
    platform.lines.coming.send("web.1 line 301".into()).expect("a listener");
    follow.until("line 301").await;
    assert_eq!(follow.read, "web.1 line 299\nweb.1 line 300\nweb.1 line 301\n");

    let hold = std::sync::Arc::new(tokio::sync::Notify::new());
    *platform.building.hold.lock().expect("unpoisoned") = Some(hold.clone());
    *platform.building.lines.lock().expect("unpoisoned") = vec!["       compiling".into()];
    let platform = std::sync::Arc::new(platform);
    let pushing = {
        let platform = platform.clone();
        tokio::spawn(async move { platform.push("ada", &shop(), &"b".repeat(40), "Second").await })
    };
    let who = platform.identity("ada").await;
    let build = loop {
        let newest = platform.manager.builds(&who, &shop(), 1).await.expect("builds").remove(0);
        if newest.state == model::BuildState::Running {
            break newest.id;
        }
        tokio::task::yield_now().await;
    };
    let mut log = Streamed::open(&router, api(Method::GET, &format!("/api/v1/builds/{build}/log?follow=true"), Some(&ada), None)).await;
    log.until("compiling").await;
    let now = send(&router, api(Method::GET, &format!("/api/v1/builds/{build}/log"), Some(&ada), None)).await;
    assert!(now.text.contains("compiling") && !now.text.contains("went on"), "without follow it ends: {}", now.text);
    hold.notify_one();
    log.read_on().await;
    assert!(log.read.contains("went on") && log.read.contains("-----> Release v2"), "{}", log.read);
    pushing.await.expect("no panic").expect("a release");
    let ended = send(&router, api(Method::POST, &format!("/api/v1/builds/{build}/cancel"), Some(&ada), None)).await;
    assert_eq!(ended.status, StatusCode::UNPROCESSABLE_ENTITY, "it has ended already");
    std::sync::Arc::into_inner(platform).expect("the last holder").stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_whom_it_is_for_may_not_have_it_any_more() {
    let config = web_ui::Config { recheck: std::time::Duration::from_millis(20), ..web_ui::Config::default() };
    let platform = Platform::start_with(config).await;
    let router = platform.router();
    let path = "/api/v1/apps/acme/shop/envs/dev/logs?follow=true";
    let token = platform.token("vic").await;
    let mut stream = Streamed::open(&router, api(Method::GET, path, Some(&token), None)).await;
    platform.lines.coming.send("web.1 hello".into()).expect("a listener");
    stream.until("hello").await;
    platform.manager.sign_out(&token).await.expect("a sign-out");
    stream.read_on().await;

    let token = platform.token("ada").await;
    let mut stream = Streamed::open(&router, api(Method::GET, path, Some(&token), None)).await;
    platform.manager.destroy_app(&platform::operator(), &shop().app_ref(), "shop").await.expect("a removal");
    stream.read_on().await;
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_input_is_answered_in_words() {
    let platform = Platform::start().await;
    let router = platform.router();
    let ada = platform.token("ada").await;
    let evil = ["..%2f..%2fetc", "Shop", "a%00b", "%3Cscript%3E", "-x", "x--------------------------------------------y", "%F0%9F%92%A9"];
    for name in evil {
        let answer = send(&router, api(Method::GET, &format!("/api/v1/apps/acme/{name}"), Some(&ada), None)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}: {}", answer.text);
        assert_eq!(answer.json()["code"], "SW-A400", "{name}");
    }
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let bodies = ["", "{", "null", "[]", "{\"app\":1}", "{\"app\":\"x\",\"owner\":\"root\"}", &deep];
    for body in bodies {
        let mut request = api(Method::POST, "/api/v1/apps", Some(&ada), Some(json!({})));
        *request.body_mut() = axum::body::Body::from(body.to_owned());
        let answer = send(&router, request).await;
        let start = body.get(..40.min(body.len())).unwrap_or_default();
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{start}: {}", answer.text);
        assert!(answer.json()["why"].as_str().is_some_and(|why| !why.is_empty()), "{start}: {}", answer.text);
    }
    let opa = platform.token("opa").await;
    let domains = "/api/v1/apps/acme/shop/envs/dev/domains";
    for hostname in ["*.example.com", "127.0.0.1", ""] {
        let answer = send(&router, api(Method::POST, domains, Some(&opa), Some(json!({ "hostname": hostname })))).await;
        let said = answer.json();
        assert_eq!((answer.status, &said["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("SW-A400")), "{hostname}");
        assert!(said["what"].as_str().is_some_and(|what| what.starts_with(&format!("`{hostname}` is not a host name: "))), "{said}");
        assert!(!answer.text.contains("line 1") && !answer.text.contains("eserialize"), "{said}");
    }
    let large = json!({ "app": "a".repeat(20_000_000) });
    let answer = send(&router, api(Method::POST, "/api/v1/apps", Some(&ada), Some(large))).await;
    assert_eq!((answer.status, &answer.json()["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("SW-A413")));
    let value = json!({ "set": { "A": "a".repeat(70_000) } });
    let answer = send(&router, api(Method::PATCH, "/api/v1/apps/acme/shop/envs/dev/config", Some(&ada), Some(value))).await;
    assert!(answer.json()["why"].as_str().is_some_and(|why| why.contains("64 KiB")), "{}", answer.text);
    let text = send(&router, {
        let mut request = api(Method::POST, "/api/v1/apps", Some(&ada), None);
        *request.body_mut() = axum::body::Body::from("{\"app\":\"x\"}");
        request
    })
    .await;
    assert_eq!(text.json()["why"], "Its content type must be application/json.");
    let nothing = send(&router, api(Method::GET, "/api/v1/nothing", Some(&ada), None)).await;
    assert_eq!((nothing.status, &nothing.json()["code"]), (StatusCode::NOT_FOUND, &json!("SW-A410")));
    let method = send(&router, api(Method::PUT, "/api/v1/apps", Some(&ada), None)).await;
    assert_eq!((method.status, method.header("content-type")), (StatusCode::METHOD_NOT_ALLOWED, "application/problem+json"));
    for query in ["?limit=x", "?limit=-1", "?other=1", "?limit=99999999999"] {
        let answer = send(&router, api(Method::GET, &format!("/api/v1/apps/acme/shop/envs/dev/builds{query}"), Some(&ada), None)).await;
        assert_eq!((answer.status, &answer.json()["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("SW-A422")), "{query}");
    }
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_can_not_be_guessed_over_the_api() {
    let platform = Platform::start().await;
    platform.session("ada").await;
    let router = platform.router();
    let sign_in = async |user: &str, password: &str| {
        send(&router, api(Method::POST, "/api/v1/login", None, Some(json!({ "user": user, "password": password, "label": "laptop" }))))
            .await
    };
    let token = sign_in("ada", platform::PASSWORD).await.json()["token"].as_str().expect("a token").to_owned();
    assert_eq!(send(&router, api(Method::GET, "/api/v1/whoami", Some(&token), None)).await.json()["user"], "ada");
    assert_eq!(send(&router, api(Method::DELETE, "/api/v1/login", Some(&token), None)).await.status, StatusCode::OK);
    assert_eq!(send(&router, api(Method::GET, "/api/v1/whoami", Some(&token), None)).await.status, StatusCode::UNAUTHORIZED);
    let (wrong, unknown) = (sign_in("ada", "wrong").await, sign_in("nobody", "wrong").await);
    assert_eq!((wrong.status, &wrong.text), (StatusCode::UNAUTHORIZED, &unknown.text), "an unknown user is answered alike");
    for _ in 0..4 {
        sign_in("ada", "wrong").await;
    }
    let refused = sign_in("ada", platform::PASSWORD).await;
    assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("SW-A429")));
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_serve_and_end_in_order() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let platform = Platform::start().await;
    let shutdown = tokio_util::sync::CancellationToken::new();
    let network = platform.ui.bind("127.0.0.1:0".parse().expect("an address")).await.expect("a listener");
    let address = network.address().expect("an address");
    let socket = platform.dir.path().join("control.sock");
    let control = platform.ui.bind_control(&socket).expect("a socket");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&socket).expect("a file").permissions());
    assert_eq!(mode & 0o777, 0o600);
    let serving = [tokio::spawn(network.serve(shutdown.clone())), tokio::spawn(control.serve(shutdown.clone()))];

    let mut stream = tokio::net::UnixStream::connect(&socket).await.expect("a connection");
    stream.write_all(b"GET /api/v1/whoami HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("a write");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    assert!(text.contains("{\"user\":null,\"operator\":true,\"super\":true,\"memberships\":[]"), "{text}");

    let token = platform.token("ada").await;
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    stream.write_all(ask("/api/v1/apps/acme/shop/envs/dev/logs?follow=true").as_bytes()).await.expect("a write");
    let mut bytes = [0; 1024];
    let read = stream.read(&mut bytes).await.expect("a head");
    assert!(String::from_utf8_lossy(&bytes[..read]).starts_with("HTTP/1.1 200"));
    // A stream has no end of its own: the stop of the server is its end.
    shutdown.cancel();
    let mut rest = String::new();
    tokio::time::timeout(std::time::Duration::from_secs(10), stream.read_to_string(&mut rest))
        .await
        .expect("the stream went on")
        .expect("an end");
    for serving in serving {
        tokio::time::timeout(std::time::Duration::from_secs(10), serving).await.expect("the listener went on").expect("no panic");
    }
    platform.stop().await;
}
