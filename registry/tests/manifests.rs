//! Manifests, tags, referrers, lists: row by row of the specification.

mod common;

use common::*;
use registry::{Algorithm, ContentDigest, Limits};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn an_image_is_pushed_and_pulled_by_tag_and_digest() {
    for backend in BACKENDS {
        let server = TestRegistry::start(backend).await;
        for repository in ["shop", "acme/shop", "a/b/c/d/e/f/g"] {
            let document = server.push_parts(repository, "one").await;
            let bytes = document.to_string();
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                let digest = ContentDigest::of(algorithm, bytes.as_bytes());
                let reference = if algorithm == Algorithm::Sha256 { "v1".into() } else { digest.to_string() };
                let created = expect(server.push_manifest(repository, &reference, &document).await, StatusCode::CREATED).await;
                assert_eq!(header(&created, "docker-content-digest"), digest.to_string());
                assert_eq!(header(&created, "location"), format!("/v2/{repository}/manifests/{digest}"));
                for reference in [&reference, &digest.to_string()] {
                    let path = format!("/v2/{repository}/manifests/{reference}");
                    let head = expect(server.head(&path).send().await.expect("an answer"), StatusCode::OK).await;
                    assert_eq!(header(&head, "content-length"), bytes.len().to_string());
                    assert_eq!(header(&head, "content-type"), IMAGE);
                    assert_eq!(header(&head, "docker-content-digest"), digest.to_string());
                    let got = expect(server.get(&path).send().await.expect("an answer"), StatusCode::OK).await;
                    assert_eq!(header(&got, "content-type"), IMAGE);
                    assert_eq!(got.text().await.expect("a body"), bytes, "byte by byte");
                    let known = server.get(&path).header("if-none-match", format!("\"{digest}\"")).send().await.expect("an answer");
                    expect(known, StatusCode::NOT_MODIFIED).await;
                }
            }
        }
        for reference in ["missing", ".INVALID", "sha256:bad", &sha256(b"none").to_string()] {
            let response = server.get(&format!("/v2/acme/shop/manifests/{reference}")).send().await.expect("an answer");
            assert_eq!(refusal(response, StatusCode::NOT_FOUND).await, "MANIFEST_UNKNOWN", "{reference}");
        }
    }
}

#[tokio::test]
async fn a_manifest_needs_its_parts() {
    for backend in BACKENDS {
        let server = TestRegistry::start(backend).await;
        let document = image(b"{}", &[b"layer"]);
        let refused = server.push_manifest("acme/shop", "v1", &document).await;
        assert_eq!(refusal(refused, StatusCode::NOT_FOUND).await, "MANIFEST_BLOB_UNKNOWN");
        server.push_blob("acme/shop", b"{}").await;
        // In another repository it is not in this one.
        server.push_blob("acme/other", b"layer").await;
        let refused = server.push_manifest("acme/shop", "v1", &document).await;
        assert_eq!(refusal(refused, StatusCode::NOT_FOUND).await, "MANIFEST_BLOB_UNKNOWN");
        assert_eq!(server.status("/v2/acme/shop/manifests/v1").await, StatusCode::NOT_FOUND);
        server.push_blob("acme/shop", b"layer").await;
        let mut wrong = document.clone();
        wrong["layers"][0]["size"] = 4.into();
        let refused = server.push_manifest("acme/shop", "v1", &wrong).await;
        assert_eq!(refusal(refused, StatusCode::BAD_REQUEST).await, "SIZE_INVALID");
        expect(server.push_manifest("acme/shop", "v1", &document).await, StatusCode::CREATED).await;

        let absent = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(IMAGE, b"no such image")] });
        let refused = server.push_manifest("acme/shop", "all", &absent).await;
        assert_eq!(refusal(refused, StatusCode::NOT_FOUND).await, "MANIFEST_BLOB_UNKNOWN");
        let bytes = document.to_string();
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(IMAGE, bytes.as_bytes())] });
        expect(server.push_manifest("acme/shop", "all", &index).await, StatusCode::CREATED).await;
        let nested = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(INDEX, index.to_string().as_bytes())] });
        expect(server.push_manifest("acme/shop", "nested", &nested).await, StatusCode::CREATED).await;
        let empty = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] });
        expect(server.push_manifest("acme/shop", "empty", &empty).await, StatusCode::CREATED).await;
        let got = server.get("/v2/acme/shop/manifests/all").send().await.expect("an answer");
        assert_eq!(header(&got, "content-type"), INDEX);
    }
}

#[tokio::test]
async fn manifests_that_are_refused() {
    let limits = Limits { manifest_bytes: 2000, ..Limits::default() };
    let server = TestRegistry::start_with(Backend::Disk, limits).await;
    let document = server.push_parts("acme/shop", "one").await;
    let put = |reference: &str, kind: &str, body: String| {
        let request = server.put(&format!("/v2/acme/shop/manifests/{reference}"));
        request.header("content-type", kind.to_owned()).body(body).send()
    };
    for (kind, body) in [
        (IMAGE, "not json".to_owned()),
        (IMAGE, "[]".into()),
        (INDEX, document.to_string()),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", "{\"schemaVersion\":1}".into()),
    ] {
        let refused = put("v1", kind, body).await.expect("an answer");
        assert_eq!(refusal(refused, StatusCode::BAD_REQUEST).await, "MANIFEST_INVALID");
    }
    let other = put(&sha256(b"other").to_string(), IMAGE, document.to_string()).await.expect("an answer");
    assert_eq!(refusal(other, StatusCode::BAD_REQUEST).await, "DIGEST_INVALID");
    let bad = put("sha256:baddigeststring", IMAGE, document.to_string()).await.expect("an answer");
    assert_eq!(refusal(bad, StatusCode::BAD_REQUEST).await, "DIGEST_INVALID");
    let tag = put("-bad", IMAGE, document.to_string()).await.expect("an answer");
    assert_eq!(refusal(tag, StatusCode::BAD_REQUEST).await, "TAG_INVALID");
    let mut long = document.clone();
    long["annotations"] = json!({ "a": "x".repeat(2000) });
    let long = put("v1", IMAGE, long.to_string()).await.expect("an answer");
    assert_eq!(refusal(long, StatusCode::PAYLOAD_TOO_LARGE).await, "MANIFEST_INVALID");
    assert_eq!(server.registry.usage().await.expect("a usage").manifests, 0);
}

#[tokio::test]
async fn a_four_megabyte_manifest_is_taken() {
    let server = TestRegistry::start(Backend::Disk).await;
    let mut document = server.push_parts("acme/shop", "one").await;
    let annotations: serde_json::Map<String, Value> = (0..390).map(|n| (format!("large-{n}"), "A".repeat(10_000).into())).collect();
    document["annotations"] = annotations.into();
    expect(server.push_manifest("acme/shop", "large", &document).await, StatusCode::CREATED).await;
    let got = server.get("/v2/acme/shop/manifests/large").send().await.expect("an answer");
    assert_eq!(got.bytes().await.expect("a body"), document.to_string());
}

#[tokio::test]
async fn a_tag_moves_and_goes_alone() {
    for backend in BACKENDS {
        let server = TestRegistry::start(backend).await;
        let one = server.push_image("acme/shop", "latest", "one").await;
        let two = server.push_image("acme/shop", "latest", "two").await;
        let named = |tag: &str| {
            let request = server.head(&format!("/v2/acme/shop/manifests/{tag}"));
            async move { header(&request.send().await.expect("an answer"), "docker-content-digest") }
        };
        assert_eq!(named("latest").await, two.to_string());
        assert_eq!(server.status(&format!("/v2/acme/shop/manifests/{one}")).await, StatusCode::OK, "still there by digest");
        let gone = server.delete("/v2/acme/shop/manifests/latest").send().await.expect("an answer");
        expect(gone, StatusCode::ACCEPTED).await;
        assert_eq!(server.status("/v2/acme/shop/manifests/latest").await, StatusCode::NOT_FOUND);
        assert_eq!(server.status(&format!("/v2/acme/shop/manifests/{two}")).await, StatusCode::OK);
        // By digest everything that names it goes, too.
        let document = server.push_parts("acme/shop", "two").await;
        for tag in ["a", "b"] {
            expect(server.push_manifest("acme/shop", tag, &document).await, StatusCode::CREATED).await;
        }
        server.push_image("acme/shop", "c", "three").await;
        let gone = server.delete(&format!("/v2/acme/shop/manifests/{two}")).send().await.expect("an answer");
        expect(gone, StatusCode::ACCEPTED).await;
        for (reference, status) in [("a", 404), ("b", 404), ("c", 200), (two.to_string().as_str(), 404)] {
            assert_eq!(server.status(&format!("/v2/acme/shop/manifests/{reference}")).await, status, "{reference}");
        }
        let again = server.delete(&format!("/v2/acme/shop/manifests/{two}")).send().await.expect("an answer");
        assert_eq!(refusal(again, StatusCode::NOT_FOUND).await, "MANIFEST_UNKNOWN");
    }
}

#[tokio::test]
async fn tags_beside_a_digest() {
    let server = TestRegistry::start(Backend::Disk).await;
    let document = server.push_parts("acme/shop", "one").await;
    let digest = ContentDigest::of(Algorithm::Sha512, document.to_string().as_bytes());
    let created = server.push_manifest("acme/shop", &format!("{digest}?tag=one&tag=two"), &document).await;
    let created = expect(created, StatusCode::CREATED).await;
    let tags: Vec<_> = created.headers().get_all("oci-tag").iter().collect();
    assert_eq!(tags, ["one", "two"]);
    let head = server.head("/v2/acme/shop/manifests/two").send().await.expect("an answer");
    assert_eq!(header(&head, "docker-content-digest"), digest.to_string());
    let bad = server.push_manifest("acme/shop", &format!("{digest}?tag=-bad"), &document).await;
    assert_eq!(refusal(bad, StatusCode::BAD_REQUEST).await, "TAG_INVALID");
}

/// Follows `Link` headers to the end.
async fn all_pages(server: &TestRegistry, first: &str, key: &str) -> Vec<Vec<String>> {
    let (mut pages, mut next) = (Vec::new(), Some(first.to_owned()));
    while let Some(path) = next {
        let response = expect(server.get(&path).send().await.expect("an answer"), StatusCode::OK).await;
        next = response.headers().get("link").map(|link| {
            let link = link.to_str().expect("text");
            let (target, rest) = link.strip_prefix('<').and_then(|link| link.split_once('>')).expect("a link");
            assert_eq!(rest, "; rel=\"next\"");
            target.to_owned()
        });
        let document: Value = response.json().await.expect("a document");
        pages.push(document[key].as_array().expect("a list").iter().map(|entry| entry.as_str().expect("a name").into()).collect());
    }
    pages
}

#[tokio::test]
async fn tags_are_listed_in_pages() {
    for backend in BACKENDS {
        let server = TestRegistry::start(backend).await;
        let missing = server.get("/v2/acme/shop/tags/list").send().await.expect("an answer");
        assert_eq!(refusal(missing, StatusCode::NOT_FOUND).await, "NAME_UNKNOWN");
        let document = server.push_parts("acme/shop", "one").await;
        for tag in ["d", "a", "c", "B", "e"] {
            expect(server.push_manifest("acme/shop", tag, &document).await, StatusCode::CREATED).await;
        }
        server.push_image("acme/shop/web", "nested", "two").await;
        let whole: Value = server.get("/v2/acme/shop/tags/list").send().await.expect("an answer").json().await.expect("a document");
        assert_eq!(whole, json!({ "name": "acme/shop", "tags": ["B", "a", "c", "d", "e"] }));
        let pages = all_pages(&server, "/v2/acme/shop/tags/list?n=2", "tags").await;
        assert_eq!(pages, [vec!["B", "a"], vec!["c", "d"], vec!["e"]]);
        assert_eq!(all_pages(&server, "/v2/acme/shop/tags/list?last=c", "tags").await, [["d", "e"]]);
        assert_eq!(all_pages(&server, "/v2/acme/shop/tags/list?n=0", "tags").await, [Vec::<String>::new()]);
        assert_eq!(all_pages(&server, "/v2/acme/shop/tags/list?n=99999999999999999999999", "tags").await.concat().len(), 5);
        for bad in ["-1", "x", ""] {
            let response = server.get(&format!("/v2/acme/shop/tags/list?n={bad}")).send().await.expect("an answer");
            assert_eq!(refusal(response, StatusCode::BAD_REQUEST).await, "PAGINATION_NUMBER_INVALID");
        }
    }
}

#[tokio::test]
async fn the_catalogue() {
    for backend in BACKENDS {
        let server = TestRegistry::start(backend).await;
        for repository in ["acme/shop", "acme", "b/c/d", "zoo"] {
            server.push_image(repository, "v1", repository).await;
        }
        let pages = all_pages(&server, "/v2/_catalog?n=3", "repositories").await;
        assert_eq!(pages, [vec!["acme", "acme/shop", "b/c/d"], vec!["zoo"]]);
        assert_eq!(all_pages(&server, "/v2/_catalog?n=2147483648", "repositories").await.concat().len(), 4);
    }
}

#[tokio::test]
async fn referrers() {
    for backend in BACKENDS {
        let server = TestRegistry::start(backend).await;
        let subject = server.push_image("acme/shop", "v1", "one").await;
        let list = |subject: ContentDigest, query: &str| {
            let request = server.get(&format!("/v2/acme/shop/referrers/{subject}{query}"));
            async move { expect(request.send().await.expect("an answer"), StatusCode::OK).await }
        };
        let none = list(subject, "").await;
        assert_eq!(header(&none, "content-type"), INDEX);
        assert_eq!(none.json::<Value>().await.expect("an index"), json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] }));

        server.push_blob("acme/shop", b"{}").await;
        let subject_descriptor = json!({ "mediaType": IMAGE, "digest": subject.to_string(), "size": 1 });
        let artifact = |kind: &str, note: &str| {
            let mut document = image(b"{}", &[]);
            document["artifactType"] = kind.into();
            document["subject"] = subject_descriptor.clone();
            document["annotations"] = json!({ "note": note });
            document
        };
        let (bill, signature) = (artifact("application/spdx+json", "bill"), artifact("application/vnd.sig", "signature"));
        for document in [&bill, &signature] {
            let digest = sha256(document.to_string().as_bytes());
            let created = expect(server.push_manifest("acme/shop", &digest.to_string(), document).await, StatusCode::CREATED).await;
            assert_eq!(header(&created, "oci-subject"), subject.to_string());
        }
        // Without an artifactType, an image is what its config is; an index is nothing.
        let mut plain = image(b"{}", &[]);
        plain["subject"] = subject_descriptor.clone();
        expect(server.push_manifest("acme/shop", "plain", &plain).await, StatusCode::CREATED).await;
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [], "subject": subject_descriptor });
        expect(server.push_manifest("acme/shop", "index", &index).await, StatusCode::CREATED).await;

        let all: Value = list(subject, "").await.json().await.expect("an index");
        assert_eq!(all["manifests"].as_array().expect("a list").len(), 4);
        let filtered = list(subject, "?artifactType=application/spdx+json").await;
        assert_eq!(header(&filtered, "oci-filters-applied"), "artifactType");
        let filtered: Value = filtered.json().await.expect("an index");
        let bytes = bill.to_string();
        assert_eq!(
            filtered["manifests"],
            json!([{
                "mediaType": IMAGE, "digest": sha256(bytes.as_bytes()).to_string(), "size": bytes.len(),
                "artifactType": "application/spdx+json", "annotations": { "note": "bill" }
            }])
        );
        let by_config: Value =
            list(subject, &format!("?artifactType={}", CONFIG.replace('+', "%2B"))).await.json().await.expect("an index");
        assert_eq!(by_config["manifests"][0]["digest"], sha256(plain.to_string().as_bytes()).to_string());

        let gone = server.delete(&format!("/v2/acme/shop/manifests/{}", sha256(bytes.as_bytes()))).send().await.expect("an answer");
        expect(gone, StatusCode::ACCEPTED).await;
        let all: Value = list(subject, "").await.json().await.expect("an index");
        assert_eq!(all["manifests"].as_array().expect("a list").len(), 3);
        // A subject may come later, or never.
        let missing = sha256(b"not here yet");
        let mut early = artifact("application/vnd.sig", "early");
        early["subject"]["digest"] = missing.to_string().into();
        expect(server.push_manifest("acme/shop", "early", &early).await, StatusCode::CREATED).await;
        let all: Value = list(missing, "").await.json().await.expect("an index");
        assert_eq!(all["manifests"].as_array().expect("a list").len(), 1);
        let bad = server.get("/v2/acme/shop/referrers/latest").send().await.expect("an answer");
        assert_eq!(refusal(bad, StatusCode::BAD_REQUEST).await, "DIGEST_INVALID");
    }
}

#[tokio::test]
async fn many_long_referrers_come_in_pages() {
    let server = TestRegistry::start(Backend::Objects).await;
    server.push_blob("acme/shop", b"{}").await;
    let subject = sha256(b"subject");
    for n in 0..5 {
        let mut document = image(b"{}", &[]);
        document["artifactType"] = "application/x+y".into();
        document["subject"] = json!({ "mediaType": IMAGE, "digest": subject.to_string(), "size": 1 });
        document["annotations"] = json!({ "n": n.to_string(), "long": "x".repeat(1 << 20) });
        expect(server.push_manifest("acme/shop", &format!("t{n}"), &document).await, StatusCode::CREATED).await;
    }
    let (mut seen, mut pages) = (0, 0);
    let mut next = Some(format!("/v2/acme/shop/referrers/{subject}?artifactType=application/x%2By"));
    while let Some(path) = next {
        let response = expect(server.get(&path).send().await.expect("an answer"), StatusCode::OK).await;
        let link = response.headers().get("link").map(|link| link.to_str().expect("text").to_owned());
        next = link.map(|link| link.trim_start_matches('<').split_once('>').expect("a link").0.to_owned());
        let page: Value = response.json().await.expect("an index");
        seen += page["manifests"].as_array().expect("a list").len();
        pages += 1;
    }
    assert_eq!((seen, pages), (5, 2));
}

#[tokio::test]
async fn unknown_verbs_are_named() {
    let server = TestRegistry::start(Backend::Disk).await;
    for (method, path) in [(Method::PUT, "/v2/a/tags/list"), (Method::POST, "/v2/a/manifests/v1"), (Method::GET, "/v2/a/blobs/uploads/")] {
        let response = server.ask("root", method, path).send().await.expect("an answer");
        assert!(!header(&response, "allow").is_empty());
        assert_eq!(refusal(response, StatusCode::METHOD_NOT_ALLOWED).await, "UNSUPPORTED");
    }
}
