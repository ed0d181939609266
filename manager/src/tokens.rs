//! Tokens: what a browser or a client presents once it has signed in. The secret is shown once; only its hash is stored.

use chrono::{Duration, Utc};
use model::{UserError, UserName};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use store::records::{TokenInfo, TokenKind, TokenScope};

use crate::authorize::{Object, Verb};
use crate::identity::Identity;
use crate::user_errors::people;
use crate::{Manager, OrInternal};

/// Lifetime of a browser's session, in days.
const SESSION_DAYS: i64 = 14;
/// Lifetime of an API token, in days.
const TOKEN_DAYS: i64 = 365;
/// What a token starts with, so that scanners recognise one that leaked.
const TOKEN_PREFIX: &str = "slw_";

pub(crate) fn hash_of(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

impl Manager {
    /// Makes an API token for a user; returns its secret.
    pub async fn create_token(&self, who: &Identity, user: &UserName, scope: TokenScope, label: &str) -> Result<String, UserError> {
        self.allow(who, Verb::TokensCreate, &Object::User(user.clone())).await?;
        self.known_user(user).await?;
        let mut change = self.records.change().await.or_internal()?;
        self.record(&mut change, who, Verb::TokensCreate, None, format!("user {user}"), json!({ "label": label, "scope": scope })).await?;
        change.commit().await.or_internal()?;
        self.issue(user, TokenKind::Api, scope, label).await
    }

    pub(crate) async fn issue(&self, user: &UserName, kind: TokenKind, scope: TokenScope, label: &str) -> Result<String, UserError> {
        let token = format!("{TOKEN_PREFIX}{}", store::random::secret());
        let now = Utc::now();
        let days = if kind == TokenKind::Session { SESSION_DAYS } else { TOKEN_DAYS };
        let mut change = self.records.change().await.or_internal()?;
        change.add_token(&hash_of(&token), user, (kind, scope), label, (now, now + Duration::days(days))).await.or_internal()?;
        change.commit().await.or_internal()?;
        Ok(token)
    }

    /// The user that a token belongs to.
    pub async fn identify_token(&self, token: &str, origin: &str) -> Result<Option<Identity>, UserError> {
        if !token.starts_with(TOKEN_PREFIX) || token.len() > 100 {
            return Ok(None);
        }
        match self.records.token_owner(&hash_of(token), Utc::now()).await.or_internal()? {
            Some((user, scope)) => Ok(Some(self.identity_of(user, origin).await?.limited_to(scope))),
            None => Ok(None),
        }
    }

    /// Ends a token.
    pub async fn sign_out(&self, token: &str) -> Result<(), UserError> {
        let mut change = self.records.change().await.or_internal()?;
        change.remove_token(&hash_of(token)).await.or_internal()?;
        change.commit().await.or_internal()
    }

    /// The tokens of a user, newest first.
    pub async fn tokens(&self, who: &Identity, user: &UserName) -> Result<Vec<TokenInfo>, UserError> {
        self.allow(who, Verb::TokensList, &Object::User(user.clone())).await?;
        self.known_user(user).await?;
        self.records.tokens_of(user, Utc::now()).await.or_internal()
    }

    /// Ends a token of a user, at once.
    pub async fn revoke_token(&self, who: &Identity, user: &UserName, id: &str) -> Result<(), UserError> {
        self.allow(who, Verb::TokensRevoke, &Object::User(user.clone())).await?;
        let mut change = self.records.change().await.or_internal()?;
        if !change.revoke_token(user, id).await.or_internal()? {
            return Err(people::unknown_token(user, id));
        }
        self.record(&mut change, who, Verb::TokensRevoke, None, format!("user {user}"), json!({ "token": id })).await?;
        change.commit().await.or_internal()
    }
}
