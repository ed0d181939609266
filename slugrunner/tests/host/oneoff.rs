//! One-off runs.

use crate::common::{SERVE, TestHost, app, process};
use model::ReleaseNumber;
use slugrunner::OneOffRequest;
use slugrunner::runtime::OutputChunk;
use tokio::io::AsyncWriteExt;

fn order(command: &str) -> OneOffRequest {
    OneOffRequest { app: app(), release: ReleaseNumber(1), command: command.into(), terminal: None }
}

async fn gone(host: &TestHost) {
    host.wait_for("the one-off's container is gone", async || {
        let left = host.containers().await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_reads_writes_and_exits_with_its_code() {
    let mut host = TestHost::up().await;
    host.release_with(1, &[("web", process(SERVE))], host.image.clone(), &[("A", "b")]).await;
    ready(&mut host).await;
    let mut run = host.oneoffs().run(order("echo $A; cat; echo bad >&2; exit 7")).await.expect("a run");
    let mut input = run.input.take().expect("its input");
    input.write_all(b"typed\n").await.expect("a write");
    input.shutdown().await.expect("the end of input");
    drop(input);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some(piece) = run.output().await {
        match piece {
            OutputChunk::Stdout(bytes) => out.extend_from_slice(&bytes),
            OutputChunk::Stderr(bytes) => err.extend_from_slice(&bytes),
        }
    }
    assert_eq!((String::from_utf8_lossy(&out).as_ref(), String::from_utf8_lossy(&err).as_ref()), ("b\ntyped\n", "bad\n"));
    assert_eq!(run.exit_code().await, 7);
    gone(&host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_has_a_size_and_a_vanished_client_leaves_nothing() {
    let mut host = TestHost::up().await;
    host.release(1, &[("web", process(SERVE))]).await;
    ready(&mut host).await;
    let terminal = OneOffRequest { terminal: Some((120, 40)), ..order("sleep 0.5; stty size; exec sleep 1000") };
    let mut run = host.oneoffs().run(terminal).await.expect("a run");
    let mut text = String::new();
    while !text.contains('\n') {
        let Some(OutputChunk::Stdout(bytes)) = run.output().await else { panic!("it ended early: {text}") };
        text.push_str(&String::from_utf8_lossy(&bytes));
    }
    assert_eq!(text.trim(), "40 120");
    drop(run);
    gone(&host).await;
    let refused = host.oneoffs().run(OneOffRequest { release: ReleaseNumber(9), ..order("true") }).await.err().expect("a refusal");
    assert_eq!(refused.code, model::Code::NoRelease);
}

/// Nothing runs before the network and the rules stand.
async fn ready(host: &mut TestHost) {
    host.wait_for("a first run", async || match host.oneoffs().run(order("true")).await {
        Ok(run) => match run.exit_code().await {
            0 => Ok(()),
            code => Err(format!("exit code {code}")),
        },
        Err(user_error) => Err(user_error.to_string()),
    })
    .await;
    gone(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_writes_too_much_is_ended_and_told_why() {
    let mut host = TestHost::new().await;
    host.config.disk = 30 << 20;
    host.start().await;
    host.release(1, &[("web", process(SERVE))]).await;
    ready(&mut host).await;
    let writer =
        order("i=0; while [ $i -lt 600 ]; do dd if=/dev/zero of=/tmp/$i bs=1048576 count=1 2>/dev/null; i=$((i+1)); done; exec sleep 1000");
    let mut run = host.oneoffs().run(writer).await.expect("a run");
    let mut told = String::new();
    while let Some(piece) = run.output().await {
        let (OutputChunk::Stdout(bytes) | OutputChunk::Stderr(bytes)) = piece;
        told.push_str(&String::from_utf8_lossy(&bytes));
    }
    assert!(told.contains(" !     the command was ended: it wrote ") && told.contains("31.5 MB are allowed [SW-R112]"), "{told}");
    assert_eq!(run.exit_code().await, 137);
    gone(&host).await;
}
