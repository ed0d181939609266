//! A platform for tests: a real manager over a private PostgreSQL, with a builder and instances that obey the test.
#![allow(dead_code, reason = "each test binary uses another part")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use futures_util::StreamExt;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use manager::builder::{Builder, Job, Prepared, Slug};
use manager::push::Push;
use manager::source::{Entry, Source, TarStream};
use manager::{Identity, Manager, Output, Placement, Settings};
use model::{AppEnv, Digest, ImageRef, InstanceId, InstanceState, InstanceStatus, ProcessName, ReleaseNumber, TreeStats, UserError};
use store::live::{Area, Embedded};
use store::postgres::Postgres;
use store::records::{Member, Role, TokenKind};
use store::{Keyring, Live, Records};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use web_ui::{Config, LogStream, Logs, WebUi};

pub const PASSWORD: &str = "correct horse battery";
/// What must never come out of a page as it went in.
pub const EVIL: &str = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><svg/onload=alert(3)>{{7*7}}";

/// Files of a commit.
struct Files;

#[async_trait]
impl Source for Files {
    fn tree_id(&self, _: &str) -> Option<String> {
        Some("tree".into())
    }
    fn list(&self, _: &str) -> Option<Vec<Entry>> {
        Some(Vec::new())
    }
    fn read(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
    fn tree_stats(&self, _: &str) -> Option<TreeStats> {
        Some(TreeStats { files: 1, bytes: 12, ..TreeStats::default() })
    }
    async fn tar(&self) -> std::io::Result<TarStream> {
        Ok(Box::new(tokio::io::empty()))
    }
}

/// A builder that says what it is told to and waits where the test wants it to.
#[derive(Default)]
pub struct Building {
    pub lines: Mutex<Vec<String>>,
    pub hold: Mutex<Option<Arc<Notify>>>,
    pub fail: Mutex<Option<UserError>>,
    pub processes: Mutex<Vec<(String, String)>>,
}

#[async_trait]
impl Builder for Building {
    fn most_source(&self) -> u64 {
        1 << 30
    }

    async fn prepare(&self, job: &Job) -> Result<Prepared, UserError> {
        let notes = vec!["requirements.txt and app.py are there".into()];
        Ok(Prepared { template: "python".parse()?, notes, source_key: format!("{}-{}", job.app.app, job.build) })
    }

    async fn build(&self, job: &Job, _: &Prepared, said: Arc<dyn Output>, cancel: CancellationToken) -> Result<Slug, UserError> {
        let lines = self.lines.lock().expect("unpoisoned").clone();
        for line in lines {
            said.line(&line);
        }
        let hold = self.hold.lock().expect("unpoisoned").clone();
        if let Some(hold) = hold {
            tokio::select! {
                () = hold.notified() => said.line("       went on"),
                () = cancel.cancelled() => {}
            }
        }
        if let Some(user_error) = self.fail.lock().expect("unpoisoned").take() {
            return Err(user_error);
        }
        let processes = self.processes.lock().expect("unpoisoned").clone();
        let processes = processes.into_iter().map(|(name, command)| (name.parse().expect("a name"), command)).collect();
        let image = ImageRef { repository: job.app.app_ref().to_string(), digest: Digest::of(job.build.as_str().as_bytes()) };
        Ok(Slug { image, processes, size: 1_000 })
    }

    async fn has_image(&self, _: &ImageRef) -> bool {
        true
    }

    async fn reap(&self) {}
}

/// Lines of instances: those that were, and those that the test sends.
pub struct Lines {
    pub stored: Mutex<Vec<String>>,
    pub coming: broadcast::Sender<String>,
}

#[async_trait]
impl Logs for Lines {
    async fn tail(&self, _: &AppEnv, n: usize, process: Option<&ProcessName>) -> Vec<String> {
        let lines = self.stored.lock().expect("unpoisoned").clone();
        let fits = |line: &&String| process.is_none_or(|process| line.contains(&format!("{process}.")));
        let lines: Vec<String> = lines.iter().filter(fits).cloned().collect();
        lines[lines.len().saturating_sub(n)..].to_vec()
    }

    fn follow(&self, _: &AppEnv, _: Option<&ProcessName>) -> LogStream {
        let coming = self.coming.subscribe();
        futures_util::stream::unfold(coming, |mut coming| async { coming.recv().await.ok().map(|line| (line, coming)) }).boxed()
    }
}

/// Leads `shop-dev.acme.localhost` to the shop, as a router would.
struct ShopRouter;

#[async_trait]
impl web_ui::Routers for ShopRouter {
    async fn trace(&self, host: &model::Hostname) -> Result<web_ui::Trace, web_ui::NoRouter> {
        let is_shop = host.to_string() == "shop-dev.acme.localhost";
        Ok(web_ui::Trace { app: is_shop.then(shop), steps: vec![format!("{host} was asked for")] })
    }
}

struct Blocked(Mutex<Vec<String>>);

impl Placement for Blocked {
    fn blocked(&self, _: &AppEnv) -> Vec<String> {
        self.0.lock().expect("unpoisoned").clone()
    }
}

/// Every domain is proven.
struct EveryDomain;

#[async_trait]
impl manager::DomainProof for EveryDomain {
    async fn has_txt(&self, _: &str, _: &str) -> bool {
        true
    }
}

pub struct Platform {
    pub manager: Arc<Manager>,
    pub ui: WebUi,
    pub building: Arc<Building>,
    pub lines: Arc<Lines>,
    pub live: Live,
    /// Instances in another state than healthy, by label.
    pub states: Arc<Mutex<BTreeMap<String, InstanceStatus>>>,
    pub changed: Arc<Notify>,
    stop: CancellationToken,
    hosts: tokio::task::JoinHandle<()>,
    records: Records,
    postgres: Postgres,
    pub dir: tempfile::TempDir,
}

pub fn shop() -> AppEnv {
    "acme/shop/dev".parse().expect("a path")
}

impl Platform {
    /// Tenants acme (teams web, ops) and evil (team web), users of every role, and the app acme/shop of team web.
    pub async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    pub async fn start_with(config: Config) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), mode).expect("open the directory to the database's user");
        let postgres = Postgres::start(&dir.path().join("pg"), &dir.path().join("run")).await.expect("a server");
        let records = Records::open(postgres.options(), 10).await.expect("a schema");
        let live = Live::new(Arc::new(Embedded::in_memory()));
        let keyring = Arc::new(Keyring::open(&dir.path().join("master.key")).expect("a key"));
        let settings = Settings {
            domain: "localhost".parse().expect("a name"),
            router_port: 8080,
            dashboard: "http://localhost:7000".into(),
            ssh: "ssh://paas@localhost:2222".into(),
            builds_dir: dir.path().join("builds"),
            builders: 2,
        };
        let building = Arc::new(Building::default());
        *building.processes.lock().expect("unpoisoned") = vec![("web".into(), "python app.py".into())];
        let blocked = Arc::new(Blocked(Mutex::default()));
        let manager = Arc::new(Manager::new(records.clone(), live.clone(), keyring, settings, building.clone(), blocked));
        manager.set_domain_proof(Arc::new(EveryDomain));
        let lines = Arc::new(Lines { stored: Mutex::default(), coming: broadcast::Sender::new(4_096) });
        let ui = WebUi::new(manager.clone(), lines.clone(), Arc::new(ShopRouter), config);
        let states: Arc<Mutex<BTreeMap<String, InstanceStatus>>> = Arc::default();
        let changed = Arc::new(Notify::new());
        let stop = CancellationToken::new();
        let hosts = tokio::spawn(hosts(live.clone(), states.clone(), changed.clone(), stop.clone()));
        let platform = Self { manager, ui, building, lines, live, states, changed, stop, hosts, records, postgres, dir };
        platform.people().await;
        platform
    }

    async fn people(&self) {
        let operator = operator();
        for (name, is_super) in
            [("ada", false), ("opa", false), ("dee", false), ("vic", false), ("eve", false), ("mallory", false), ("root", true)]
        {
            self.manager.create_user(&operator, &name.parse().expect("a name"), is_super).await.expect("a user");
        }
        for (tenant, owner) in [("acme", "ada"), ("evil", "mallory")] {
            let team = "web".parse().expect("a name");
            let (tenant, owner) = (tenant.parse().expect("a name"), owner.parse().expect("a name"));
            self.manager.create_tenant(&operator, &tenant, &team, &owner).await.expect("a tenant");
        }
        let acme = "acme".parse().expect("a name");
        self.manager.create_team(&operator, &acme, &"ops".parse().expect("a name")).await.expect("a team");
        for (user, team, role) in
            [("opa", "web", Role::Operator), ("dee", "web", Role::Deployer), ("vic", "web", Role::Viewer), ("eve", "ops", Role::Owner)]
        {
            let member = Member { tenant: acme.clone(), team: team.parse().expect("a name"), user: user.parse().expect("a name"), role };
            self.manager.set_member(&operator, &member).await.expect("a member");
        }
        let team = "web".parse().expect("a name");
        self.manager.create_app(&operator, &shop().app_ref(), Some(&team)).await.expect("an app");
    }

    pub async fn identity(&self, user: &str) -> Identity {
        self.manager.identity(&user.parse().expect("a name"), "test").await.expect("a user")
    }

    /// A token for the API.
    pub async fn token(&self, user: &str) -> String {
        let who = self.identity(user).await;
        self.manager.create_token(&who, &user.parse().expect("a name"), store::records::TokenScope::Full, "test").await.expect("a token")
    }

    /// The session of a browser.
    pub async fn session(&self, user: &str) -> String {
        let name = user.parse().expect("a name");
        self.manager.set_password(&operator(), &name, (None, PASSWORD), None).await.expect("a password");
        self.sign_in_again(user).await
    }

    /// Another browser of a user who has a session.
    pub async fn sign_in_again(&self, user: &str) -> String {
        self.manager.sign_in(user, PASSWORD, TokenKind::Session, "browser").await.expect("a session")
    }

    /// Pushes as a user; waits until the release is live.
    pub async fn push(&self, user: &str, app: &AppEnv, commit: &str, subject: &str) -> Result<ReleaseNumber, UserError> {
        let number = self.prepare(user, app, commit, subject).await?;
        let who = self.identity(user).await;
        self.manager.activate(&who, app, commit, Arc::new(manager::output::Discard)).await?;
        Ok(number)
    }

    /// Pushes as a user, up to where the ref would move.
    pub async fn prepare(&self, user: &str, app: &AppEnv, commit: &str, subject: &str) -> Result<ReleaseNumber, UserError> {
        let push = Push {
            who: self.identity(user).await,
            app: app.clone(),
            branch: "main".into(),
            commit: commit.into(),
            subject: subject.into(),
            source: Arc::new(Files),
            is_current: Arc::new(|| true),
        };
        self.manager.push(push, Arc::new(manager::output::Discard)).await
    }

    pub fn router(&self) -> Router {
        self.ui.router()
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.hosts.await.expect("hosts do not panic");
        self.records.close().await;
        self.postgres.stop().await;
        drop(self.dir);
    }
}

pub fn operator() -> Identity {
    Identity::operator("test")
}

/// Makes an instance healthy for every one that should run.
async fn hosts(live: Live, states: Arc<Mutex<BTreeMap<String, InstanceStatus>>>, changed: Arc<Notify>, stop: CancellationToken) {
    let session = live.session().await.expect("a session");
    let mut watch = live.watch(&[Area::Formations]);
    loop {
        let mut wanted = Vec::new();
        for formation in live.formations().await.expect("formations") {
            for (process, count) in &formation.counts {
                for ordinal in 1..=*count {
                    let mut random = [0_u8; 10];
                    let key = format!("{}{process}{ordinal}{}{}", formation.app, formation.release, formation.epoch);
                    random.copy_from_slice(&Digest::of(key.as_bytes()).hex().as_bytes()[..10]);
                    let zone = if ordinal % 2 == 1 { "a" } else { "b" };
                    let status = InstanceStatus {
                        id: InstanceId::mint(random),
                        app: formation.app.clone(),
                        process: process.clone(),
                        ordinal,
                        release: formation.release,
                        epoch: formation.epoch,
                        host: format!("host-{zone}").parse().expect("a name"),
                        zone: zone.parse().expect("a name"),
                        state: InstanceState::Healthy,
                        address: Some("172.18.0.3:8080".parse().expect("an address")),
                        since: chrono::Utc::now(),
                        restarts: 0,
                        last_exit: None,
                        reason: None,
                        code: None,
                    };
                    let other = states.lock().expect("unpoisoned").get(&format!("{}/{}", formation.app, status.label())).cloned();
                    wanted.push(match other {
                        Some(other) => InstanceStatus { id: status.id.clone(), release: status.release, epoch: status.epoch, ..other },
                        None => status,
                    });
                }
            }
        }
        for old in live.instances().await.expect("instances") {
            if !wanted.iter().any(|status| status.id == old.id) {
                live.forget_instance(&old.host, &old.id).await.expect("a removal");
            } else if let Some(status) = wanted.iter_mut().find(|status| status.id == old.id) {
                status.since = status.since.min(old.since);
            }
        }
        for status in &wanted {
            live.report(&session, status).await.expect("a report");
        }
        tokio::select! {
            () = watch.changed() => {}
            () = changed.notified() => {}
            () = stop.cancelled() => return,
        }
    }
}

/// An answer, read whole.
pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

pub async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.expect("a router never fails");
    let (parts, body) = response.into_parts();
    let body = tokio::time::timeout(Duration::from_secs(60), body.collect()).await.expect("the body did not end within 60 s");
    let bytes = body.expect("a body").to_bytes();
    Answer { status: parts.status, headers: parts.headers, text: String::from_utf8_lossy(&bytes).into_owned() }
}

/// A request to the API with a token.
pub fn api(method: Method, path: &str, token: Option<&str>, body: Option<serde_json::Value>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, "localhost:7000");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    match body {
        Some(value) => request.header(header::CONTENT_TYPE, "application/json").body(Body::from(value.to_string())),
        None => request.body(Body::empty()),
    }
    .expect("a request")
}

/// A page, with a session.
pub fn page(path: &str, session: Option<&str>) -> Request<Body> {
    let mut request = Request::builder().uri(path).header(header::HOST, "localhost:7000");
    if let Some(session) = session {
        request = request.header(header::COOKIE, format!("slipway={session}"));
    }
    request.body(Body::empty()).expect("a request")
}

/// A form sent from one of our own pages.
pub fn form(path: &str, session: Option<&str>, fields: &str) -> Request<Body> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, "localhost:7000")
        .header("sec-fetch-site", "same-origin")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(session) = session {
        request = request.header(header::COOKIE, format!("slipway={session}"));
    }
    request.body(Body::from(fields.to_owned())).expect("a request")
}

/// A body that is read piece by piece until a text stands in it.
pub struct Streamed {
    body: Body,
    pub read: String,
}

impl Streamed {
    pub async fn open(router: &Router, request: Request<Body>) -> Self {
        let response = router.clone().oneshot(request).await.expect("a router never fails");
        assert_eq!(response.status(), StatusCode::OK, "the stream was refused");
        Self { body: response.into_body(), read: String::new() }
    }

    pub async fn until(&mut self, text: &str) {
        self.until_times(text, 1).await;
    }

    pub async fn until_times(&mut self, text: &str, times: usize) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while self.read.matches(text).count() < times {
            let frame = tokio::time::timeout_at(deadline, self.body.frame()).await;
            let Ok(Some(Ok(frame))) = frame else { panic!("`{text}` did not come; what came:\n{}", self.read) };
            if let Some(data) = frame.data_ref() {
                self.read.push_str(&String::from_utf8_lossy(data));
            }
        }
    }

    pub async fn read_on(&mut self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            match tokio::time::timeout_at(deadline, self.body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    if let Some(data) = frame.data_ref() {
                        self.read.push_str(&String::from_utf8_lossy(data));
                    }
                }
                Ok(_) => return,
                Err(_) => panic!("the stream did not end; what came:\n{}", self.read),
            }
        }
    }
}
