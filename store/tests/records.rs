//! Records and embedded coordination against a real private PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use model::{AppEnv, EventId, Origin, Outcome};
use store::live::{Embedded, conformance};
use store::postgres::Postgres;
use store::records::{Lock, Records, RecordsError, Role};
use store::{Live, random};

struct Database {
    records: Records,
    postgres: Postgres,
    dir: tempfile::TempDir,
}

async fn database() -> Database {
    let dir = tempfile::tempdir().expect("a directory");
    // The server runs as another user and must be able to pass through.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), mode).expect("open the directory");
    let postgres = Postgres::start(&dir.path().join("pg"), &dir.path().join("run")).await.expect("a server");
    let records = Records::open(postgres.options(), 10).await.expect("a schema");
    Database { records, postgres, dir }
}

impl Database {
    async fn stop(self) {
        self.records.close().await;
        self.postgres.stop().await;
        drop(self.dir);
    }
}

async fn acme(records: &Records) -> AppEnv {
    let now = chrono::Utc::now();
    let app: AppEnv = "acme/shop/dev".parse().expect("a path");
    let team = "web".parse().expect("a name");
    let mut change = records.change().await.expect("a change");
    change.add_tenant(&app.tenant, now).await.expect("a tenant");
    change.add_team(&app.tenant, &team, now).await.expect("a team");
    change.add_app(&app.app_ref(), &team, now).await.expect("an app");
    change.add_env(&app, now).await.expect("an environment");
    change.commit().await.expect("a commit");
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_coordination_conforms_in_memory_and_in_sql() {
    conformance::run(Arc::new(Embedded::in_memory())).await;
    let database = database().await;
    let tree = Embedded::open(database.records.pool()).await.expect("a tree");
    conformance::run(Arc::new(tree)).await;
    database.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_survives_a_restart_and_a_dropped_change_does_not() {
    let database = database().await;
    let app = acme(&database.records).await;
    let mut change = database.records.change().await.expect("a change");
    change.remove_app(&app.app_ref()).await.expect("a removal");
    drop(change);
    let live = Live::new(Arc::new(Embedded::open(database.records.pool()).await.expect("a tree")));
    let formation =
        model::Formation { app: app.clone(), generation: 3, release: model::ReleaseNumber(1), epoch: 0, counts: Default::default() };
    live.put_formation(&formation).await.expect("a formation");
    let older = model::Formation { generation: 2, ..formation.clone() };
    assert!(live.put_formation(&older).await.is_err(), "an older generation was taken");

    let Database { records, postgres, dir } = database;
    records.close().await;
    postgres.stop().await;
    let postgres = Postgres::start(&dir.path().join("pg"), &dir.path().join("run")).await.expect("a restart");
    let records = Records::open(postgres.options(), 4).await.expect("the schema");
    assert!(records.env(&app).await.expect("a read").is_some(), "a committed row is gone");
    let live = Live::new(Arc::new(Embedded::open(records.pool()).await.expect("a tree")));
    assert_eq!(live.formations().await.expect("a read"), [formation]);
    Database { records, postgres, dir }.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_has_one_holder_and_ends_with_its_lease() {
    let database = database().await;
    let app = acme(&database.records).await;
    let now = chrono::Utc::now();
    let lock = |holder: &str, since, seconds| Lock {
        app: app.clone(),
        holder: holder.into(),
        owner: "ada".into(),
        reason: "push".into(),
        since,
        expires: since + chrono::Duration::seconds(seconds),
    };
    let records = &database.records;
    assert_eq!(records.take_lock(&lock("b-1", now, 10)).await.expect("a lock").holder, "b-1");
    assert_eq!(records.take_lock(&lock("b-2", now, 10)).await.expect("a lock").holder, "b-1");
    let later = now + chrono::Duration::seconds(11);
    assert_eq!(records.take_lock(&lock("b-2", later, 10)).await.expect("a lock").holder, "b-2");
    records.release_lock(&app, "b-1").await.expect("nothing");
    assert!(records.lock(&app).await.expect("a read").is_some(), "a former holder let go of it");
    records.release_lock(&app, "b-2").await.expect("a release");
    assert!(records.lock(&app).await.expect("a read").is_none());
    database.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_hostnames_are_taken_once_and_events_stay() {
    let database = database().await;
    let app = acme(&database.records).await;
    let now = chrono::Utc::now();
    let mut change = database.records.change().await.expect("a change");
    change.take_hostname(&"a.example.com".parse().expect("a name"), &app, false, now).await.expect("a name");
    let again = change.take_hostname(&"a.example.com".parse().expect("a name"), &app, false, now).await;
    assert!(again.is_err_and(|error| RecordsError::is_taken(&error)));
    drop(change);

    let mut change = database.records.change().await.expect("a change");
    let event = model::Event {
        id: EventId::mint(random::bytes()),
        at: now,
        actor: model::Actor::Operator,
        origin: Origin("console".into()),
        verb: "apps:create".into(),
        tenant: Some(app.tenant.clone()),
        object: app.app_ref().to_string(),
        outcome: Outcome::Done,
        detail: serde_json::json!({ "team": "web" }),
    };
    change.add_event(&event).await.expect("an event");
    change.commit().await.expect("a commit");
    let filter = store::records::EventFilter { tenant: Some(app.tenant.clone()), object: Some("acme/shop".into()) };
    let events =
        tokio::time::timeout(Duration::from_secs(10), database.records.events(&filter, 10)).await.expect("in time").expect("a read");
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].verb, "apps:create");
    assert!(Role::Owner > Role::Deployer);
    database.stop().await;
}

#[tokio::test]
async fn a_server_that_is_killed_comes_back() {
    let Database { records, postgres, dir } = database().await;
    let stop = tokio_util::sync::CancellationToken::new();
    let pid_file = dir.path().join("pg/postmaster.pid");
    let pid = || std::fs::read_to_string(&pid_file).ok().and_then(|text| text.lines().next()?.trim().parse::<i32>().ok());
    let keeping = tokio::spawn(postgres.keep(stop.clone()));
    let first = pid().expect("a server");
    let killed = std::process::Command::new("kill").args(["-KILL", &first.to_string()]).status().expect("kill runs");
    assert!(killed.success());
    let back = async {
        while pid() == Some(first) || records.ping().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), back).await.expect("another server that answers");
    records.close().await;
    stop.cancel();
    keeping.await.expect("the keeper does not panic");
    assert!(pid().is_none(), "the server was not stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_has_a_uid_that_no_other_app_ever_gets() {
    let database = database().await;
    let app = acme(&database.records).await.app_ref();
    let uid = async || database.records.app(&app).await.expect("a read").expect("the app").uid;
    let first = uid().await;
    assert!(first > 200_000, "{first}");
    let mut change = database.records.change().await.expect("a change");
    change.remove_app(&app).await.expect("a removal");
    let again = change.add_app(&app, &"web".parse().expect("a name"), chrono::Utc::now()).await.expect("an app of the same name");
    change.commit().await.expect("a commit");
    assert_eq!(uid().await, again.uid);
    assert_ne!(again.uid, first, "a new app would own what the old one left");
    database.stop().await;
}
