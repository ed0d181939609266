//! The loop against real (embedded) coordination, with simulated supervisors that obey and report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::world::{app, host, process, status};
use model::{
    AppEnv, Digest, Formation, Host, HostState, ImageRef, InstanceState, Intent, ProcessSpec, ReleaseNumber, Resources, RunSpec, Sealed,
};
use scheduler::{BlockedByApp, Config, Policy, Scheduler, SchedulerError};
use store::live::{Area, Embedded, Live, Session};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(20);

struct Cluster {
    live: Live,
    blocked: watch::Receiver<BlockedByApp>,
    shutdown: CancellationToken,
    scheduler: JoinHandle<()>,
}

impl Cluster {
    fn start() -> Self {
        let live = Live::new(Arc::new(Embedded::in_memory()));
        let policy = Policy { settle: Duration::from_millis(50), ..Policy::default() };
        let scheduler = Scheduler::new(live.clone(), Config { policy, interval: Duration::from_secs(60) });
        let (blocked, shutdown) = (scheduler.blocked(), CancellationToken::new());
        let scheduler = tokio::spawn(scheduler.run(shutdown.clone()));
        Self { live, blocked, shutdown, scheduler }
    }

    /// Waits until what is assigned, with its state, reads as `wanted`.
    async fn until(&self, wanted: &[&str]) {
        let mut watch = self.live.watch(&[Area::Assignments, Area::Instances]);
        let mut table = Vec::new();
        let reached = tokio::time::timeout(DEADLINE, async {
            loop {
                table = table_of(&self.live).await;
                if table == wanted {
                    return;
                }
                watch.changed().await;
            }
        });
        let in_time = reached.await.is_ok();
        assert!(in_time, "wanted {wanted:#?}, there is {table:#?}");
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(DEADLINE, self.scheduler).await.expect("the scheduler ends when told to").expect("it does not panic");
    }
}

async fn table_of(live: &Live) -> Vec<String> {
    let reports: BTreeMap<_, _> =
        live.instances().await.expect("instances").into_iter().map(|report| (report.id.clone(), report.state)).collect();
    let mut table = Vec::new();
    for fenced in live.assignments().await.expect("assignments") {
        for a in &fenced.assignments.assignments {
            let state = reports.get(&a.instance).map_or("silent", |state| state.as_str());
            table.push(format!("{} {} {state} on {}", a.label(), a.release, fenced.assignments.host));
        }
    }
    table.sort();
    table
}

async fn release(live: &Live, app: &AppEnv, number: u32, memory_mb: u32, count: u32) {
    let spec = ProcessSpec {
        command: "run".into(),
        resources: Resources { memory_mb, ..Resources::INSTANCE },
        health: None,
        stop_grace_s: 1,
        drain_s: 1,
    };
    let spec = RunSpec {
        app: app.clone(),
        release: ReleaseNumber(number),
        image: ImageRef { repository: "acme/shop".into(), digest: Digest::of(b"image") },
        commit: "0".repeat(40),
        processes: [(process("web"), spec)].into(),
        config: Sealed("sealed".into()),
    };
    live.put_spec(&spec).await.expect("the spec is written");
    want(live, app, number, count).await;
}

async fn want(live: &Live, app: &AppEnv, number: u32, count: u32) {
    let generation = live.formation(app).await.expect("a formation").map_or(1, |formation| formation.generation + 1);
    let counts = [(process("web"), count)].into();
    let formation = Formation { app: app.clone(), generation, release: ReleaseNumber(number), epoch: 0, counts };
    live.put_formation(&formation).await.expect("the formation is written");
}

/// Starts what it is told to, one state at a time; its session ends with it.
fn supervisor(live: Live, host: Host) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut watch = live.watch(&[Area::Assignments]);
        let session = live.session().await.expect("a session");
        live.register_host(&session, &host).await.expect("the host is registered");
        let mut states = BTreeMap::new();
        loop {
            let told = live.assignments_of(&host.name).await.expect("assignments").map(|doc| doc.assignments).unwrap_or_default();
            let mut moved = false;
            for instance in states.keys().filter(|id| !told.iter().any(|a| a.instance == **id)) {
                live.forget_instance(&host.name, instance).await.expect("forgotten");
            }
            states.retain(|id, _| told.iter().any(|a| a.instance == *id));
            for assignment in &told {
                let before = states.get(&assignment.instance).copied();
                let next = match (before, assignment.intent) {
                    (None, Intent::Run) => InstanceState::Starting,
                    (Some(_), Intent::Run) => InstanceState::Healthy,
                    (Some(InstanceState::Healthy), Intent::Drain) => InstanceState::Draining,
                    (_, Intent::Drain) => InstanceState::Stopped,
                };
                if before != Some(next) {
                    moved = true;
                    states.insert(assignment.instance.clone(), next);
                    report(&live, &session, &host, assignment, next).await;
                }
            }
            if !moved {
                watch.changed().await;
            }
        }
    })
}

async fn report(live: &Live, session: &Session, host: &Host, assignment: &model::Assignment, state: InstanceState) {
    live.report(session, &status(host, assignment, state, crate::world::start_of_time())).await.expect("reported");
}

#[tokio::test]
async fn a_release_is_placed_replaced_scaled_and_ended() {
    let cluster = Cluster::start();
    let (live, shop) = (cluster.live.clone(), app("shop"));
    let supervisor = supervisor(live.clone(), host("a", "za", 10, 8_192, 8_000));
    release(&live, &shop, 1, 512, 2).await;
    cluster.until(&["web.1 v1 healthy on a", "web.2 v1 healthy on a"]).await;
    release(&live, &shop, 2, 512, 2).await;
    cluster.until(&["web.1 v2 healthy on a", "web.2 v2 healthy on a"]).await;
    want(&live, &shop, 2, 1).await;
    cluster.until(&["web.1 v2 healthy on a"]).await;
    live.delete_formation(&shop).await.expect("the app is destroyed");
    cluster.until(&[]).await;
    supervisor.abort();
    cluster.stop().await;
}

#[tokio::test]
async fn a_lost_host_is_replaced_without_any_other_change() {
    let cluster = Cluster::start();
    let (live, shop) = (cluster.live.clone(), app("shop"));
    let first = supervisor(live.clone(), host("a", "za", 4, 4_096, 8_000));
    release(&live, &shop, 1, 512, 1).await;
    cluster.until(&["web.1 v1 healthy on a"]).await;
    let second = supervisor(live.clone(), host("b", "zb", 4, 4_096, 8_000));
    first.abort();
    cluster.until(&["web.1 v1 healthy on b"]).await;
    second.abort();
    cluster.stop().await;
}

#[tokio::test]
async fn what_is_blocked_is_published_and_taken_back() {
    let mut cluster = Cluster::start();
    let (live, shop) = (cluster.live.clone(), app("shop"));
    let small = supervisor(live.clone(), host("host-1", "za", 4, 200, 8_000));
    release(&live, &shop, 1, 512, 1).await;
    let said = |blocked: &BlockedByApp| {
        let why = blocked.get(&app("shop")).map(|blocked| blocked[0].why());
        why.as_deref() == Some("1 host, none with 512 MB free (host-1 has 200 MB)")
    };
    let published = tokio::time::timeout(DEADLINE, cluster.blocked.wait_for(said)).await;
    published.expect("the reason is published in time").expect("the scheduler lives");
    let large = supervisor(live.clone(), host("host-2", "za", 4, 2_000, 8_000));
    cluster.until(&["web.1 v1 healthy on host-2"]).await;
    let cleared = tokio::time::timeout(DEADLINE, cluster.blocked.wait_for(|blocked| blocked.is_empty())).await;
    cleared.expect("the reason is taken back in time").expect("the scheduler lives");
    small.abort();
    large.abort();
    cluster.stop().await;
}

#[tokio::test]
async fn a_second_look_writes_nothing_and_a_slow_one_is_refused() {
    let live = Live::new(Arc::new(Embedded::in_memory()));
    let session = live.session().await.expect("a session");
    let machine = Host { state: HostState::Ok, ..host("a", "za", 4, 4_096, 8_000) };
    live.register_host(&session, &machine).await.expect("registered");
    release(&live, &app("shop"), 1, 512, 1).await;
    let mut scheduler = Scheduler::new(live.clone(), Config::default());
    let plan = scheduler.activate().await.expect("a plan");
    assert_eq!(plan.place.len(), 1);
    assert!(scheduler.activate().await.expect("a plan").is_empty());

    let refused = live.commit_assignments(plan.changes()).await;
    assert!(matches!(refused, Err(store::LiveError::Conflict { .. })), "the fence holds: {refused:?}");
    let text = SchedulerError::Conflict.to_string();
    assert_eq!(text, "assignments were changed by another writer");
}
