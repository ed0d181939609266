//! One's own account: keys, tokens, password, memberships.

use std::sync::Arc;

use axum::extract::State;
use chrono::Utc;
use manager::Identity;
use serde::{Deserialize, Serialize};
use store::records::{TokenKind, TokenScope};

use super::membership::{self, InvitationView};
use super::relative_time::{When, when};
use super::{Answer, Visitor, myself, to_account};
use crate::Web;
use crate::caller::Caller;
use crate::extract::{Asked, Sent};

#[derive(Deserialize)]
pub(crate) struct Said {
    #[serde(default)]
    said: String,
}

#[derive(Serialize)]
struct Page {
    user: String,
    is_super: bool,
    said: &'static str,
    /// A token that was just made: shown once, never again.
    token: String,
    keys: Vec<KeyView>,
    tokens: Vec<TokenView>,
    invitations: Vec<InvitationView>,
    memberships: Vec<MembershipView>,
}

#[derive(Serialize)]
struct KeyView {
    fingerprint: String,
    comment: String,
    kind: String,
    added: When,
}

#[derive(Serialize)]
struct TokenView {
    id: String,
    kind: &'static str,
    label: String,
    scope: &'static str,
    made: When,
}

#[derive(Serialize)]
struct MembershipView {
    tenant: String,
    team: String,
    role: &'static str,
}

fn said(word: &str) -> &'static str {
    match word {
        "key" => "The key is added. You can push with it now.",
        "key-gone" => "The key is removed.",
        "token-gone" => "The token is revoked.",
        "accepted" => "You are a member now.",
        "declined" => "The invitation is declined.",
        "left" => "You have left the tenant.",
        "password" => "The password is set. Other browsers are signed out.",
        _ => "",
    }
}

async fn draw(web: &Web, who: &Identity, said: &'static str, token: String) -> Answer {
    let user = myself(who)?;
    let now = Utc::now();
    let keys = web.manager.keys(who, &user).await?;
    let tokens = web.manager.tokens(who, &user).await?;
    let invitations = membership::invitations(web, who, &user).await?;
    let page = Page {
        user: user.to_string(),
        is_super: who.is_super,
        said,
        token,
        keys: keys
            .into_iter()
            .map(|key| KeyView {
                kind: key.public_key.split(' ').next().unwrap_or_default().to_owned(),
                fingerprint: key.fingerprint,
                comment: key.comment,
                added: when(key.added_at, now),
            })
            .collect(),
        tokens: tokens
            .into_iter()
            .map(|token| TokenView {
                id: token.id,
                kind: if token.kind == TokenKind::Session { "browser" } else { "client" },
                label: token.label,
                scope: token.scope.as_str(),
                made: when(token.created_at, now),
            })
            .collect(),
        invitations,
        memberships: who
            .memberships
            .iter()
            .map(|m| MembershipView { tenant: m.tenant.to_string(), team: m.team.to_string(), role: m.role.as_str() })
            .collect(),
    };
    Ok(web.pages.draw("account.html", Some(who), &page))
}

/// The page.
pub(crate) async fn page(State(web): State<Arc<Web>>, Visitor(who): Visitor, Asked(query): Asked<Said>) -> Answer {
    draw(&web, &who, said(&query.said), String::new()).await
}

#[derive(Deserialize)]
pub(crate) struct Key {
    key: String,
}

/// Adds a key.
pub(crate) async fn add_key(State(web): State<Arc<Web>>, Visitor(who): Visitor, Sent(form): Sent<Key>) -> Answer {
    web.manager.add_key(&who, &myself(&who)?, &form.key).await?;
    to_account("key")
}

#[derive(Deserialize)]
pub(crate) struct Fingerprint {
    fingerprint: String,
}

/// Removes a key.
pub(crate) async fn remove_key(State(web): State<Arc<Web>>, Visitor(who): Visitor, Sent(form): Sent<Fingerprint>) -> Answer {
    web.manager.remove_key(&who, &myself(&who)?, &form.fingerprint).await?;
    to_account("key-gone")
}

#[derive(Deserialize)]
pub(crate) struct NewToken {
    label: String,
    scope: TokenScope,
}

/// Makes a token and shows it, once.
pub(crate) async fn create_token(State(web): State<Arc<Web>>, Visitor(who): Visitor, Sent(form): Sent<NewToken>) -> Answer {
    let label: String = form.label.trim().chars().filter(|c| !c.is_control()).take(80).collect();
    let token = web.manager.create_token(&who, &myself(&who)?, form.scope, &label).await?;
    draw(&web, &who, "The token is made.", token).await
}

#[derive(Deserialize)]
pub(crate) struct TokenId {
    id: String,
}

/// Ends a token.
pub(crate) async fn revoke_token(State(web): State<Arc<Web>>, Visitor(who): Visitor, Sent(form): Sent<TokenId>) -> Answer {
    web.manager.revoke_token(&who, &myself(&who)?, &form.id).await?;
    to_account("token-gone")
}

#[derive(Deserialize)]
pub(crate) struct Password {
    #[serde(default)]
    current: String,
    password: String,
}

/// Sets a new password. This browser stays signed in.
pub(crate) async fn set_password(State(web): State<Arc<Web>>, caller: Caller, Visitor(who): Visitor, Sent(form): Sent<Password>) -> Answer {
    let me = myself(&who)?;
    let entered = web.sign_ins.enter(caller.client, me.as_str()).await?;
    web.manager.set_password(&who, &me, (Some(&form.current), &form.password), caller.token.as_deref()).await?;
    drop(entered);
    web.sign_ins.was_right(caller.client, me.as_str());
    to_account("password")
}
