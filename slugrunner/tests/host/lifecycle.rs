//! An instance from its order to its end, on the real engine.

use std::time::Duration;

use crate::common::{SERVE, TestHost, app, get, process};
use model::health::Probe;
use model::{HealthCheck, HostState, InstanceState};
use slugrunner::LogFilter;
use store::live::{Coordination, Expect, Op};

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_starts_becomes_healthy_drains_and_stops() {
    let mut host = TestHost::up().await;
    let mut web = process(SERVE);
    web.health =
        Some(HealthCheck::of(Probe::Http { path: "/index.html".into(), status: (200, 299), text: Some("it serves".into()), host: None }));
    host.release_with(1, &[("web", web)], host.image.clone(), &[("GREETING", "it's \"$HOME\"")]).await;
    let id = host.order(1, "web", 1).await;
    let status = host.wait_state(&id, InstanceState::Healthy).await;
    let address = status.address.expect("an address");
    assert!(get(address).await.expect("an answer").contains("it serves"));
    assert_eq!(host.live.hosts().await.expect("hosts").len(), 1);

    let (_, env) = host.inside(&id, "cat /proc/1/cmdline | head -c 300; cat /proc/7/environ /proc/8/environ 2>/dev/null").await;
    assert!(env.contains("init"), "no init process: {env}");
    let (_, user) = host.inside(&id, "id -u; cat /proc/self/status").await;
    for sign in ["10001", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(user.contains(sign), "{sign} is missing in {user}");
    }

    host.drain(&id).await;
    host.wait_state(&id, InstanceState::Stopped).await;
    assert!(host.containers().await.is_empty(), "the container is still there");
    host.withdraw(&id).await;
    host.wait_for("the report is gone", async || host.status(&id).await.map_or(Ok(()), |status| Err(format!("{status:?}")))).await;
    let said: Vec<String> =
        host.logs().tail(&app(), 100, &LogFilter { platform_only: true, ..LogFilter::default() }).into_iter().map(|l| l.text).collect();
    assert_eq!(said, ["web.1 started with v1 on testhost", "web.1 is healthy", "web.1 stopped"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn config_and_profile_reach_the_command_untouched() {
    let mut host = TestHost::up().await;
    let worker = model::ProcessSpec {
        health: None,
        ..process("echo \"$GREETING|$FROM_PROFILE|$PORT|$SLIPWAY_RELEASE|$SLIPWAY_ENV\"; exec sleep 1000")
    };
    host.release_with(1, &[("worker", worker)], host.image.clone(), &[("GREETING", "it's \"$HOME\" `id`"), ("PORT", "1")]).await;
    let id = host.order(1, "worker", 1).await;
    host.wait_state(&id, InstanceState::Healthy).await;
    let wanted = LogFilter { process: Some("worker".parse().expect("a process")), ..LogFilter::default() };
    let line = host.wait_for("its line", async || host.logs().tail(&app(), 10, &wanted).pop().ok_or_else(|| "nothing".to_owned())).await;
    assert_eq!(line.text, "it's \"$HOME\" `id`|it's sourced|8080|v1|dev");
}

#[tokio::test(flavor = "multi_thread")]
async fn term_comes_only_after_every_router_let_go_and_kill_after_the_grace() {
    let mut host = TestHost::up().await;
    let mut web = process(&format!("trap '' TERM; httpd -f -p $PORT -h /app & while true; do sleep 0.2; done; {SERVE}"));
    web.drain_s = 30;
    web.stop_grace_s = 1;
    host.release(1, &[("web", web)]).await;
    let id = host.order(1, "web", 1).await;
    host.wait_state(&id, InstanceState::Healthy).await;
    let router = model::RouterId::mint([1; 10]);
    let session = host.live.session().await.expect("a session");
    host.live.register_router(&session, &router).await.expect("a router");
    host.drain(&id).await;
    host.wait_state(&id, InstanceState::Draining).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(host.status(&id).await.expect("a status").state, InstanceState::Draining, "it did not wait for the router");
    host.live.mark_drained(&session, &router, &id).await.expect("a mark");
    host.wait_state(&id, InstanceState::Stopping).await;
    let stopped = host.wait_state(&id, InstanceState::Stopped).await;
    assert_eq!(stopped.last_exit.expect("an exit").code, 137);
    assert!(stopped.reason.expect("a reason").contains("ignored TERM for 1 s"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_supervisor_adopts_what_runs_and_loses_no_line() {
    let mut host = TestHost::up().await;
    let web = process("n=0; httpd -p $PORT -h /app; while true; do n=$((n+1)); echo \"line $n\"; sleep 0.02; done");
    host.release(1, &[("web", web)]).await;
    let id = host.order(1, "web", 1).await;
    host.wait_state(&id, InstanceState::Healthy).await;
    let before = host.containers().await;
    let wanted = LogFilter { process: Some("web".parse().expect("a process")), ..LogFilter::default() };
    for round in 1..=2_usize {
        host.stop().await;
        host.wait_for("the session's end", async || {
            let left = host.live.instances().await.expect("instances");
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        })
        .await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        host.start().await;
        host.wait_state(&id, InstanceState::Healthy).await;
        assert_eq!(host.containers().await[0].id, before[0].id, "the container was replaced");
        host.wait_for("more lines", async || {
            let count = host.logs().tail(&app(), 10_000, &wanted).len();
            if count > round * 40 { Ok(()) } else { Err(count.to_string()) }
        })
        .await;
    }
    let lines: Vec<String> = host.logs().tail(&app(), 10_000, &wanted).into_iter().map(|line| line.text).collect();
    let expected: Vec<String> = (1..=lines.len()).map(|n| format!("line {n}")).collect();
    assert_eq!(lines, expected, "lines were lost or doubled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_coordination_runs_what_it_was_told_last() {
    let mut host = TestHost::up().await;
    host.release(1, &[("web", process(SERVE))]).await;
    let id = host.order(1, "web", 1).await;
    host.wait_state(&id, InstanceState::Healthy).await;
    host.stop().await;
    for container in host.containers().await {
        slugrunner::Runtime::remove(&host.runtime, &container.id).await.expect("a removal");
    }
    // A coordination that knows nothing, as after its loss.
    host.live = store::Live::new(std::sync::Arc::new(store::live::Embedded::in_memory()));
    host.start().await;
    host.wait_state(&id, InstanceState::Healthy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_ours_that_nobody_ordered_go_and_others_stay() {
    let mut host = TestHost::new().await;
    host.start().await;
    host.release(1, &[("web", process(SERVE))]).await;
    let id = host.order(1, "web", 1).await;
    host.wait_state(&id, InstanceState::Healthy).await;
    let foreign = std::process::Command::new("docker")
        .args([
            "create",
            "--label",
            &format!("slipway.scope={}-other", host.config.scope),
            &format!("{}/{}", host.config.registry, host.image),
            "sh",
        ])
        .output()
        .expect("docker");
    let foreign = String::from_utf8(foreign.stdout).expect("an id").trim().to_owned();
    assert!(!foreign.is_empty(), "no foreign container");
    host.withdraw(&id).await;
    host.wait_for("nothing of ours is left", async || {
        let left = host.containers().await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    let found = std::process::Command::new("docker").args(["rm", "-f", &foreign]).output().expect("docker");
    assert!(found.status.success(), "the foreign container is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_host_registers_again_and_says_everything_again() {
    let mut host = TestHost::up().await;
    host.release(1, &[("web", process(SERVE))]).await;
    let id = host.order(1, "web", 1).await;
    let before = host.wait_state(&id, InstanceState::Healthy).await;
    let paths = ["hosts/testhost".to_owned(), format!("instances/testhost/{id}")];
    let ops = paths.map(|path| Op::Delete { path, expect: Expect::Any });
    host.tree.commit(ops.to_vec()).await.expect("a commit");
    host.wait_for("the host", async || if host.live.hosts().await.expect("hosts").is_empty() { Err("no host".to_owned()) } else { Ok(()) })
        .await;
    let after = host.wait_state(&id, InstanceState::Healthy).await;
    assert_eq!(before, after, "the instance was touched");
}

/// The scheduler then places nothing here and moves what runs; that it does is proven by its own tests.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_an_operator_takes_out_says_so_through_restarts_and_runs_on() {
    let mut host = TestHost::up().await;
    host.release(1, &[("web", process(SERVE))]).await;
    let web = host.order(1, "web", 1).await;
    host.wait_state(&web, InstanceState::Healthy).await;
    let reported = async |host: &TestHost, wanted: HostState| {
        host.wait_for("the state of the host", async || {
            let hosts = host.live.hosts().await.expect("hosts");
            if hosts.iter().any(|known| known.name == host.config.host && known.state == wanted) {
                Ok(())
            } else {
                Err(format!("{hosts:?}"))
            }
        })
        .await;
    };
    reported(&host, HostState::Ok).await;
    host.live.set_maintenance(&host.config.host, true).await.expect("a document");
    reported(&host, HostState::Maintenance).await;
    host.stop().await;
    host.start().await;
    reported(&host, HostState::Maintenance).await;
    // What runs is left to the scheduler.
    host.wait_state(&web, InstanceState::Healthy).await;
    host.live.set_maintenance(&host.config.host, false).await.expect("a document");
    reported(&host, HostState::Ok).await;
}
