//! Tokens: sign-ins of browsers and of clients. Only the hash of the secret is kept; its first bytes are the name that people use.

use model::{Time, UserName};
use sqlx::Row;

use super::people::{User, user};
use super::{Change, Records, RecordsError, at};

/// Bytes of the hash that name a token to its owner.
const ID_BYTES: usize = 6;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A browser.
    Session,
    /// A client.
    Api,
}

impl TokenKind {
    /// The kind as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Api => "api",
        }
    }
}

/// What a token may do, of what its owner may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenScope {
    /// What a viewer may.
    Read,
    /// What a deployer may: push, restart, roll back. Not config, not the owner's account.
    Deploy,
    /// Everything.
    Full,
}

impl TokenScope {
    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Deploy => "deploy",
            Self::Full => "full",
        }
    }

    /// Reads what `as_str` wrote; what is not known may least.
    fn parse(text: &str) -> Self {
        [Self::Full, Self::Deploy].into_iter().find(|scope| scope.as_str() == text).unwrap_or(Self::Read)
    }
}

/// What is known of a token; never the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInfo {
    /// Its name: twelve hexadecimal digits.
    pub id: String,
    /// What it is for.
    pub kind: TokenKind,
    /// What its owner said that it is for.
    pub label: String,
    /// What it may do.
    pub scope: TokenScope,
    /// When it was made.
    pub created_at: Time,
    /// When it ends by itself.
    pub expires_at: Time,
}

impl Records {
    /// Whose token this is, if it has not expired.
    pub async fn token_owner(&self, hash: &[u8], now: Time) -> Result<Option<(User, TokenScope)>, RecordsError> {
        let row = sqlx::query(
            "SELECT u.*, t.scope AS scope FROM tokens t JOIN users u ON u.name = t.user_name WHERE t.hash = $1 AND t.expires_at > $2",
        )
        .bind(hash)
        .bind(now)
        .fetch_optional(&self.pool)
        .await
        .map_err(at("reading a token"))?;
        let owner = |row| Ok((user(row)?, TokenScope::parse(row.try_get("scope").map_err(at("scope"))?)));
        row.as_ref().map(owner).transpose()
    }

    /// The tokens of a user that have not expired, newest first.
    pub async fn tokens_of(&self, user: &UserName, now: Time) -> Result<Vec<TokenInfo>, RecordsError> {
        let rows = sqlx::query(
            "SELECT encode(substring(hash FROM 1 FOR $3), 'hex') AS id, kind = 'session' AS session, label, scope, created_at, expires_at
               FROM tokens WHERE user_name = $1 AND expires_at > $2 ORDER BY created_at DESC, hash",
        )
        .bind(user.as_str())
        .bind(now)
        .bind(ID_BYTES as i32)
        .fetch_all(&self.pool)
        .await
        .map_err(at("reading tokens"))?;
        rows.iter()
            .map(|row| {
                let is_session: bool = row.try_get("session").map_err(at("kind"))?;
                Ok(TokenInfo {
                    id: row.try_get("id").map_err(at("id"))?,
                    kind: if is_session { TokenKind::Session } else { TokenKind::Api },
                    label: row.try_get("label").map_err(at("label"))?,
                    scope: TokenScope::parse(row.try_get("scope").map_err(at("scope"))?),
                    created_at: row.try_get("created_at").map_err(at("created_at"))?,
                    expires_at: row.try_get("expires_at").map_err(at("expires_at"))?,
                })
            })
            .collect()
    }
}

impl Change {
    /// Stores a token by its hash, and drops the expired ones.
    pub async fn add_token(
        &mut self,
        hash: &[u8],
        user: &UserName,
        (kind, scope): (TokenKind, TokenScope),
        label: &str,
        (now, expires): (Time, Time),
    ) -> Result<(), RecordsError> {
        sqlx::query("DELETE FROM tokens WHERE expires_at <= $1").bind(now).execute(&mut *self.tx).await.map_err(at("old tokens"))?;
        sqlx::query("INSERT INTO tokens (hash, user_name, kind, label, created_at, expires_at, scope) VALUES ($1, $2, $3, $4, $5, $6, $7)")
            .bind(hash)
            .bind(user.as_str())
            .bind(kind.as_str())
            .bind(label)
            .bind(now)
            .bind(expires)
            .bind(scope.as_str())
            .execute(&mut *self.tx)
            .await
            .map_err(at("adding a token"))?;
        Ok(())
    }

    /// Ends a token.
    pub async fn remove_token(&mut self, hash: &[u8]) -> Result<(), RecordsError> {
        sqlx::query("DELETE FROM tokens WHERE hash = $1").bind(hash).execute(&mut *self.tx).await.map_err(at("removing a token"))?;
        Ok(())
    }

    /// Ends a token of a user by its name; says whether it was there.
    pub async fn revoke_token(&mut self, user: &UserName, id: &str) -> Result<bool, RecordsError> {
        let done = sqlx::query("DELETE FROM tokens WHERE user_name = $1 AND encode(substring(hash FROM 1 FOR $3), 'hex') = $2")
            .bind(user.as_str())
            .bind(id)
            .bind(ID_BYTES as i32)
            .execute(&mut *self.tx)
            .await
            .map_err(at("revoking a token"))?;
        Ok(done.rows_affected() > 0)
    }

    /// Signs every browser of a user out, except the one with this token.
    pub async fn end_sessions(&mut self, user: &UserName, except: Option<&[u8]>) -> Result<(), RecordsError> {
        sqlx::query("DELETE FROM tokens WHERE user_name = $1 AND kind = 'session' AND hash IS DISTINCT FROM $2")
            .bind(user.as_str())
            .bind(except)
            .execute(&mut *self.tx)
            .await
            .map_err(at("ending sessions"))?;
        Ok(())
    }
}
