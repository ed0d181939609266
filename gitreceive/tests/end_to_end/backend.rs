//! The backend of the tests: knows some keys and apps, records every call, and does in the hooks what a test tells it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use gitreceive::{
    Backend, BranchName, EnvRefs, HookOutput, Identity, OpenedRepository, Push, PushDecision, RepoPath, RolloutOutcome, Service, Unsettled,
    UserKey, VerbCall,
};
use model::{AppEnv, Code, TenantName, UserError, UserName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

pub type Pre = Arc<dyn Fn(Push, HookOutput) -> BoxFuture<'static, PushDecision> + Send + Sync>;
pub type Post = Arc<dyn Fn(Push, HookOutput) -> BoxFuture<'static, RolloutOutcome> + Send + Sync>;

pub struct TestBackend {
    pub keys: Mutex<BTreeMap<String, &'static str>>,
    pub branches: Mutex<BTreeMap<AppEnv, BranchName>>,
    pub pre: Mutex<Pre>,
    pub post: Mutex<Post>,
    pub unsettled: Mutex<Vec<AppEnv>>,
    pub settled: Mutex<Vec<Unsettled>>,
    pub seen: watch::Sender<Vec<String>>,
}

impl Default for TestBackend {
    fn default() -> Self {
        Self {
            keys: Mutex::default(),
            branches: Mutex::default(),
            pre: Mutex::new(Arc::new(|push, output| {
                Box::pin(async move {
                    output.say(format!("-----> Building {}", push.app));
                    PushDecision::Accept
                })
            })),
            post: Mutex::new(Arc::new(|_, output| {
                Box::pin(async move {
                    output.say("=====> live");
                    RolloutOutcome::Live
                })
            })),
            unsettled: Mutex::default(),
            settled: Mutex::default(),
            seen: watch::channel(Vec::new()).0,
        }
    }
}

impl TestBackend {
    pub fn on_pre<F, R>(&self, act: F)
    where
        F: Fn(Push, HookOutput) -> R + Send + Sync + 'static,
        R: Future<Output = PushDecision> + Send + 'static,
    {
        *self.pre.lock().expect("the backend") = Arc::new(move |push, output| Box::pin(act(push, output)));
    }

    pub fn on_post<F, R>(&self, act: F)
    where
        F: Fn(Push, HookOutput) -> R + Send + Sync + 'static,
        R: Future<Output = RolloutOutcome> + Send + 'static,
    {
        *self.post.lock().expect("the backend") = Arc::new(move |push, output| Box::pin(act(push, output)));
    }

    pub fn note(&self, what: impl Into<String>) {
        self.seen.send_modify(|seen| seen.push(what.into()));
    }

    pub fn noted(&self) -> Vec<String> {
        self.seen.borrow().clone()
    }
}

#[async_trait]
impl Backend for TestBackend {
    async fn identify(&self, key: &UserKey) -> Option<Identity> {
        let user = *self.keys.lock().expect("the backend").get(&key.line)?;
        Some(Identity { user: UserName::new(user).expect("a name"), fingerprint: key.fingerprint.clone() })
    }

    async fn open(&self, who: &Identity, _service: Service, path: &RepoPath) -> Result<OpenedRepository, UserError> {
        let tenant = path.tenant.clone().unwrap_or_else(|| TenantName::new("acme").expect("a name"));
        let app = AppEnv { tenant, app: path.app.clone(), env: path.env.clone() };
        if app.tenant.as_str() != "acme" || who.user.as_str() != "ann" {
            return Err(UserError::new(Code::UnknownApp, format!("there is no app {app} that you may know of")).next("slipway apps"));
        }
        let deploys = self.branches.lock().expect("the backend").get(&app).cloned();
        Ok(OpenedRepository { app, deploys })
    }

    async fn pre_receive(&self, push: Push, output: HookOutput) -> PushDecision {
        self.note(format!("pre {} {}", push.app, push.change.branch));
        let (app, branch) = (push.app.clone(), push.change.branch.clone());
        let act = self.pre.lock().expect("the backend").clone();
        let decision = act(push, output).await;
        if matches!(decision, PushDecision::Accept) {
            self.branches.lock().expect("the backend").insert(app, branch);
        }
        decision
    }

    async fn post_receive(&self, push: Push, output: HookOutput) -> RolloutOutcome {
        self.note(format!("post {}", push.app));
        let act = self.post.lock().expect("the backend").clone();
        act(push, output).await
    }

    async fn settle(&self, app: &AppEnv, unsettled: Unsettled, refs: EnvRefs) {
        let main = BranchName::new("main").expect("a branch");
        let at = refs.branch(&main).expect("the refs").map_or("nothing".into(), |id| id.to_string());
        self.settled.lock().expect("the backend").push(unsettled);
        self.note(format!("settle {app} {at}"));
    }

    async fn nothing_new(&self, app: &AppEnv) -> Vec<String> {
        vec![format!(" !     the backend's word on {app}")]
    }

    async fn unsettled(&self) -> Vec<AppEnv> {
        self.unsettled.lock().expect("the backend").clone()
    }

    async fn verb(&self, mut call: VerbCall) -> u8 {
        self.note(format!("verb {} {:?}", call.who.user, call.words));
        match call.words[0].as_str() {
            "cat" => {
                let copied = tokio::io::copy(&mut call.stdin, &mut call.stdout).await;
                u8::from(copied.is_err())
            }
            "swallow" => {
                let mut sum = 0_u64;
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(n @ 1..) = call.stdin.read(&mut buffer).await {
                    sum += n as u64;
                }
                let _ = call.stdout.write_all(sum.to_string().as_bytes()).await;
                0
            }
            "status" => {
                let _ = call.stdout.write_all(b"out\n").await;
                let _ = call.stderr.write_all(b"err\n").await;
                call.words[1].parse().unwrap_or(99)
            }
            "terminal" => {
                let text = match &mut call.terminal {
                    Some(terminal) => {
                        let (columns, rows) = *terminal.size.borrow_and_update();
                        format!("{} {columns} {rows}", terminal.term)
                    }
                    None => "none".into(),
                };
                let _ = call.stdout.write_all(text.as_bytes()).await;
                0
            }
            "wait" => {
                self.note("waiting");
                call.gone.cancelled().await;
                self.note("gone");
                0
            }
            _ => {
                let _ = call.stderr.write_all(b"unknown\n").await;
                2
            }
        }
    }
}
