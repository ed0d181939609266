//! A layer of one gigabyte: memory stays flat on the way in and on the way out.

mod common;

use common::*;
use futures_util::StreamExt;
use reqwest::StatusCode;

const PIECE: usize = 256 << 10;
const PIECES: usize = 4096;
const GIGABYTE_OF_ZEROS: &str = "sha256:49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14";

/// The most memory this process ever had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("a number") * 1024
}

#[tokio::test]
async fn memory_does_not_grow_with_a_layer() {
    let server = TestRegistry::start(Backend::Disk).await;
    server.push_image("acme/shop", "warm", "up").await;
    let piece = bytes::Bytes::from(vec![0; PIECE]);
    let before = peak();
    let location = server.begin("acme/shop").await;
    let pieces = (0..PIECES).map(move |_| Ok::<_, std::io::Error>(piece.clone()));
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    expect(server.patch(&location).body(body).send().await.expect("an answer"), StatusCode::ACCEPTED).await;
    let put = server.put(&format!("{location}?digest={GIGABYTE_OF_ZEROS}")).send().await.expect("an answer");
    expect(put, StatusCode::CREATED).await;

    let got = server.get(&format!("/v2/acme/shop/blobs/{GIGABYTE_OF_ZEROS}")).send().await.expect("an answer");
    let mut got = expect(got, StatusCode::OK).await.bytes_stream();
    let (zeros, mut length) = (vec![0; PIECE], 0);
    while let Some(piece) = got.next().await {
        let piece = piece.expect("a piece");
        let is_same = piece.chunks(PIECE).all(|part| part == &zeros[..part.len()]);
        assert!(is_same, "not what was pushed, after {length} bytes");
        length += piece.len();
    }
    assert_eq!(length, PIECE * PIECES);
    let grown = peak().saturating_sub(before);
    assert!(grown < 32 << 20, "{} MB more for a layer of {} MB", grown >> 20, (PIECE * PIECES) >> 20);
}
