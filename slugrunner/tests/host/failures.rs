//! What goes wrong with an instance, named.

use crate::common::{SERVE, TestHost, app, get, process};
use model::health::Probe;
use model::{Code, HealthCheck, ImageRef, InstanceState, ProcessSpec};
use slugrunner::LogFilter;

fn quick(command: &str) -> ProcessSpec {
    let mut spec = process(command);
    spec.health = Some(HealthCheck { start_s: 2, interval_s: 1, ..HealthCheck::of(Probe::Tcp) });
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_start_keeps_its_last_lines_and_comes_back_with_a_pause() {
    let mut host = TestHost::up().await;
    host.release(1, &[("web", process("seq 1 30; echo 'no such database'; exit 3"))]).await;
    let id = host.order(1, "web", 1).await;
    let status = host.wait_state(&id, InstanceState::Crashed).await;
    assert_eq!(status.code, Some(Code::CrashedAtStart));
    let exit = status.last_exit.expect("an exit");
    assert_eq!((exit.code, exit.oom, exit.last_lines.len()), (3, false, 20));
    assert_eq!(exit.last_lines.last().map(String::as_str), Some("no such database"));
    assert_eq!(status.address, None);
    host.wait(&id, "two restarts", |status| status.restarts >= 2).await;
    host.drain(&id).await;
    host.wait_state(&id, InstanceState::Stopped).await;
    let lines = host.logs().tail(&app(), 1000, &LogFilter { text: Some("no such database".into()), ..LogFilter::default() });
    assert!(lines.len() >= 2, "lines of crashed containers are lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_crashes_are_flapping() {
    let mut host = TestHost::up().await;
    host.release(1, &[("web", process("exit 1"))]).await;
    let id = host.order(1, "web", 1).await;
    let status = host.wait_state(&id, InstanceState::Flapping).await;
    assert_eq!((status.restarts, status.code), (4, Some(Code::CrashedAtStart)));
    assert!(status.reason.expect("a reason").contains("it keeps crashing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_port_is_named() {
    let mut host = TestHost::up().await;
    host.release(
        1,
        &[("web", quick("exec httpd -f -p 5000")), ("local", quick("exec httpd -f -p 127.0.0.1:$PORT")), ("mute", quick("exec sleep 100"))],
    )
    .await;
    let (web, local, mute) = (host.order(1, "web", 1).await, host.order(1, "local", 1).await, host.order(1, "mute", 1).await);
    let status = host.wait_state(&web, InstanceState::Crashed).await;
    assert_eq!((status.code, status.reason.as_deref()), (Some(Code::WrongPort), Some("it listens on 5000, not on $PORT, which is 8080")));
    let status = host.wait_state(&local, InstanceState::Crashed).await;
    assert_eq!(status.code, Some(Code::WrongPort));
    assert!(status.reason.expect("a reason").starts_with("it listens on 127.0.0.1:8080 only"));
    let status = host.wait_state(&mute, InstanceState::Crashed).await;
    assert_eq!(status.code, Some(Code::NotListening));
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_named() {
    let mut host = TestHost::up().await;
    let eater = ProcessSpec { health: None, ..process("sleep 0.2; exec dd if=/dev/zero of=/dev/null bs=300M count=1") };
    host.release(1, &[("web", eater)]).await;
    let id = host.order(1, "web", 1).await;
    let status = host.wait_state(&id, InstanceState::Crashed).await;
    assert_eq!(status.code, Some(Code::OutOfMemory), "{status:#?}");
    assert!(status.reason.expect("a reason").contains("64 MiB"));
    assert!(status.last_exit.expect("an exit").oom);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_answer_is_shown_and_a_hung_instance_leaves_the_routers_and_comes_back() {
    let mut host = TestHost::up().await;
    let http = |path: &str| HealthCheck {
        start_s: 3,
        interval_s: 1,
        failures: 1,
        ..HealthCheck::of(Probe::Http { path: path.into(), status: (200, 200), text: None, host: None })
    };
    let missing = ProcessSpec { health: Some(http("/missing")), ..process(SERVE) };
    // Its page goes away after a while: healthy first, then not.
    let fading = "cd /tmp; cat /app/index.html > index.html; (sleep 3; mv index.html old) & exec httpd -f -p $PORT -h /tmp";
    let fading = ProcessSpec { health: Some(http("/index.html")), ..process(fading) };
    host.release(1, &[("missing", missing), ("fading", fading)]).await;
    let (missing, fading) = (host.order(1, "missing", 1).await, host.order(1, "fading", 1).await);
    host.wait_state(&fading, InstanceState::Healthy).await;
    host.wait_state(&fading, InstanceState::Unhealthy).await;
    let back = host.wait(&fading, "healthy again after a restart", |s| s.state == InstanceState::Healthy && s.restarts >= 1).await;
    assert_eq!(back.reason, None);
    let status = host.wait(&missing, "an exit", |status| status.last_exit.is_some() && status.state != InstanceState::Starting).await;
    assert_eq!(status.code, Some(Code::Unhealthy));
    assert!(status.reason.expect("a reason").starts_with("GET /missing answered 404: "));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exec_probe_decides() {
    let mut host = TestHost::up().await;
    let ready = |command: &str| {
        let check = HealthCheck { start_s: 3, ..HealthCheck::of(Probe::Exec { command: command.into() }) };
        ProcessSpec { health: Some(check), ..process("sleep 1; echo ok > /tmp/ready; exec sleep 100") }
    };
    host.release(1, &[("good", ready("cat /tmp/ready")), ("bad", ready("echo 'queue is stuck'; exit 4"))]).await;
    let (good, bad) = (host.order(1, "good", 1).await, host.order(1, "bad", 1).await);
    host.wait_state(&good, InstanceState::Healthy).await;
    let status = host.wait_state(&bad, InstanceState::Crashed).await;
    assert_eq!(status.reason.as_deref(), Some("its health command exited with 4: queue is stuck"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_image_and_a_root_image_are_named() {
    let mut host = TestHost::up().await;
    let nowhere = ImageRef { digest: model::Digest::of(b"nowhere"), ..host.image.clone() };
    host.release_with(1, &[("web", process(SERVE))], nowhere, &[]).await;
    let root = host.registry.add("acme/root", "0");
    host.release_with(2, &[("web", process(SERVE))], root, &[]).await;
    let (missing, root) = (host.order(1, "web", 1).await, host.order(2, "web", 2).await);
    let status = host.wait_state(&missing, InstanceState::ImageMissing).await;
    assert_eq!(status.code, Some(Code::ImageMissing));
    let status = host.wait_state(&root, InstanceState::Crashed).await;
    assert!(status.reason.expect("a reason").contains("root"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_container_is_replaced() {
    let mut host = TestHost::up().await;
    host.release(1, &[("web", process(SERVE))]).await;
    let id = host.order(1, "web", 1).await;
    host.wait_state(&id, InstanceState::Healthy).await;
    for container in host.containers().await {
        slugrunner::Runtime::remove(&host.runtime, &container.id).await.expect("a removal");
    }
    let status = host.wait(&id, "healthy after a restart", |s| s.state == InstanceState::Healthy && s.restarts == 1).await;
    assert!(get(status.address.expect("an address")).await.is_ok());
}

/// Writes 600 pieces of 1 MiB, and no more: a test must not fill the disk of its machine.
fn writes(to: &str) -> ProcessSpec {
    let piece = format!("dd if=/dev/zero bs=1048576 count=1 {to} 2>/dev/null");
    let command =
        format!("{{ exec 3>/tmp/open && rm /tmp/open; }}; i=0; while [ $i -lt 600 ]; do {piece}; i=$((i+1)); done; exec sleep 1000");
    ProcessSpec { health: None, ..process(&command) }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_writes_without_end_is_ended_and_its_neighbour_lives_on() {
    let mut host = TestHost::new().await;
    host.config.disk = 30 << 20;
    host.start().await;
    host.release(1, &[("web", process(SERVE)), ("files", writes("of=/tmp/$i")), ("deleted", writes(">&3"))]).await;
    let neighbour = host.order(1, "web", 1).await;
    let before = host.wait_state(&neighbour, InstanceState::Healthy).await;
    for process in ["files", "deleted"] {
        let id = host.order(1, process, 1).await;
        let status = host.wait_state(&id, InstanceState::Crashed).await;
        assert_eq!(status.code, Some(Code::InstanceDisk), "{status:#?}");
        let reason = status.reason.expect("a reason");
        assert!(reason.starts_with("it wrote ") && reason.ends_with(" MB to its own disk; 31.5 MB are allowed"), "{reason}");
        assert_eq!(status.last_exit.map(|exit| exit.code), Some(137));
        host.wait(&id, "a restart", |status| status.restarts >= 1).await;
        let told = host.logs().tail(&app(), 1000, &LogFilter { text: Some("is ended: it wrote".into()), ..LogFilter::default() });
        assert!(told.iter().any(|line| line.text.contains(process)), "its log does not tell: {told:#?}");
        host.withdraw(&id).await;
    }
    let after = host.wait_state(&neighbour, InstanceState::Healthy).await;
    assert_eq!((after.restarts, after.since), (0, before.since), "the neighbour was touched");
    assert!(get(after.address.expect("an address")).await.is_ok());
}
