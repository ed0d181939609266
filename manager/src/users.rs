//! Users, their keys and passwords.

use chrono::Utc;
use model::{Actor, Origin, UserError, UserName};
use serde_json::json;
use store::records::{SshKey, TokenKind, TokenScope, User};

use crate::authorize::{Object, Verb};
use crate::identity::Identity;
use crate::members::check_owner_stays;
use crate::tokens::hash_of;
use crate::user_errors::people;
use crate::{Manager, OrInternal, ssh_keys};

impl Manager {
    /// Makes a user.
    pub async fn create_user(&self, who: &Identity, name: &UserName, is_super: bool) -> Result<(), UserError> {
        self.allow(who, Verb::UsersCreate, &Object::Platform).await?;
        let mut change = self.records.change().await.or_internal()?;
        if let Err(error) = change.add_user(name, is_super, Utc::now()).await {
            return Err(if error.is_taken() { people::user_exists(name) } else { crate::internal(&error) });
        }
        self.record(&mut change, who, Verb::UsersCreate, None, format!("user {name}"), json!({ "super": is_super })).await?;
        change.commit().await.or_internal()
    }

    /// Removes a user with its keys, tokens and memberships. What it did stays in the events, under its name.
    pub async fn remove_user(&self, who: &Identity, name: &UserName) -> Result<(), UserError> {
        self.allow(who, Verb::UsersRemove, &Object::Platform).await?;
        let user = self.known_user(name).await?;
        for place in self.records.memberships(&user.name).await.or_internal()? {
            let members = self.records.members(&place.tenant).await.or_internal()?;
            check_owner_stays(&place.tenant, &members, |member| member.user != *name)?;
        }
        let mut change = self.records.change().await.or_internal()?;
        change.remove_user(name).await.or_internal()?;
        self.record(&mut change, who, Verb::UsersRemove, None, format!("user {name}"), json!({ "super": user.is_super })).await?;
        change.commit().await.or_internal()
    }

    /// Every user.
    pub async fn users(&self, who: &Identity) -> Result<Vec<User>, UserError> {
        self.allow(who, Verb::UsersList, &Object::Platform).await?;
        self.records.users().await.or_internal()
    }

    pub(crate) async fn known_user(&self, name: &UserName) -> Result<User, UserError> {
        self.records.user(name).await.or_internal()?.ok_or_else(|| people::unknown_user(name))
    }

    /// Adds a key to a user. The same key again is nothing; a key of another user is refused.
    pub async fn add_key(&self, who: &Identity, user: &UserName, text: &str) -> Result<SshKey, UserError> {
        self.allow(who, Verb::KeysAdd, &Object::User(user.clone())).await?;
        self.known_user(user).await?;
        let key = ssh_keys::parse(text)?;
        if let Some(stored) = self.records.key(&key.fingerprint).await.or_internal()? {
            if stored.user == *user {
                return Ok(stored);
            }
            return Err(people::key_of_another_user(&key.fingerprint));
        }
        let stored =
            SshKey { fingerprint: key.fingerprint, user: user.clone(), public_key: key.text, comment: key.comment, added_at: Utc::now() };
        let mut change = self.records.change().await.or_internal()?;
        change.add_key(&stored).await.or_internal()?;
        let detail = json!({ "fingerprint": stored.fingerprint });
        self.record(&mut change, who, Verb::KeysAdd, None, format!("user {user}"), detail).await?;
        change.commit().await.or_internal()?;
        Ok(stored)
    }

    /// The keys of a user.
    pub async fn keys(&self, who: &Identity, user: &UserName) -> Result<Vec<SshKey>, UserError> {
        self.allow(who, Verb::KeysList, &Object::User(user.clone())).await?;
        self.known_user(user).await?;
        self.records.keys_of(user).await.or_internal()
    }

    /// Removes a key of a user.
    pub async fn remove_key(&self, who: &Identity, user: &UserName, fingerprint: &str) -> Result<(), UserError> {
        self.allow(who, Verb::KeysRemove, &Object::User(user.clone())).await?;
        let mut change = self.records.change().await.or_internal()?;
        if !change.remove_key(user, fingerprint).await.or_internal()? {
            return Err(people::unknown_key(user, fingerprint));
        }
        self.record(&mut change, who, Verb::KeysRemove, None, format!("user {user}"), json!({ "fingerprint": fingerprint })).await?;
        change.commit().await.or_internal()
    }

    /// The user that a key belongs to now.
    pub async fn identify_key(&self, fingerprint: &str, origin: &str) -> Result<Option<Identity>, UserError> {
        let Some(key) = self.records.key(fingerprint).await.or_internal()? else { return Ok(None) };
        let user = self.known_user(&key.user).await?;
        Ok(Some(self.identity_of(user, origin).await?))
    }

    /// The identity of a user.
    pub async fn identity(&self, user: &UserName, origin: &str) -> Result<Identity, UserError> {
        let user = self.known_user(user).await?;
        self.identity_of(user, origin).await
    }

    pub(crate) async fn identity_of(&self, user: User, origin: &str) -> Result<Identity, UserError> {
        let memberships = self.records.memberships(&user.name).await.or_internal()?;
        Ok(Identity {
            actor: Actor::User(user.name),
            origin: Origin(origin.into()),
            is_super: user.is_super,
            scope: TokenScope::Full,
            memberships,
        })
    }

    /// Sets a password and ends the user's sessions, except that of the browser that asks for it (`here`). Whoever changes their own
    /// shows the one of now: a token that was left somewhere must not be enough to take an account over.
    pub async fn set_password(
        &self,
        who: &Identity,
        user: &UserName,
        (current, password): (Option<&str>, &str),
        here: Option<&str>,
    ) -> Result<(), UserError> {
        self.allow(who, Verb::UsersPassword, &Object::User(user.clone())).await?;
        let known = self.known_user(user).await?;
        if who.user() == Some(user)
            && let Some(hash) = known.password_hash
            && !self.passwords.fits(current.unwrap_or_default().to_owned(), Some(hash)).await?
        {
            return Err(people::wrong_current_password());
        }
        if password.chars().count() < 10 || password.len() > 1_000 {
            return Err(people::bad_password());
        }
        let hash = self.passwords.hash(password.to_owned()).await?;
        let mut change = self.records.change().await.or_internal()?;
        change.set_password(user, &hash).await.or_internal()?;
        change.end_sessions(user, here.map(hash_of).as_deref()).await.or_internal()?;
        self.record(&mut change, who, Verb::UsersPassword, None, format!("user {user}"), json!({})).await?;
        change.commit().await.or_internal()
    }

    /// Signs a user in with a password and issues a token for a browser or a client. An unknown user takes as long as a wrong
    /// password, and gets the same answer.
    pub async fn sign_in(&self, user: &str, password: &str, kind: TokenKind, label: &str) -> Result<String, UserError> {
        let user = match UserName::new(user) {
            Ok(name) => self.records.user(&name).await.or_internal()?,
            Err(_) => None,
        };
        let hash = user.as_ref().and_then(|user| user.password_hash.clone());
        let fits = self.passwords.fits(password.to_owned(), hash).await?;
        match user {
            Some(user) if fits => self.issue(&user.name, kind, TokenScope::Full, label).await,
            _ => Err(people::wrong_password()),
        }
    }
}
