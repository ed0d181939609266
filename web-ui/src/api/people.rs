//! Signing in and out, users, keys, tokens.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use model::{Actor, UserName};
use store::records::TokenKind;

use super::documents::{
    Done, Fingerprint, KeyDoc, Membership, NewPassword, NewToken, NewUser, SignIn, Token, TokenDoc, TokenId, UserDoc, Whoami,
};
use crate::Web;
use crate::caller::{Caller, Who};
use crate::extract::{Asked, Body, Text};
use crate::path_params::AtUser;
use crate::problem::Problem;

/// Letters of a label that are kept.
const LABEL: usize = 80;

fn label(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LABEL).collect()
}

/// Signs in with a password and gives a token. The only way in that needs no token.
#[utoipa::path(post, path = "/api/v1/login", tag = "people", request_body = SignIn, responses((status = 200, body = Token)), security(()))]
pub(crate) async fn sign_in(State(web): State<Arc<Web>>, caller: Caller, Body(wish): Body<SignIn>) -> Result<Json<Token>, Problem> {
    let entered = web.sign_ins.enter(caller.client, &wish.user).await?;
    let token = web.manager.sign_in(&wish.user, &wish.password, TokenKind::Api, &label(&wish.label)).await?;
    drop(entered);
    web.sign_ins.was_right(caller.client, &wish.user);
    Ok(Json(Token { token }))
}

/// Ends the token that the request is made with.
#[utoipa::path(delete, path = "/api/v1/login", tag = "people", responses((status = 200, body = Done)))]
pub(crate) async fn sign_out(State(web): State<Arc<Web>>, caller: Caller, _: Who) -> Result<Json<Done>, Problem> {
    if let Some(token) = &caller.token {
        web.manager.sign_out(token).await?;
    }
    Ok(Json(Done {}))
}

/// Who you are and where you are a member.
#[utoipa::path(get, path = "/api/v1/whoami", tag = "people", responses((status = 200, body = Whoami)))]
pub(crate) async fn whoami(State(web): State<Arc<Web>>, Who(who): Who) -> Json<Whoami> {
    let memberships = who.memberships.iter().map(|m| Membership { tenant: m.tenant.clone(), team: m.team.clone(), role: m.role }).collect();
    let ssh = web.manager.settings().ssh.clone();
    Json(Whoami { user: who.user().cloned(), operator: who.actor == Actor::Operator, is_super: who.is_super, memberships, ssh })
}

/// Every user.
#[utoipa::path(get, path = "/api/v1/users", tag = "people", responses((status = 200, body = Vec<UserDoc>)))]
pub(crate) async fn users(State(web): State<Arc<Web>>, Who(who): Who) -> Result<Json<Vec<UserDoc>>, Problem> {
    Ok(Json(web.manager.users(&who).await?.into_iter().map(UserDoc::from).collect()))
}

/// Makes a user, with a password if one is given.
#[utoipa::path(post, path = "/api/v1/users", tag = "people", request_body = NewUser, responses((status = 201, body = Done)))]
pub(crate) async fn create_user(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    Body(wish): Body<NewUser>,
) -> Result<(StatusCode, Json<Done>), Problem> {
    web.manager.create_user(&who, &wish.name, wish.is_super).await?;
    if let Some(password) = &wish.password {
        web.manager.set_password(&who, &wish.name, (None, password), None).await?;
    }
    Ok((StatusCode::CREATED, Json(Done {})))
}

/// Sets a password; whoever was signed in to the dashboard with the old one no longer is.
#[utoipa::path(post, path = "/api/v1/users/{user}/password", tag = "people", request_body = NewPassword, responses((status = 200, body = Done)))]
pub(crate) async fn set_password(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Who(who): Who,
    AtUser(user): AtUser,
    Body(wish): Body<NewPassword>,
) -> Result<Json<Done>, Problem> {
    let name = user.to_string();
    let entered = web.sign_ins.enter(caller.client, &name).await?;
    web.manager.set_password(&who, &user, (wish.current.as_deref(), &wish.password), caller.token.as_deref()).await?;
    drop(entered);
    web.sign_ins.was_right(caller.client, &name);
    Ok(Json(Done {}))
}

/// Removes a user with its keys, tokens and memberships.
#[utoipa::path(delete, path = "/api/v1/users/{user}", tag = "people", responses((status = 200, body = Done)))]
pub(crate) async fn remove_user(State(web): State<Arc<Web>>, Who(who): Who, AtUser(user): AtUser) -> Result<Json<Done>, Problem> {
    web.manager.remove_user(&who, &user).await?;
    Ok(Json(Done {}))
}

/// The SSH keys of a user.
#[utoipa::path(get, path = "/api/v1/users/{user}/keys", tag = "people", responses((status = 200, body = Vec<KeyDoc>)))]
pub(crate) async fn keys(State(web): State<Arc<Web>>, Who(who): Who, AtUser(user): AtUser) -> Result<Json<Vec<KeyDoc>>, Problem> {
    Ok(Json(web.manager.keys(&who, &user).await?.into_iter().map(KeyDoc::from).collect()))
}

/// Adds an SSH key: the line of an `id_….pub` file.
#[utoipa::path(post, path = "/api/v1/users/{user}/keys", tag = "people", request_body(content = String, content_type = "text/plain"),
    responses((status = 201, body = KeyDoc)))]
pub(crate) async fn add_key(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtUser(user): AtUser,
    Text(line): Text,
) -> Result<(StatusCode, Json<KeyDoc>), Problem> {
    Ok((StatusCode::CREATED, Json(web.manager.add_key(&who, &user, &line).await?.into())))
}

/// Removes an SSH key.
#[utoipa::path(delete, path = "/api/v1/users/{user}/keys", tag = "people", params(Fingerprint), responses((status = 200, body = Done)))]
pub(crate) async fn remove_key(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtUser(user): AtUser,
    Asked(which): Asked<Fingerprint>,
) -> Result<Json<Done>, Problem> {
    web.manager.remove_key(&who, &user, &which.fingerprint).await?;
    Ok(Json(Done {}))
}

/// What a user is signed in with: browsers and clients.
#[utoipa::path(get, path = "/api/v1/users/{user}/tokens", tag = "people", responses((status = 200, body = Vec<TokenDoc>)))]
pub(crate) async fn tokens(State(web): State<Arc<Web>>, Who(who): Who, AtUser(user): AtUser) -> Result<Json<Vec<TokenDoc>>, Problem> {
    Ok(Json(web.manager.tokens(&who, &user).await?.into_iter().map(TokenDoc::from).collect()))
}

/// Ends a token, at once.
#[utoipa::path(delete, path = "/api/v1/users/{user}/tokens", tag = "people", params(TokenId), responses((status = 200, body = Done)))]
pub(crate) async fn revoke_token(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtUser(user): AtUser,
    Asked(which): Asked<TokenId>,
) -> Result<Json<Done>, Problem> {
    web.manager.revoke_token(&who, &user, &which.id).await?;
    Ok(Json(Done {}))
}

/// Makes a token for a client. It is shown once.
#[utoipa::path(post, path = "/api/v1/users/{user}/tokens", tag = "people", request_body = NewToken, responses((status = 201, body = Token)))]
pub(crate) async fn create_token(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtUser(user): AtUser,
    Body(wish): Body<NewToken>,
) -> Result<(StatusCode, Json<Token>), Problem> {
    let user: &UserName = &user;
    let token = web.manager.create_token(&who, user, wish.scope, &label(&wish.label)).await?;
    Ok((StatusCode::CREATED, Json(Token { token })))
}
