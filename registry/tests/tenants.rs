//! Who may do what: a matrix over every endpoint, and that other tenants' repositories do not exist.

mod common;

use common::*;
use reqwest::{Method, StatusCode};

/// Every endpoint of a repository, with the right it needs.
fn endpoints(repository: &str) -> Vec<(Method, String, &'static str)> {
    let digest = sha256(b"layer of one");
    vec![
        (Method::GET, format!("/v2/{repository}/blobs/{digest}"), "pull"),
        (Method::HEAD, format!("/v2/{repository}/blobs/{digest}"), "pull"),
        (Method::GET, format!("/v2/{repository}/manifests/v1"), "pull"),
        (Method::HEAD, format!("/v2/{repository}/manifests/v1"), "pull"),
        (Method::GET, format!("/v2/{repository}/tags/list"), "pull"),
        (Method::GET, format!("/v2/{repository}/referrers/{digest}"), "pull"),
        (Method::POST, format!("/v2/{repository}/blobs/uploads/"), "push"),
        (Method::GET, format!("/v2/{repository}/blobs/uploads/{}", "0".repeat(32)), "push"),
        (Method::PATCH, format!("/v2/{repository}/blobs/uploads/{}", "0".repeat(32)), "push"),
        (Method::PUT, format!("/v2/{repository}/blobs/uploads/{}?digest={digest}", "0".repeat(32)), "push"),
        (Method::DELETE, format!("/v2/{repository}/blobs/uploads/{}", "0".repeat(32)), "push"),
        (Method::PUT, format!("/v2/{repository}/manifests/v2"), "push"),
        (Method::DELETE, format!("/v2/{repository}/manifests/v9"), "delete"),
        (Method::DELETE, format!("/v2/{repository}/blobs/{}", sha256(b"none")), "delete"),
    ]
}

#[tokio::test]
async fn rights_by_endpoint() {
    let server = TestRegistry::start(Backend::Disk).await;
    server.push_image("acme/shop", "v1", "one").await;
    for (method, path, right) in endpoints("acme/shop") {
        for (user, rights) in [("reader", "pull"), ("builder", "pull push"), ("acme", "pull push delete"), ("root", "pull push delete")] {
            let response = server.ask(user, method.clone(), &path).send().await.expect("an answer");
            let denied = response.status() == StatusCode::FORBIDDEN;
            assert_eq!(denied, !rights.contains(right), "{user}: {method} {path}: {}", response.status());
            assert_ne!(response.status(), StatusCode::UNAUTHORIZED, "{user}: {method} {path}");
            assert!(!response.status().is_server_error(), "{user}: {method} {path}: {}", response.status());
        }
    }
}

#[tokio::test]
async fn other_tenants_see_nothing_at_all() {
    let server = TestRegistry::start(Backend::Disk).await;
    server.push_image("acme/shop", "v1", "one").await;
    for user in ["rival", "nobody"] {
        let there = endpoints("acme/shop");
        let absent = endpoints("acme/nothing");
        for ((method, path, _), (_, other, _)) in there.into_iter().zip(absent) {
            let answers = [&path, &other].map(|path| server.ask(user, method.clone(), path).send());
            let [there, absent] = answers;
            let (there, absent) = (there.await.expect("an answer"), absent.await.expect("an answer"));
            assert_eq!(there.status(), StatusCode::NOT_FOUND, "{user}: {method} {path}");
            assert_eq!(absent.status(), StatusCode::NOT_FOUND);
            let names = |response: &reqwest::Response| {
                let mut names: Vec<String> = response.headers().keys().map(ToString::to_string).collect();
                names.sort();
                names
            };
            assert_eq!(names(&there), names(&absent));
            assert_eq!(there.text().await.expect("a body"), absent.text().await.expect("a body"), "{user}: {method} {path}");
        }
    }
}

#[tokio::test]
async fn content_is_shared_but_not_sight() {
    let server = TestRegistry::start(Backend::Disk).await;
    let digest = server.push_blob("acme/shop", b"a secret layer").await;
    let path = format!("/v2/rival/shop/blobs/{digest}");
    let before = server.ask("rival", Method::GET, &path).send().await.expect("an answer");
    assert_eq!(refusal(before, StatusCode::NOT_FOUND).await, "BLOB_UNKNOWN");
    // Naming it in a manifest does not give it either.
    server.push_blob("rival/shop", b"{}").await;
    let document = image(b"{}", &[b"a secret layer"]);
    let request = server.ask("rival", Method::PUT, "/v2/rival/shop/manifests/v1").header("content-type", IMAGE);
    let named = request.body(document.to_string()).send().await.expect("an answer");
    assert_eq!(refusal(named, StatusCode::NOT_FOUND).await, "MANIFEST_BLOB_UNKNOWN");
    // Whoever has the bytes may push them; they are stored once.
    server.push_blob("rival/shop", b"a secret layer").await;
    assert_eq!(server.registry.usage().await.expect("a usage").blobs, 2);
    let hidden = server.ask("rival", Method::DELETE, &path).send().await.expect("an answer");
    expect(hidden, StatusCode::ACCEPTED).await;
    assert_eq!(server.status(&format!("/v2/acme/shop/blobs/{digest}")).await, StatusCode::OK, "still there for its other owner");
}

#[tokio::test]
async fn prefixes_end_at_a_segment() {
    let server = TestRegistry::start(Backend::Disk).await;
    server.push_image("acmes/shop", "v1", "one").await;
    let response = server.ask("acme", Method::GET, "/v2/acmes/shop/manifests/v1").send().await.expect("an answer");
    assert_eq!(refusal(response, StatusCode::NOT_FOUND).await, "NAME_UNKNOWN");
    let climbing = server.ask("acme", Method::GET, "/v2/acme/%2e%2e/acmes/shop/manifests/v1").send().await.expect("an answer");
    assert!(climbing.status().is_client_error());
}

#[tokio::test]
async fn without_credentials_they_are_asked_for() {
    let server = TestRegistry::start(Backend::Disk).await;
    server.push_image("acme/shop", "v1", "one").await;
    let paths = ["/v2/".to_owned(), "/v2/_catalog".into(), "/v2/acme/shop/manifests/v1".into(), "/nonsense".into()];
    for path in paths {
        let url = server.url(&path);
        let bare = server.http.get(&url).send().await.expect("an answer");
        assert!(header(&bare, "www-authenticate").starts_with("Basic realm="));
        assert_eq!(refusal(bare, StatusCode::UNAUTHORIZED).await, "UNAUTHORIZED");
        let wrong = server.http.get(&url).basic_auth("acme", Some("wrong")).send().await.expect("an answer");
        assert_eq!(refusal(wrong, StatusCode::UNAUTHORIZED).await, "UNAUTHORIZED");
        for broken in ["Basic", "Basic !!!", "Basic YQ==", "Bearer abc", "Digest x"] {
            let response = server.http.get(&url).header("authorization", broken).send().await.expect("an answer");
            assert_eq!(refusal(response, StatusCode::UNAUTHORIZED).await, "UNAUTHORIZED", "{broken}");
        }
    }
    let down = server.ask("offline", Method::GET, "/v2/").send().await.expect("an answer");
    assert_eq!(header(&down, "retry-after"), "1");
    assert_eq!(refusal(down, StatusCode::SERVICE_UNAVAILABLE).await, "UNAVAILABLE");
}

#[tokio::test]
async fn the_catalogue_is_for_operators() {
    let server = TestRegistry::start(Backend::Disk).await;
    server.push_image("acme/shop", "v1", "one").await;
    for user in ["acme", "reader", "rival", "nobody"] {
        let response = server.ask(user, Method::GET, "/v2/_catalog?n=2147483648").send().await.expect("an answer");
        assert_eq!(refusal(response, StatusCode::FORBIDDEN).await, "DENIED", "{user}");
    }
}
