//! Blobs and uploads, row by row of the specification, on disk and in an object store.

mod common;

use common::*;
use registry::{Algorithm, ContentDigest, Limits, Storage};
use reqwest::{Method, StatusCode};

#[tokio::test]
async fn the_version_is_told() {
    let server = TestRegistry::start(Backend::Disk).await;
    for path in ["/v2/", "/v2"] {
        let response = expect(server.get(path).send().await.expect("an answer"), StatusCode::OK).await;
        assert_eq!(header(&response, "docker-distribution-api-version"), "registry/2.0");
    }
    assert_eq!(refusal(server.get("/").send().await.expect("an answer"), StatusCode::NOT_FOUND).await, "NOT_FOUND");
    assert_eq!(refusal(server.put("/v2/").send().await.expect("an answer"), StatusCode::METHOD_NOT_ALLOWED).await, "UNSUPPORTED");
}

/// Reads a blob back in every way.
async fn assert_there(server: &TestRegistry, repository: &str, digest: &ContentDigest, content: &[u8]) {
    let path = format!("/v2/{repository}/blobs/{digest}");
    let head = expect(server.head(&path).send().await.expect("an answer"), StatusCode::OK).await;
    assert_eq!(header(&head, "content-length"), content.len().to_string());
    assert_eq!(header(&head, "docker-content-digest"), digest.to_string());
    assert_eq!(header(&head, "etag"), format!("\"{digest}\""));
    let whole = expect(server.get(&path).send().await.expect("an answer"), StatusCode::OK).await;
    assert_eq!(header(&whole, "content-length"), content.len().to_string());
    assert_eq!(header(&whole, "content-type"), "application/octet-stream");
    assert_eq!(whole.bytes().await.expect("a body"), content);
}

#[tokio::test]
async fn all_ways_to_push_a_blob() {
    for backend in BACKENDS {
        let server = TestRegistry::start(backend).await;
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let content = noise(3_000_000, algorithm as u64 + 7);
            let digest = ContentDigest::of(algorithm, &content);
            let path = format!("/v2/acme/shop/blobs/{digest}");
            let gone = server.get(&path).send().await.expect("an answer");
            assert_eq!(refusal(gone, StatusCode::NOT_FOUND).await, "BLOB_UNKNOWN");

            // All at once.
            let once = server.post(&format!("/v2/acme/shop/blobs/uploads/?digest={digest}")).body(content.clone());
            let created = expect(once.send().await.expect("an answer"), StatusCode::CREATED).await;
            assert_eq!(header(&created, "docker-content-digest"), digest.to_string());
            assert_eq!(header(&created, "location"), path);
            assert_there(&server, "acme/shop", &digest, &content).await;
            expect(server.delete(&path).send().await.expect("an answer"), StatusCode::ACCEPTED).await;
            assert_eq!(server.status(&path).await, StatusCode::NOT_FOUND, "a removed blob is gone at once");
            let again = server.delete(&path).send().await.expect("an answer");
            assert_eq!(refusal(again, StatusCode::NOT_FOUND).await, "BLOB_UNKNOWN");

            // Begin, then all in the PUT.
            let location = server.begin("acme/shop").await;
            let put = server.put(&format!("{location}?digest={digest}")).body(content.clone());
            expect(put.send().await.expect("an answer"), StatusCode::CREATED).await;
            assert_there(&server, "acme/shop", &digest, &content).await;
            expect(server.delete(&path).send().await.expect("an answer"), StatusCode::ACCEPTED).await;

            // A stream of unknown length in one PATCH, then an empty PUT.
            let location = server.begin("acme/shop").await;
            let pieces: Vec<Result<Vec<u8>, std::io::Error>> = content.chunks(70_001).map(|piece| Ok(piece.to_vec())).collect();
            let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
            let patched = expect(server.patch(&location).body(body).send().await.expect("an answer"), StatusCode::ACCEPTED).await;
            assert_eq!(header(&patched, "range"), format!("0-{}", content.len() - 1));
            let put = server.put(&format!("{}?digest={digest}", header(&patched, "location")));
            expect(put.send().await.expect("an answer"), StatusCode::CREATED).await;
            assert_there(&server, "acme/shop", &digest, &content).await;
            let ended = server.get(&location).send().await.expect("an answer");
            assert_eq!(refusal(ended, StatusCode::NOT_FOUND).await, "BLOB_UPLOAD_UNKNOWN");
        }
        // The empty blob is one, too.
        let digest = server.push_blob("acme/shop", b"").await;
        assert_there(&server, "acme/shop", &digest, b"").await;
    }
}

#[tokio::test]
async fn chunks_come_in_order() {
    for backend in BACKENDS {
        let server = TestRegistry::start(backend).await;
        let content = noise(300_000, 1);
        let digest = sha256(&content);
        let location = server.begin("acme/shop").await;
        let chunk = |method: Method, url: String, from: usize, to: usize| {
            let request = server.ask("root", method, &url).header("content-range", format!("{from}-{}", to - 1));
            request.body(content[from..to].to_vec()).send()
        };
        let fresh = expect(server.get(&location).send().await.expect("an answer"), StatusCode::NO_CONTENT).await;
        assert_eq!(header(&fresh, "range"), "0-0");
        // Too early, then right, then too late.
        let early = chunk(Method::PATCH, location.clone(), 100_000, 200_000).await.expect("an answer");
        assert_eq!(refusal(early, StatusCode::RANGE_NOT_SATISFIABLE).await, "BLOB_UPLOAD_INVALID");
        let first = chunk(Method::PATCH, location.clone(), 0, 100_000).await.expect("an answer");
        assert_eq!(header(&expect(first, StatusCode::ACCEPTED).await, "range"), "0-99999");
        let again = chunk(Method::PATCH, location.clone(), 0, 100_000).await.expect("an answer");
        let again = expect(again, StatusCode::RANGE_NOT_SATISFIABLE).await;
        assert_eq!(header(&again, "range"), "0-99999");
        let known = expect(server.get(&location).send().await.expect("an answer"), StatusCode::NO_CONTENT).await;
        assert_eq!(header(&known, "range"), "0-99999");
        assert_eq!(header(&known, "location"), location);
        let second = chunk(Method::PATCH, location.clone(), 100_000, 200_000).await.expect("an answer");
        expect(second, StatusCode::ACCEPTED).await;
        // The last one comes with the PUT; in the wrong place it is refused, and the upload goes on.
        let last = format!("{location}?digest={digest}");
        let wrong = chunk(Method::PUT, last.clone(), 0, 100_000).await.expect("an answer");
        expect(wrong, StatusCode::RANGE_NOT_SATISFIABLE).await;
        let put = chunk(Method::PUT, last, 200_000, 300_000).await.expect("an answer");
        expect(put, StatusCode::CREATED).await;
        assert_there(&server, "acme/shop", &digest, &content).await;
    }
}

#[tokio::test]
async fn a_chunk_is_as_long_as_it_says() {
    let server = TestRegistry::start(Backend::Disk).await;
    let location = server.begin("acme/shop").await;
    for (range, body) in [("0-9", "12345"), ("0-4", "1234567890"), ("5-", "1"), ("x", "1"), ("9-0", "1")] {
        let sent = server.patch(&location).header("content-range", range).body(body).send().await.expect("an answer");
        assert!(sent.status().is_client_error(), "{range} with {body}: {}", sent.status());
        let known = expect(server.get(&location).send().await.expect("an answer"), StatusCode::NO_CONTENT).await;
        assert_eq!(header(&known, "range"), "0-0", "nothing of {range} was taken");
    }
    let sent = server.patch(&location).header("content-range", "0-4").body("12345").send().await.expect("an answer");
    expect(sent, StatusCode::ACCEPTED).await;
    let put = server.put(&format!("{location}?digest={}", sha256(b"12345"))).send().await.expect("an answer");
    expect(put, StatusCode::CREATED).await;
}

#[tokio::test]
async fn a_wrong_digest_is_never_visible() {
    for backend in BACKENDS {
        let server = TestRegistry::start(backend).await;
        let claimed = sha256(b"what was meant");
        let path = format!("/v2/acme/shop/blobs/{claimed}");
        let once = server.post(&format!("/v2/acme/shop/blobs/uploads/?digest={claimed}")).body("something else");
        assert_eq!(refusal(once.send().await.expect("an answer"), StatusCode::BAD_REQUEST).await, "DIGEST_INVALID");
        let location = server.begin("acme/shop").await;
        let put = server.put(&format!("{location}?digest={claimed}")).body("something else");
        assert_eq!(refusal(put.send().await.expect("an answer"), StatusCode::BAD_REQUEST).await, "DIGEST_INVALID");
        assert_eq!(server.status(&path).await, StatusCode::NOT_FOUND);
        assert_eq!(server.registry.usage().await.expect("a usage").blobs, 0);
        for bad in ["sha256:baddigeststring", "md5:d41d8cd98f00b204e9800998ecf8427e", "none", ""] {
            let location = server.begin("acme/shop").await;
            let put = server.put(&format!("{location}?digest={bad}")).body("x").send().await.expect("an answer");
            assert_eq!(refusal(put, StatusCode::BAD_REQUEST).await, "DIGEST_INVALID", "{bad}");
        }
        let location = server.begin("acme/shop").await;
        let put = server.put(&location).body("x").send().await.expect("an answer");
        assert_eq!(refusal(put, StatusCode::BAD_REQUEST).await, "DIGEST_INVALID", "no digest at all");
    }
}

#[tokio::test]
async fn ranges_of_a_blob() {
    for backend in BACKENDS {
        let server = TestRegistry::start(backend).await;
        let content = noise(2048, 3);
        let digest = server.push_blob("acme/shop", &content).await;
        let path = format!("/v2/acme/shop/blobs/{digest}");
        for (range, from, to) in [("500-1499", 500, 1500), ("500-", 500, 2048), ("-500", 1548, 2048), ("2000-5000", 2000, 2048)] {
            let request = server.get(&path).header("range", format!("bytes={range}"));
            let part = expect(request.send().await.expect("an answer"), StatusCode::PARTIAL_CONTENT).await;
            assert_eq!(header(&part, "content-length"), (to - from).to_string());
            assert_eq!(header(&part, "content-range"), format!("bytes {from}-{}/2048", to - 1));
            assert_eq!(part.bytes().await.expect("a body"), content[from..to]);
        }
        for range in ["500-0", "5000-10000", "2048-"] {
            let response = server.get(&path).header("range", format!("bytes={range}")).send().await.expect("an answer");
            assert_eq!(header(&response, "content-range"), "bytes */2048");
            assert_eq!(refusal(response, StatusCode::RANGE_NOT_SATISFIABLE).await, "RANGE_INVALID");
        }
        // Resuming something else starts anew; what is known already is not sent.
        let other = server.get(&path).header("range", "bytes=1-2").header("if-range", "\"other\"").send().await.expect("an answer");
        expect(other, StatusCode::OK).await;
        let same = server.get(&path).header("range", "bytes=1-2").header("if-range", format!("\"{digest}\""));
        expect(same.send().await.expect("an answer"), StatusCode::PARTIAL_CONTENT).await;
        let known = server.get(&path).header("if-none-match", format!("\"{digest}\"")).send().await.expect("an answer");
        expect(known, StatusCode::NOT_MODIFIED).await;
    }
}

#[tokio::test]
async fn mounts() {
    let server = TestRegistry::start(Backend::Disk).await;
    let digest = server.push_blob("acme/shop", b"shared layer").await;
    let mount =
        |user: &'static str, to: &str, query: String| server.ask(user, Method::POST, &format!("/v2/{to}/blobs/uploads/?{query}")).send();
    let mounted = mount("acme", "acme/blog", format!("mount={digest}&from=acme/shop")).await.expect("an answer");
    let mounted = expect(mounted, StatusCode::CREATED).await;
    assert_eq!(header(&mounted, "location"), format!("/v2/acme/blog/blobs/{digest}"));
    assert_there(&server, "acme/blog", &digest, b"shared layer").await;
    // What can not be mounted becomes an upload: not there, not readable, no source named, or a name that is none.
    for query in [
        format!("mount={}&from=acme/shop", sha256(b"nothing")),
        format!("mount={digest}&from=rival/shop"),
        format!("mount={digest}&from=../acme"),
        format!("mount={digest}"),
    ] {
        let response = mount("acme", "acme/wiki", query).await.expect("an answer");
        let response = expect(response, StatusCode::ACCEPTED).await;
        assert!(header(&response, "location").contains("/blobs/uploads/"));
    }
    let stolen = mount("rival", "rival/shop", format!("mount={digest}&from=acme/shop")).await.expect("an answer");
    expect(stolen, StatusCode::ACCEPTED).await;
    assert_eq!(server.status(&format!("/v2/rival/shop/blobs/{digest}")).await, StatusCode::NOT_FOUND);
    let bad = mount("acme", "acme/blog", "mount=sha256:zz&from=acme/shop".into()).await.expect("an answer");
    assert_eq!(refusal(bad, StatusCode::BAD_REQUEST).await, "DIGEST_INVALID");
}

#[tokio::test]
async fn uploads_are_cancelled_and_belong_to_their_repository() {
    let server = TestRegistry::start(Backend::Disk).await;
    let location = server.begin("acme/shop").await;
    expect(server.patch(&location).body("some").send().await.expect("an answer"), StatusCode::ACCEPTED).await;
    let elsewhere = location.replace("acme/shop", "acme/blog");
    for method in [Method::GET, Method::PATCH, Method::PUT, Method::DELETE] {
        let url = format!("{elsewhere}?digest={}", sha256(b"some"));
        let response = server.ask("root", method, &url).send().await.expect("an answer");
        assert_eq!(refusal(response, StatusCode::NOT_FOUND).await, "BLOB_UPLOAD_UNKNOWN");
    }
    expect(server.delete(&location).send().await.expect("an answer"), StatusCode::NO_CONTENT).await;
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        let response = server.ask("root", method, &location).send().await.expect("an answer");
        assert_eq!(refusal(response, StatusCode::NOT_FOUND).await, "BLOB_UPLOAD_UNKNOWN");
    }
    for id in ["..%2F..%2Flock", "nonsense", &"0".repeat(32)] {
        let response = server.get(&format!("/v2/acme/shop/blobs/uploads/{id}")).send().await.expect("an answer");
        assert!(response.status().is_client_error(), "{id}");
    }
    assert_eq!(server.registry.usage().await.expect("a usage").bytes, 0);
}

#[tokio::test]
async fn limits_are_kept() {
    let limits = Limits { blob_bytes: 1000, uploads_per_repository: 3, ..Limits::default() };
    let server = TestRegistry::start_with(Backend::Disk, limits).await;
    let long = noise(1001, 1);
    let path = format!("/v2/acme/shop/blobs/uploads/?digest={}", sha256(&long));
    let sent = server.post(&path).body(long).send().await.expect("an answer");
    assert_eq!(refusal(sent, StatusCode::PAYLOAD_TOO_LARGE).await, "SIZE_INVALID");
    assert_eq!(server.registry.usage().await.expect("a usage").bytes, 0, "nothing of it is kept");
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(server.begin("acme/shop").await);
    }
    let fourth = server.post("/v2/acme/shop/blobs/uploads/").send().await.expect("an answer");
    assert_eq!(refusal(fourth, StatusCode::TOO_MANY_REQUESTS).await, "TOOMANYREQUESTS");
    server.begin("acme/blog").await;
    expect(server.delete(&open[0]).send().await.expect("an answer"), StatusCode::NO_CONTENT).await;
    server.begin("acme/shop").await;
}

#[tokio::test]
async fn an_upload_goes_on_after_a_restart() {
    let server = TestRegistry::start(Backend::Disk).await;
    let content = noise(500_000, 9);
    let location = server.begin("acme/shop").await;
    let sent = server.patch(&location).body(content[..300_000].to_vec()).send().await.expect("an answer");
    expect(sent, StatusCode::ACCEPTED).await;
    let dir = server.stop().await;

    let storage = Storage::on_disk(dir.path()).expect("nobody holds it any more");
    let server = TestRegistry::over(dir, storage, Limits::default()).await;
    let known = expect(server.get(&location).send().await.expect("an answer"), StatusCode::NO_CONTENT).await;
    assert_eq!(header(&known, "range"), "0-299999");
    let rest = server.patch(&location).header("content-range", "300000-499999").body(content[300_000..].to_vec());
    expect(rest.send().await.expect("an answer"), StatusCode::ACCEPTED).await;
    let digest = sha256(&content);
    let put = server.put(&format!("{location}?digest={digest}")).send().await.expect("an answer");
    expect(put, StatusCode::CREATED).await;
    assert_there(&server, "acme/shop", &digest, &content).await;
}

#[tokio::test]
async fn one_process_serves_a_directory() {
    let server = TestRegistry::start(Backend::Disk).await;
    let error = Storage::on_disk(server.dir.path()).expect_err("it is taken");
    assert!(error.to_string().contains("another registry"), "{error}");
}

#[tokio::test]
async fn a_broken_off_body_leaves_what_came() {
    use tokio::io::AsyncWriteExt;
    let server = TestRegistry::start(Backend::Disk).await;
    let content = noise(4 << 20, 5);
    let location = server.begin("acme/shop").await;
    let mut socket = tokio::net::TcpStream::connect(server.address).await.expect("a connection");
    let head =
        format!("PATCH {location} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic cm9vdDpwdw==\r\nContent-Length: {}\r\n\r\n", content.len());
    socket.write_all(head.as_bytes()).await.expect("sent");
    socket.write_all(&content[..3 << 20]).await.expect("sent");
    drop(socket);
    // The server takes in what came, then tells how far it got.
    let mut arrived = 0;
    for _ in 0..200 {
        let known = expect(server.get(&location).send().await.expect("an answer"), StatusCode::NO_CONTENT).await;
        let range = header(&known, "range");
        let last: usize = range.strip_prefix("0-").expect("a range").parse().expect("a number");
        if last + 1 == arrived && arrived > 1 {
            break;
        }
        arrived = last + 1;
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert!(arrived <= 3 << 20, "{arrived} bytes came");
    let from = if arrived <= 1 { 0 } else { arrived };
    let rest = server.patch(&location).header("content-range", format!("{from}-{}", content.len() - 1));
    expect(rest.body(content[from..].to_vec()).send().await.expect("an answer"), StatusCode::ACCEPTED).await;
    let digest = sha256(&content);
    let put = server.put(&format!("{location}?digest={digest}")).send().await.expect("an answer");
    expect(put, StatusCode::CREATED).await;
    assert_there(&server, "acme/shop", &digest, &content).await;
}

#[tokio::test]
async fn a_silent_client_is_not_waited_for() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let limits = Limits { stall: std::time::Duration::from_millis(200), ..Limits::default() };
    let server = TestRegistry::start_with(Backend::Disk, limits).await;
    let location = server.begin("acme/shop").await;
    let mut socket = tokio::net::TcpStream::connect(server.address).await.expect("a connection");
    let head = format!("PATCH {location} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic cm9vdDpwdw==\r\nContent-Length: 9\r\n\r\nabc");
    socket.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    let read = tokio::time::timeout(std::time::Duration::from_secs(10), socket.read_to_string(&mut answer)).await;
    read.expect("an answer within ten seconds").expect("text");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}
