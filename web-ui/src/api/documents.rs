//! What the API sends and takes: documents with their schema, beside each other, so that OpenAPI can not drift from the code.
//!
//! Values of `model` are sent as they are; their schema is written here, because the model knows nothing of HTTP.

use std::collections::BTreeMap;

use model::{AppRef, EnvName, ProcessName, TeamName, TenantName, Time, UserName};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::records::{Member, Role, SshKey, Taken, TokenInfo, TokenScope, User};
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, Object, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

fn typed(kind: Type, example: serde_json::Value) -> Object {
    ObjectBuilder::new().schema_type(SchemaType::Type(kind)).examples([example]).build()
}

fn nullable(kind: Type, example: serde_json::Value) -> Object {
    ObjectBuilder::new().schema_type(SchemaType::from_iter([kind, Type::Null])).examples([example]).build()
}

fn text(example: &str) -> RefOr<Schema> {
    typed(Type::String, json!(example)).into()
}
fn maybe_text(example: &str) -> RefOr<Schema> {
    nullable(Type::String, json!(example)).into()
}
fn number(example: u32) -> RefOr<Schema> {
    typed(Type::Integer, json!(example)).into()
}
fn maybe_number(example: u32) -> RefOr<Schema> {
    nullable(Type::Integer, json!(example)).into()
}
fn flag() -> RefOr<Schema> {
    typed(Type::Boolean, json!(true)).into()
}
fn time() -> RefOr<Schema> {
    text("2026-05-04T12:00:00Z")
}
fn maybe_time() -> RefOr<Schema> {
    maybe_text("2026-05-04T12:00:00Z")
}
fn list(of: RefOr<Schema>) -> RefOr<Schema> {
    ArrayBuilder::new().items(of).build().into()
}
fn map(of: RefOr<Schema>) -> RefOr<Schema> {
    ObjectBuilder::new().additional_properties(Some(AdditionalProperties::RefOr(of))).build().into()
}
fn anything() -> RefOr<Schema> {
    ObjectBuilder::new().build().into()
}
fn see(name: &str) -> RefOr<Schema> {
    Ref::from_schema_name(name).into()
}
fn maybe_see(name: &str) -> RefOr<Schema> {
    let either = utoipa::openapi::OneOfBuilder::new()
        .item(see(name))
        .item(ObjectBuilder::new().schema_type(SchemaType::Type(Type::Null)).build())
        .build();
    Schema::OneOf(either).into()
}
fn one_of(words: &[&str]) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).enum_values(Some(words.iter().copied())).build().into()
}

macro_rules! model_documents {
    ($($(#[$doc:meta])* $name:ident = $title:literal of $inner:ty { $($field:ident : $schema:expr),* $(,)? } optional { $($extra:ident : $optional:expr),* $(,)? };)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Serialize)]
        #[serde(transparent)]
        pub(crate) struct $name(pub(crate) $inner);

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    $(.property(stringify!($field), $schema).required(stringify!($field)))*
                    $(.property(stringify!($extra), $optional))*
                    .build()
                    .into()
            }
        }

        impl ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                $title.into()
            }
        }
    )*};
}

model_documents! {
    /// An app of a tenant.
    AppRefDoc = "AppRef" of model::AppRef { tenant: text("acme"), app: text("shop") } optional {};
    /// An app in one environment.
    AppEnvDoc = "AppEnv" of model::AppEnv { tenant: text("acme"), app: text("shop"), env: text("dev") } optional {};
    /// An image by digest.
    ImageDoc = "Image" of model::ImageRef { repository: text("acme/shop"), digest: text("sha256:…") } optional {};
    /// A failure: the body of every answer that is not a success.
    UserErrorDoc = "UserError" of model::UserError { code: text("SW-A404"), what: text("there is no app acme/shop") } optional {
        why: text("Or you are not a member of its team."), evidence: list(text("…")), next: list(text("slipway apps"))
    };
    /// A build.
    BuildDoc = "Build" of model::Build {
        id: text("b-0123456789"), app: see("AppEnv"),
        state: one_of(&["queued", "running", "releasing", "succeeded", "failed", "cancelled", "superseded", "lost"]),
        commit: text("4f1c…"), subject: text("Say hello"), by: text("ada"), at: time(), started: maybe_time(), built: maybe_time(), ended: maybe_time(),
        template: maybe_text("python"), image: maybe_see("Image"), reused: flag(), release: maybe_number(5), error: maybe_see("UserError"),
    } optional {};
    /// A release.
    ReleaseDoc = "Release" of model::Release {
        app: see("AppEnv"), number: number(5), state: one_of(&["prepared", "aborted", "active", "live", "failed", "retired", "superseded"]),
        image: see("Image"), build: maybe_text("b-0123456789"), commit: text("4f1c…"), subject: text("Say hello"), by: text("ada"), at: time(),
        cause: anything(), config_keys: list(text("GREETING")), reason: maybe_text("web.1 exited with status 1"),
    } optional { app_yaml_keys: list(text("DEBUG")) };
    /// What differs between two releases.
    DiffDoc = "Diff" of manager::releases::Diff { from: number(4), to: number(5), lines: list(text("config   + GREETING")) } optional {};
    /// One instance.
    InstanceDoc = "Instance" of model::InstanceStatus {
        id: text("i-0123456789"), app: see("AppEnv"), process: text("web"), ordinal: number(1), release: number(5), epoch: number(0),
        host: text("one"), zone: text("a"),
        state: one_of(&["pulling", "starting", "healthy", "unhealthy", "crashed", "flapping", "image-missing", "image-pull-failed", "draining", "stopping", "stopped"]),
        address: maybe_text("172.18.0.3:8080"), since: time(), restarts: number(0), last_exit: anything(), reason: maybe_text("refused connections"),
        code: maybe_text("SW-R101"),
    } optional {};
    /// How an app in an environment does.
    EnvStateDoc = "EnvState" of manager::env_state::EnvState {
        kind: one_of(&["empty", "building", "rolling-out", "waiting-for-place", "live", "degraded", "failed", "stopped"]),
        text: text("3 serving v4 · v5 0 of 3 healthy"), serving: maybe_number(4), release: maybe_number(5),
        why: text("web.1: no host has 4096 MB of memory"), until: maybe_time(),
    } optional {};
    /// What runs of an app, and what should.
    PsDoc = "Ps" of manager::ps::Ps {
        state: see("EnvState"),
        release: maybe_number(5), wanted: map(number(2)), instances: list(see("Instance")), blocked: list(text("web.3: no host has room")),
    } optional {};
    /// One host.
    HostDoc = "Host" of model::Host {
        name: text("host-1"), zone: text("zone-1"), labels: anything(), capacity: anything(),
        state: one_of(&["OK", "FULL", "MAINTENANCE"]), since: time(),
    } optional {};
    /// One recorded change.
    EventDoc = "Event" of model::Event {
        id: text("e-0123456789"), at: time(), actor: anything(), origin: text("api 10.0.0.7"), verb: text("ps:scale"), tenant: maybe_text("acme"),
        object: text("acme/shop/dev"), outcome: one_of(&["done", "denied", "failed"]), detail: anything(),
    } optional {};
}

/// Every document of the model, for the list of schemas.
#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(
    AppRefDoc,
    AppEnvDoc,
    ImageDoc,
    UserErrorDoc,
    BuildDoc,
    ReleaseDoc,
    DiffDoc,
    InstanceDoc,
    EnvStateDoc,
    PsDoc,
    HostDoc,
    EventDoc
)))]
pub(crate) struct ModelSchemas;

macro_rules! documents {
    ($($(#[$doc:meta])* $name:ident $body:tt)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Serialize, ToSchema)]
        pub(crate) struct $name $body
    )*};
}

documents! {
    /// What visitors get in place of the app; none: the app.
    MaintenanceMode { #[schema(value_type = Option<String>, example = "page")] pub(crate) mode: Option<model::Maintenance> }
    /// Which way a request would take.
    TraceDoc {
        #[schema(value_type = String, example = "shop-dev.acme.localhost")] pub(crate) host: model::Hostname,
        #[schema(example = "acme/shop/dev")] pub(crate) app: Option<String>,
        pub(crate) steps: Vec<String>,
    }
    /// Who you are.
    Whoami {
        #[schema(value_type = Option<String>, example = "ada")] pub(crate) user: Option<UserName>,
        /// At the control socket.
        pub(crate) operator: bool,
        /// May do everything.
        #[serde(rename = "super")] pub(crate) is_super: bool,
        pub(crate) memberships: Vec<Membership>,
        /// Where git and verbs are reached.
        #[schema(example = "ssh://paas@localhost:2222")] pub(crate) ssh: String,
    }
    /// A place in a team.
    Membership {
        #[schema(value_type = String, example = "acme")] pub(crate) tenant: TenantName,
        #[schema(value_type = String, example = "web")] pub(crate) team: TeamName,
        #[schema(value_type = String, example = "deployer")] pub(crate) role: Role,
    }
    /// A member of a team.
    MemberDoc {
        #[schema(value_type = String, example = "acme")] pub(crate) tenant: TenantName,
        #[schema(value_type = String, example = "web")] pub(crate) team: TeamName,
        #[schema(value_type = String, example = "ada")] pub(crate) user: UserName,
        #[schema(value_type = String, example = "owner")] pub(crate) role: Role,
    }
    /// A token; it is shown once.
    Token { #[schema(example = "slw_…")] pub(crate) token: String }
    /// What somebody is signed in with; never the token itself.
    TokenDoc {
        #[schema(example = "0123456789ab")] pub(crate) id: String,
        #[schema(example = "api")] pub(crate) kind: &'static str,
        #[schema(example = "laptop")] pub(crate) label: String,
        #[schema(example = "full")] pub(crate) scope: &'static str,
        #[schema(value_type = String, format = DateTime)] pub(crate) created_at: Time,
        #[schema(value_type = String, format = DateTime)] pub(crate) expires_at: Time,
    }
    /// A user.
    UserDoc {
        #[schema(value_type = String, example = "ada")] pub(crate) name: UserName,
        #[serde(rename = "super")] pub(crate) is_super: bool,
        /// Whether they can sign in with a password.
        pub(crate) password: bool,
        #[schema(value_type = String, format = DateTime)] pub(crate) created_at: Time,
    }
    /// An SSH key.
    KeyDoc {
        #[schema(example = "SHA256:…")] pub(crate) fingerprint: String,
        #[schema(example = "ada@laptop")] pub(crate) comment: String,
        #[schema(value_type = String, example = "ada")] pub(crate) user: UserName,
        #[schema(value_type = String, format = DateTime)] pub(crate) added_at: Time,
    }
    /// An app in a list.
    AppItem {
        #[schema(value_type = String, example = "acme/shop")] pub(crate) app: String,
        #[schema(value_type = String, example = "web")] pub(crate) team: TeamName,
        #[schema(value_type = String, format = DateTime)] pub(crate) created_at: Time,
    }
    /// An app with its environments.
    AppInfo {
        #[schema(example = "acme/shop")] pub(crate) app: String,
        #[schema(value_type = String, example = "web")] pub(crate) team: TeamName,
        #[schema(value_type = String, format = DateTime)] pub(crate) created_at: Time,
        pub(crate) envs: Vec<EnvInfo>,
    }
    /// An environment of an app.
    EnvInfo {
        #[schema(value_type = String, example = "dev")] pub(crate) env: EnvName,
        #[schema(example = "main")] pub(crate) deploy_branch: Option<String>,
        /// The release that should serve.
        #[schema(example = "v5")] pub(crate) current: Option<String>,
        #[schema(example = "ssh://paas@localhost:2222/acme/shop/dev")] pub(crate) remote: String,
        #[schema(example = "http://shop-dev.acme.localhost:8080/")] pub(crate) url: String,
        /// What was asked for by process type; what is not here has the default.
        #[schema(value_type = BTreeMap<String, u32>)] pub(crate) counts: BTreeMap<ProcessName, u32>,
        pub(crate) config_keys: Vec<String>,
    }
    /// A host name of an app.
    DomainDoc {
        #[schema(value_type = String, example = "shop.example.com")] pub(crate) hostname: model::Hostname,
        /// Given by the platform; it can not be removed.
        pub(crate) platform: bool,
        pub(crate) url: String,
        #[schema(value_type = String, format = DateTime)] pub(crate) added_at: Time,
    }
    /// Nothing more to say.
    Done {}
    /// The platform answers.
    Health { #[schema(example = "ok")] pub(crate) status: &'static str }
}

impl From<User> for UserDoc {
    fn from(user: User) -> Self {
        Self { name: user.name, is_super: user.is_super, password: user.password_hash.is_some(), created_at: user.created_at }
    }
}

impl From<SshKey> for KeyDoc {
    fn from(key: SshKey) -> Self {
        Self { fingerprint: key.fingerprint, comment: key.comment, user: key.user, added_at: key.added_at }
    }
}

fn full() -> TokenScope {
    TokenScope::Full
}

impl From<TokenInfo> for TokenDoc {
    fn from(token: TokenInfo) -> Self {
        let TokenInfo { id, kind, label, scope, created_at, expires_at } = token;
        Self { id, kind: kind.as_str(), label, scope: scope.as_str(), created_at, expires_at }
    }
}

impl From<Member> for MemberDoc {
    fn from(member: Member) -> Self {
        Self { tenant: member.tenant, team: member.team, user: member.user, role: member.role }
    }
}

impl DomainDoc {
    pub(crate) fn of(taken: Taken, manager: &manager::Manager) -> Self {
        let url = manager.url_of(&taken.hostname);
        Self { hostname: taken.hostname, platform: taken.platform, url, added_at: taken.added_at }
    }
}

impl From<&AppRef> for AppRefDoc {
    fn from(app: &AppRef) -> Self {
        Self(app.clone())
    }
}

macro_rules! wishes {
    ($($(#[$doc:meta])* $name:ident $body:tt)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name $body
    )*};
}

wishes! {
    /// Name and password.
    SignIn {
        #[schema(example = "ada")] pub(crate) user: String,
        pub(crate) password: String,
        /// What the token is for, so that its owner knows it again.
        #[serde(default)] #[schema(example = "laptop")] pub(crate) label: String,
    }
    /// A user to be made.
    NewUser {
        #[schema(value_type = String, example = "ada")] pub(crate) name: UserName,
        #[serde(default, rename = "super")] pub(crate) is_super: bool,
        #[serde(default)] pub(crate) password: Option<String>,
    }
    /// A new password.
    NewPassword {
        #[schema(min_length = 10)] pub(crate) password: String,
        /// The password of now, for whoever changes their own.
        #[serde(default)] pub(crate) current: Option<String>,
    }
    /// A token to be made.
    NewToken {
        #[schema(example = "ci")] pub(crate) label: String,
        /// `full`, `deploy` or `read`.
        #[serde(default = "full")] #[schema(value_type = String, example = "deploy")] pub(crate) scope: TokenScope,
    }
    /// A tenant to be made, with its first team and that team's owner.
    NewTenant {
        #[schema(value_type = String, example = "acme")] pub(crate) name: TenantName,
        #[schema(value_type = String, example = "web")] pub(crate) team: TeamName,
        #[schema(value_type = String, example = "ada")] pub(crate) owner: UserName,
    }
    /// What of a tenant should change.
    TenantPolicy { pub(crate) create_on_push: bool }
    /// A team to be made.
    NewTeam { #[schema(value_type = String, example = "web")] pub(crate) name: TeamName }
    /// A role to be given.
    NewRole { #[schema(value_type = String, example = "deployer")] pub(crate) role: Role }
    /// An app to be made.
    NewApp {
        /// `acme/shop`, or `shop` for a member of one tenant.
        #[schema(example = "acme/shop")] pub(crate) app: String,
        #[serde(default)] #[schema(value_type = Option<String>, example = "web")] pub(crate) team: Option<TeamName>,
    }
    /// Where to go back to.
    RollbackWish {
        /// The last good release when absent.
        #[serde(default)] #[schema(example = "v3")] pub(crate) to: Option<String>,
    }
    /// Which failed release is tried again.
    RetryWish {
        /// The newest when absent.
        #[serde(default)] #[schema(example = "v3")] pub(crate) release: Option<String>,
    }
    /// What visitors get from now on.
    MaintenanceWish {
        /// `page`: the maintenance page; `hold`: their requests wait; none: the app.
        #[serde(default)] #[schema(value_type = Option<String>, example = "page")] pub(crate) mode: Option<model::Maintenance>,
    }
    /// Whether a host is taken out of service.
    HostMaintenance { pub(crate) on: bool }
    /// Changes of config, made together.
    ConfigWish {
        #[serde(default)] pub(crate) set: BTreeMap<String, String>,
        #[serde(default)] pub(crate) unset: Vec<String>,
    }
    /// How many should run.
    ScaleWish { #[schema(value_type = BTreeMap<String, u32>)] pub(crate) counts: BTreeMap<ProcessName, u32> }
    /// A host name to be added.
    NewDomain { #[schema(value_type = String, example = "shop.example.com")] pub(crate) hostname: model::Hostname }
}

macro_rules! queries {
    ($($(#[$doc:meta])* $name:ident $body:tt)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Deserialize, IntoParams)]
        #[into_params(parameter_in = Query)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name $body
    )*};
}

queries! {
    /// How many.
    Limit {
        /// At most so many, the newest first.
        #[serde(default)] pub(crate) limit: Option<u32>,
    }
    /// Which host name.
    HostQuery {
        /// `shop-dev.acme.localhost`
        pub(crate) host: String,
    }
    /// What a person wrote.
    PathQuery {
        /// `shop`, `acme/shop` or `acme/shop/dev`
        pub(crate) path: String,
    }
    /// Proof that it is meant.
    Confirm {
        /// The name of the app, once more.
        #[serde(default)] pub(crate) confirm: String,
    }
    /// Which key.
    Fingerprint {
        /// `SHA256:…`
        pub(crate) fingerprint: String,
    }
    /// Which token.
    TokenId {
        /// As `tokens` shows it
        pub(crate) id: String,
    }
    /// Which two releases.
    Between {
        /// The older, `v1`
        pub(crate) from: String,
        /// The newer, `v2`
        pub(crate) to: String,
    }
    /// Which host name.
    HostnameQuery {
        /// The host name
        pub(crate) hostname: String,
    }
    /// How much of a log.
    LogQuery {
        /// The last so many lines.
        #[serde(default)] pub(crate) n: Option<usize>,
        /// Go on with what comes.
        #[serde(default)] pub(crate) follow: bool,
        /// Only of this process type.
        #[serde(default)] pub(crate) process: Option<String>,
    }
    /// Whether to go on.
    FollowQuery {
        /// Go on with what comes.
        #[serde(default)] pub(crate) follow: bool,
    }
}
