//! Users and their SSH keys.

use model::{Time, UserName};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Change, Records, RecordsError, at, text};

/// A person or robot.
#[derive(Debug, Clone)]
pub struct User {
    /// Its name.
    pub name: UserName,
    /// Argon2 hash of the password, when it may sign in with one.
    pub password_hash: Option<String>,
    /// Whether it may do everything.
    pub is_super: bool,
    /// When it was made.
    pub created_at: Time,
}

/// A public key.
#[derive(Debug, Clone)]
pub struct SshKey {
    /// `SHA256:…`, as ssh-keygen prints it.
    pub fingerprint: String,
    /// Whose key.
    pub user: UserName,
    /// The key in OpenSSH form, without its comment.
    pub public_key: String,
    /// The comment that came with it.
    pub comment: String,
    /// When it was added.
    pub added_at: Time,
}

pub(super) fn user(row: &PgRow) -> Result<User, RecordsError> {
    Ok(User {
        name: text(row, "name")?,
        password_hash: row.try_get("password_hash").map_err(at("password_hash"))?,
        is_super: row.try_get("super").map_err(at("super"))?,
        created_at: row.try_get("created_at").map_err(at("created_at"))?,
    })
}

fn key(row: &PgRow) -> Result<SshKey, RecordsError> {
    Ok(SshKey {
        fingerprint: row.try_get("fingerprint").map_err(at("fingerprint"))?,
        user: text(row, "user_name")?,
        public_key: row.try_get("public_key").map_err(at("public_key"))?,
        comment: row.try_get("comment").map_err(at("comment"))?,
        added_at: row.try_get("added_at").map_err(at("added_at"))?,
    })
}

impl Records {
    /// One user.
    pub async fn user(&self, name: &UserName) -> Result<Option<User>, RecordsError> {
        let row = sqlx::query("SELECT * FROM users WHERE name = $1")
            .bind(name.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(at("reading a user"))?;
        row.as_ref().map(user).transpose()
    }

    /// Every user, by name.
    pub async fn users(&self) -> Result<Vec<User>, RecordsError> {
        let rows = sqlx::query("SELECT * FROM users ORDER BY name").fetch_all(&self.pool).await.map_err(at("reading users"))?;
        rows.iter().map(user).collect()
    }

    /// The key of a fingerprint.
    pub async fn key(&self, fingerprint: &str) -> Result<Option<SshKey>, RecordsError> {
        let row = sqlx::query("SELECT * FROM ssh_keys WHERE fingerprint = $1")
            .bind(fingerprint)
            .fetch_optional(&self.pool)
            .await
            .map_err(at("reading a key"))?;
        row.as_ref().map(key).transpose()
    }

    /// The keys of a user, oldest first.
    pub async fn keys_of(&self, user: &UserName) -> Result<Vec<SshKey>, RecordsError> {
        let rows = sqlx::query("SELECT * FROM ssh_keys WHERE user_name = $1 ORDER BY added_at, fingerprint")
            .bind(user.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(at("reading keys"))?;
        rows.iter().map(key).collect()
    }
}

impl Change {
    /// Adds a user; taken when there is one of that name.
    pub async fn add_user(&mut self, name: &UserName, is_super: bool, now: Time) -> Result<(), RecordsError> {
        sqlx::query("INSERT INTO users (name, super, created_at) VALUES ($1, $2, $3)")
            .bind(name.as_str())
            .bind(is_super)
            .bind(now)
            .execute(&mut *self.tx)
            .await
            .map_err(at("adding a user"))?;
        Ok(())
    }

    /// Sets the hash of a password.
    pub async fn set_password(&mut self, name: &UserName, hash: &str) -> Result<(), RecordsError> {
        sqlx::query("UPDATE users SET password_hash = $2 WHERE name = $1")
            .bind(name.as_str())
            .bind(hash)
            .execute(&mut *self.tx)
            .await
            .map_err(at("setting a password"))?;
        Ok(())
    }

    /// Adds a key; taken when any user has it.
    pub async fn add_key(&mut self, key: &SshKey) -> Result<(), RecordsError> {
        sqlx::query("INSERT INTO ssh_keys (fingerprint, user_name, public_key, comment, added_at) VALUES ($1, $2, $3, $4, $5)")
            .bind(&key.fingerprint)
            .bind(key.user.as_str())
            .bind(&key.public_key)
            .bind(&key.comment)
            .bind(key.added_at)
            .execute(&mut *self.tx)
            .await
            .map_err(at("adding a key"))?;
        Ok(())
    }

    /// Removes a key of a user; says whether it was there.
    pub async fn remove_key(&mut self, user: &UserName, fingerprint: &str) -> Result<bool, RecordsError> {
        let done = sqlx::query("DELETE FROM ssh_keys WHERE user_name = $1 AND fingerprint = $2")
            .bind(user.as_str())
            .bind(fingerprint)
            .execute(&mut *self.tx)
            .await
            .map_err(at("removing a key"))?;
        Ok(done.rows_affected() > 0)
    }

    /// Removes a user with its keys, tokens and memberships; says whether it was there.
    pub async fn remove_user(&mut self, name: &UserName) -> Result<bool, RecordsError> {
        let done = sqlx::query("DELETE FROM users WHERE name = $1")
            .bind(name.as_str())
            .execute(&mut *self.tx)
            .await
            .map_err(at("removing a user"))?;
        Ok(done.rows_affected() > 0)
    }
}
