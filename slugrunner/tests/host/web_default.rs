//! A web process that declares no health check: it counts when it answers in HTTP, and not worse than what serves.

use crate::common::{TestHost, app, process};
use model::health::Probe;
use model::{Code, HealthCheck, InstanceState, ProcessSpec};
use slugrunner::LogFilter;

fn web(mode: &str) -> ProcessSpec {
    let mut spec = process(&format!("exec server {mode}"));
    spec.health = Some(HealthCheck { start_s: 4, interval_s: 1, ..HealthCheck::web_default() });
    spec
}

fn was_healthy(host: &TestHost) -> bool {
    let filter = LogFilter { platform_only: true, text: Some("is healthy".into()), ..LogFilter::default() };
    !host.logs().tail(&app(), 100, &filter).is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_binds_before_its_workers_fail_is_never_healthy() {
    let mut host = TestHost::up().await;
    host.release(1, &[("web", web("binds-then-fails"))]).await;
    let id = host.order(1, "web", 1).await;
    let status = host.wait_state(&id, InstanceState::Crashed).await;
    assert_eq!(status.code, Some(Code::CrashedAtStart));
    assert_eq!(status.last_exit.expect("an exit").last_lines, ["ModuleNotFoundError: No module named 'shop'"]);
    assert!(!was_healthy(&host), "its port was taken for its answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_ends_after_its_first_answer_is_never_healthy() {
    let mut host = TestHost::up().await;
    host.release(1, &[("web", web("answers-then-fails"))]).await;
    let id = host.order(1, "web", 1).await;
    let status = host.wait_state(&id, InstanceState::Crashed).await;
    assert_eq!((status.code, status.last_exit.map(|exit| exit.code)), (Some(Code::CrashedAtStart), Some(4)));
    assert!(!was_healthy(&host), "it had answered once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_page_counts_unless_what_serves_does_better() {
    let mut host = TestHost::up().await;
    for (release, mode) in [(1, "500"), (2, "404"), (3, "500")] {
        host.release(release, &[("web", web(mode))]).await;
    }
    let first = host.order(1, "web", 1).await;
    host.wait_state(&first, InstanceState::Healthy).await;
    let second = host.order(2, "web", 1).await;
    host.wait_state(&second, InstanceState::Healthy).await;
    host.withdraw(&first).await;
    host.wait_for("the end of the first", async || host.status(&first).await.map_or(Ok(()), |status| Err(format!("{status:?}")))).await;
    let third = host.order(3, "web", 1).await;
    let status = host.wait(&third, "a reason", |status| status.reason.is_some()).await;
    assert_eq!(status.reason.as_deref(), Some("GET / answered 500, where v2 answers 404: shop"));
    let status = host.wait_state(&third, InstanceState::Crashed).await;
    assert_eq!(status.code, Some(Code::Unhealthy), "it is ended when its time is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_does_not_speak_http_is_told_what_to_write() {
    let mut host = TestHost::up().await;
    let mut declared = web("raw");
    declared.health = Some(HealthCheck::of(Probe::Tcp));
    host.release(1, &[("web", web("raw")), ("mail", declared)]).await;
    let (web, mail) = (host.order(1, "web", 1).await, host.order(1, "mail", 1).await);
    host.wait_state(&mail, InstanceState::Healthy).await;
    let status = host.wait_state(&web, InstanceState::Crashed).await;
    let reason = status.reason.expect("a reason");
    assert!(reason.starts_with("it answers on port 8080, but not in HTTP") && reason.contains("`health: tcp`"), "{reason}");
}
