//! Users, keys, tenants, teams, members.

use std::io::Read;

use model::{Code, UserError};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::args::{InvitationsVerb, KeysVerb, MembersVerb, Scope, TeamsVerb, TenantsVerb, TokensVerb, UsersVerb};
use crate::cli::client::{CallError, Payload, quote};
use crate::cli::context::Context;

#[derive(Serialize, Deserialize)]
pub struct Whoami {
    pub user: Option<String>,
    operator: bool,
    #[serde(rename = "super")]
    is_super: bool,
    memberships: Vec<Membership>,
}

#[derive(Serialize, Deserialize)]
struct Membership {
    tenant: String,
    team: String,
    role: String,
}

pub async fn whoami(context: &Context) -> Result<(), CallError> {
    let me: Whoami = context.client.get("/api/v1/whoami").await?;
    context.output.answer(&me, |output| {
        let name = me.user.clone().unwrap_or_else(|| "the operator of this machine".into());
        output.line(format!("{name}{}", if me.is_super && !me.operator { " (super user)" } else { "" }));
        for member in &me.memberships {
            output.line(format!("  {} in team {} of tenant {}", member.role, member.team, member.tenant));
        }
    });
    Ok(())
}

/// The user that is meant, or who asks; `what` is the verb, for who is nobody in particular.
async fn me_or(context: &Context, user: Option<&str>, what: &str) -> Result<String, CallError> {
    if let Some(user) = user {
        return Ok(user.to_owned());
    }
    let me: Whoami = context.client.get("/api/v1/whoami").await?;
    me.user.ok_or_else(|| UserError::new(Code::BadRequest, format!("whose {what}?")).next(format!("slipway {what} --user <name>")).into())
}

/// A file's text, or standard input's.
pub fn read_text(file: Option<&std::path::Path>) -> Result<String, CallError> {
    let read = |error: std::io::Error| UserError::new(Code::BadRequest, format!("could not read the key: {error}"));
    match file {
        Some(path) => Ok(std::fs::read_to_string(path).map_err(read)?),
        None => {
            let mut text = String::new();
            std::io::stdin().lock().take(64 * 1024).read_to_string(&mut text).map_err(read)?;
            Ok(text)
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Key {
    fingerprint: String,
    comment: String,
}

pub async fn keys(context: &Context, user: Option<&str>, verb: Option<&KeysVerb>) -> Result<(), CallError> {
    let user = me_or(context, user, "keys").await?;
    let path = format!("/api/v1/users/{}/keys", quote(&user));
    match verb {
        None => {
            let keys: Vec<Key> = context.client.get(&path).await?;
            context.output.answer(&keys, |output| {
                if keys.is_empty() {
                    output.note("no keys yet: cat ~/.ssh/id_ed25519.pub | slipway keys:add");
                }
                output.table(
                    &["fingerprint", "comment"],
                    keys.iter().map(|key| vec![key.fingerprint.clone(), key.comment.clone()]).collect(),
                );
            });
        }
        Some(KeysVerb::Add { file }) => {
            if !context.local {
                return Err(UserError::new(Code::BadRequest, "keys can not be added over SSH")
                    .next("add it in the dashboard, or with `slipway keys:add` on your own machine")
                    .into());
            }
            let key: Key = context.client.call(Method::POST, &path, Payload::Text(read_text(file.as_deref())?)).await?;
            context.output.answer(&key, |output| output.line(format!("{} belongs to {user} now", key.fingerprint)));
        }
        Some(KeysVerb::Remove { fingerprint }) => {
            let path = format!("{path}?fingerprint={}", quote(fingerprint));
            let _: Value = context.client.call(Method::DELETE, &path, Payload::None).await?;
            context.output.answer(&json!({}), |output| output.line(format!("{fingerprint} is removed")));
        }
    }
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Token {
    id: String,
    kind: String,
    label: String,
    scope: String,
    created_at: String,
    expires_at: String,
}

pub async fn tokens(context: &Context, user: Option<&str>, verb: Option<&TokensVerb>) -> Result<(), CallError> {
    let user = me_or(context, user, "tokens").await?;
    let path = format!("/api/v1/users/{}/tokens", quote(&user));
    match verb {
        None => {
            let tokens: Vec<Token> = context.client.get(&path).await?;
            context.output.answer(&tokens, |output| {
                if tokens.is_empty() {
                    output.note("no tokens: slipway tokens:create --label <what it is for>");
                }
                let day = |time: &str| time.split('T').next().unwrap_or_default().to_owned();
                let kind = |token: &Token| if token.kind == "session" { "browser" } else { "client" }.to_owned();
                let rows = tokens
                    .iter()
                    .map(|t| vec![t.id.clone(), kind(t), t.scope.clone(), t.label.clone(), day(&t.created_at), day(&t.expires_at)]);
                output.table(&["id", "of", "may", "label", "made", "until"], rows.collect());
            });
        }
        Some(TokensVerb::Create { label, scope }) => {
            let scope = match scope {
                Scope::Read => "read",
                Scope::Deploy => "deploy",
                Scope::Full => "full",
            };
            let made: Value = context.client.post(&path, json!({ "label": label, "scope": scope })).await?;
            context.output.answer(&made, |output| output.line(made["token"].as_str().unwrap_or_default()));
        }
        Some(TokensVerb::Revoke { id }) => {
            let path = format!("{path}?id={}", quote(id));
            let _: Value = context.client.call(Method::DELETE, &path, Payload::None).await?;
            context.output.answer(&json!({}), |output| output.line(format!("token {id} of {user} is revoked")));
        }
    }
    Ok(())
}

/// A password from the terminal without showing it, or one line of standard input.
pub fn read_password(prompt: &str) -> std::io::Result<String> {
    use std::io::IsTerminal;
    let stdin = std::io::stdin();
    let mut line = String::new();
    if stdin.is_terminal() {
        eprint!("{prompt}: ");
        let before = rustix::termios::tcgetattr(&stdin)?;
        let mut silent = before.clone();
        silent.local_modes.remove(rustix::termios::LocalModes::ECHO);
        rustix::termios::tcsetattr(&stdin, rustix::termios::OptionalActions::Now, &silent)?;
        let read = stdin.read_line(&mut line);
        rustix::termios::tcsetattr(&stdin, rustix::termios::OptionalActions::Now, &before)?;
        eprintln!();
        read?;
    } else {
        stdin.read_line(&mut line)?;
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

pub async fn users(context: &Context, verb: Option<&UsersVerb>) -> Result<(), CallError> {
    match verb {
        None => {
            let users: Value = context.client.get("/api/v1/users").await?;
            context.output.answer(&users, |output| {
                for user in users.as_array().into_iter().flatten() {
                    let mark = if user["super"] == true { " (super user)" } else { "" };
                    output.line(format!("{}{mark}", user["name"].as_str().unwrap_or_default()));
                }
            });
        }
        Some(UsersVerb::Create { name, is_super }) => {
            let _: Value = context.client.post("/api/v1/users", json!({ "name": name, "super": is_super })).await?;
            context.output.answer(&json!({ "name": name }), |output| {
                output.line(format!("user {name} is made"));
                output.note(format!("next: slipway users:password {name}"));
            });
        }
        Some(UsersVerb::Password { .. }) if !context.local => {
            return Err(UserError::new(Code::BadRequest, "a password can not be set over SSH")
                .next("set it in the dashboard, or with `slipway users:password` on your own machine")
                .into());
        }
        Some(UsersVerb::Password { name }) => {
            let about: Value = context.client.get("/api/v1/whoami").await?;
            // One's own is changed with the one of now; an operator sets those of others.
            let current = match about["user"].as_str() == Some(name.as_str()) {
                true => Some(read_password("present password").map_err(|error| UserError::new(Code::BadRequest, error.to_string()))?),
                false => None,
            };
            let password = read_password("new password").map_err(|error| UserError::new(Code::BadRequest, error.to_string()))?;
            let path = format!("/api/v1/users/{}/password", quote(name));
            let _: Value = context.client.post(&path, json!({ "password": password, "current": current })).await?;
            context.output.answer(&json!({}), |output| output.line(format!("the password of {name} is set")));
        }
        Some(UsersVerb::Remove { name }) => {
            let path = format!("/api/v1/users/{}", quote(name));
            let _: Value = context.client.call(Method::DELETE, &path, Payload::None).await?;
            context.output.answer(&json!({}), |output| output.line(format!("user {name} is removed, with keys, tokens and memberships")));
        }
    }
    Ok(())
}

pub async fn tenants(context: &Context, verb: Option<&TenantsVerb>) -> Result<(), CallError> {
    match verb {
        None => {
            let tenants: Vec<String> = context.client.get("/api/v1/tenants").await?;
            context.output.answer(&tenants, |output| tenants.iter().for_each(|tenant| output.line(tenant)));
        }
        Some(TenantsVerb::Create { name, team, owner }) => {
            let _: Value = context.client.post("/api/v1/tenants", json!({ "name": name, "team": team, "owner": owner })).await?;
            context.output.answer(&json!({ "name": name }), |output| {
                output.line(format!("tenant {name} is made; {owner} owns its team {team}"));
            });
        }
        Some(TenantsVerb::Destroy { name }) => {
            let path = format!("/api/v1/tenants/{}", quote(name));
            let _: Value = context.client.call(Method::DELETE, &path, Payload::None).await?;
            context.output.answer(&json!({}), |output| output.line(format!("tenant {name} is destroyed")));
        }
        Some(TenantsVerb::Refusals { name }) => {
            let refusals: Value = context.client.get(&format!("/api/v1/tenants/{}/refusals", quote(name))).await?;
            context.output.answer(&refusals, |output| {
                let text = |refusal: &Value, key: &str| refusal[key].as_str().unwrap_or_default().to_owned();
                let hour = |refusal: &Value| text(refusal, "hour").replace('T', " ").get(..13).unwrap_or_default().to_owned();
                let rows = refusals.as_array().into_iter().flatten();
                let rows = rows.map(|r| vec![hour(r), text(r, "actor"), text(r, "verb"), r["count"].to_string(), text(r, "object")]);
                output.table(&["hour", "who", "verb", "times", "last on"], rows.collect());
            });
        }
        Some(TenantsVerb::Leave { name }) => {
            let me = me_or(context, None, "tenants").await?;
            let path = format!("/api/v1/users/{}/memberships/{}", quote(&me), quote(name));
            let _: Value = context.client.call(Method::DELETE, &path, Payload::None).await?;
            context.output.answer(&json!({}), |output| output.line(format!("{me} has left tenant {name}")));
        }
        Some(TenantsVerb::Policy { name, create_on_push }) => {
            let path = format!("/api/v1/tenants/{}", quote(name));
            let body = Payload::Json(json!({ "create_on_push": create_on_push }));
            let _: Value = context.client.call(Method::PATCH, &path, body).await?;
            context.output.answer(&json!({}), |output| {
                output.line(format!("a push to an unknown app of {name} {}", if *create_on_push { "makes it" } else { "is refused" }));
            });
        }
    }
    Ok(())
}

pub async fn teams(context: &Context, verb: &TeamsVerb) -> Result<(), CallError> {
    match verb {
        TeamsVerb::Create { tenant, team } => {
            let _: Value = context.client.post(&format!("/api/v1/tenants/{}/teams", quote(tenant)), json!({ "name": team })).await?;
            context.output.answer(&json!({ "name": team }), |output| output.line(format!("team {team} of {tenant} is made")));
        }
        TeamsVerb::Remove { tenant, team } => {
            let path = format!("/api/v1/tenants/{}/teams/{}", quote(tenant), quote(team));
            let _: Value = context.client.call(Method::DELETE, &path, Payload::None).await?;
            context.output.answer(&json!({}), |output| output.line(format!("team {team} of {tenant} is removed")));
        }
    }
    Ok(())
}

pub async fn members(context: &Context, verb: &MembersVerb) -> Result<(), CallError> {
    match verb {
        MembersVerb::List { tenant } => {
            let members: Value = context.client.get(&format!("/api/v1/tenants/{}/members", quote(tenant))).await?;
            let invited: Value = context.client.get(&format!("/api/v1/tenants/{}/invitations", quote(tenant))).await?;
            context.output.answer(&members, |output| {
                let text = |member: &Value, key: &str| member[key].as_str().unwrap_or_default().to_owned();
                let row = |m: &Value, mark: &str| vec![text(m, "team"), text(m, "user"), format!("{}{mark}", text(m, "role"))];
                let members = members.as_array().into_iter().flatten().map(|m| row(m, ""));
                let invited = invited.as_array().into_iter().flatten().map(|m| row(m, " (invited)"));
                output.table(&["team", "user", "role"], members.chain(invited).collect());
            });
        }
        MembersVerb::Set { tenant, team, user, role } => {
            let path = format!("/api/v1/tenants/{}/teams/{}/members/{}", quote(tenant), quote(team), quote(user));
            let set: Value = context.client.call(Method::PUT, &path, Payload::Json(json!({ "role": role }))).await?;
            context.output.answer(&set, |output| {
                if set["invited"] == true {
                    output.line(format!("{user} is invited into team {team} of {tenant} as {role}"));
                    output.note(format!("they become a member with: slipway invitations:accept {tenant} {team}"));
                } else {
                    output.line(format!("{user} is {role} in team {team} of {tenant}"));
                }
            });
        }
        MembersVerb::Remove { tenant, team, user } => {
            let path = format!("/api/v1/tenants/{}/teams/{}/members/{}", quote(tenant), quote(team), quote(user));
            let _: Value = context.client.call(Method::DELETE, &path, Payload::None).await?;
            context.output.answer(&json!({}), |output| output.line(format!("{user} is no longer in team {team} of {tenant}")));
        }
    }
    Ok(())
}

pub async fn invitations(context: &Context, verb: Option<&InvitationsVerb>) -> Result<(), CallError> {
    let me = me_or(context, None, "invitations").await?;
    let all = format!("/api/v1/users/{}/invitations", quote(&me));
    let one = |tenant: &str, team: &str| format!("{all}/{}/{}", quote(tenant), quote(team));
    match verb {
        None => {
            let invitations: Value = context.client.get(&all).await?;
            context.output.answer(&invitations, |output| {
                let text = |invitation: &Value, key: &str| invitation[key].as_str().unwrap_or_default().to_owned();
                let rows: Vec<Vec<String>> = invitations
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|i| vec![text(i, "tenant"), text(i, "team"), text(i, "role"), text(i, "invited_by")])
                    .collect();
                if rows.is_empty() {
                    output.note("no invitations");
                } else {
                    output.table(&["tenant", "team", "role", "by"], rows);
                    output.note("slipway invitations:accept TENANT TEAM, or invitations:decline");
                }
            });
        }
        Some(InvitationsVerb::Accept { tenant, team }) => {
            let member: Value = context.client.post(&one(tenant, team), json!({})).await?;
            let role = member["role"].as_str().unwrap_or("a member").to_owned();
            context.output.answer(&member, |output| output.line(format!("{me} is {role} in team {team} of {tenant}")));
        }
        Some(InvitationsVerb::Decline { tenant, team }) => {
            let _: Value = context.client.call(Method::DELETE, &one(tenant, team), Payload::None).await?;
            context.output.answer(&json!({}), |output| output.line(format!("the invitation to team {team} of {tenant} is declined")));
        }
    }
    Ok(())
}
