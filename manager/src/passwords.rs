//! Passwords: hashed and checked on one thread of their own, with one buffer.
//!
//! Argon2 fills 19 MiB per check. On a thread of the pool each check would leave its thread's heap that large; here one buffer is used
//! again and again, and given back once no password has come for a while.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use model::{Code, UserError};
use tokio::sync::oneshot;

/// Passwords that may wait for the thread; beyond it, people are asked to come back.
const QUEUE: usize = 64;
/// The buffer is given back after this time without a password.
const KEEP_BUFFER: Duration = Duration::from_secs(30);
/// Bytes of a new salt, and of a hash.
const SALT: usize = 16;
const HASH: usize = 32;

type Job = Box<dyn FnOnce(&mut Vec<Block>) + Send>;

/// The thread, while this lives.
pub(crate) struct Passwords {
    jobs: SyncSender<Job>,
}

impl Passwords {
    /// Starts the thread.
    pub(crate) fn start() -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE);
        std::thread::Builder::new().name("passwords".into()).spawn(move || work(&queue))?;
        Ok(Self { jobs })
    }

    async fn run<T: Send + 'static>(&self, job: impl FnOnce(&mut Vec<Block>) -> T + Send + 'static) -> Result<T, UserError> {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |buffer| {
            // Whoever asked may have left.
            let _ = tell.send(job(buffer));
        });
        match self.jobs.try_send(job) {
            Ok(()) => told.await.map_err(|_| UserError::internal("passwords")),
            Err(TrySendError::Full(_)) => Err(UserError::new(Code::TooManyTries, "too many people sign in at once").next("try again")),
            Err(TrySendError::Disconnected(_)) => Err(UserError::internal("passwords")),
        }
    }

    /// The hash of a new password, in the PHC string format.
    pub(crate) async fn hash(&self, password: String) -> Result<String, UserError> {
        let made = self.run(move |buffer| hash(password.as_bytes(), buffer)).await?;
        made.ok_or_else(|| UserError::internal("password-hash"))
    }

    /// Whether a password fits a hash. Without a hash it takes as long, and does not fit.
    pub(crate) async fn fits(&self, password: String, stored: Option<String>) -> Result<bool, UserError> {
        self.run(move |buffer| match stored {
            Some(stored) => fits(password.as_bytes(), &stored, buffer).unwrap_or(false),
            None => {
                let _ = hash(password.as_bytes(), buffer);
                false
            }
        })
        .await
    }
}

fn work(queue: &Receiver<Job>) {
    let mut buffer = Vec::new();
    loop {
        match queue.recv_timeout(KEEP_BUFFER) {
            Ok(job) => job(&mut buffer),
            Err(RecvTimeoutError::Timeout) => buffer = Vec::new(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn fill(argon: &Argon2<'_>, password: &[u8], salt: &[u8], out: &mut [u8], buffer: &mut Vec<Block>) -> Option<()> {
    buffer.resize(argon.params().block_count(), Block::default());
    argon.hash_password_into_with_memory(password, salt, out, buffer.as_mut_slice()).ok()
}

fn hash(password: &[u8], buffer: &mut Vec<Block>) -> Option<String> {
    let (argon, salt) = (Argon2::default(), store::random::bytes::<SALT>());
    let mut out = [0; HASH];
    fill(&argon, password, &salt, &mut out, buffer)?;
    let made = PasswordHash {
        algorithm: Algorithm::default().ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(argon.params()).ok()?,
        salt: Some(Salt::new(&salt).ok()?),
        hash: Some(Output::new(&out).ok()?),
    };
    Some(made.to_string())
}

fn fits(password: &[u8], stored: &str, buffer: &mut Vec<Block>) -> Option<bool> {
    let stored = PasswordHash::new(stored).ok()?;
    let (salt, expected) = (stored.salt.as_ref()?, stored.hash.as_ref()?);
    let algorithm = Algorithm::new(stored.algorithm.as_str()).ok()?;
    let version = stored.version.map_or(Some(Version::default()), |version| Version::try_from(version).ok())?;
    let argon = Argon2::new(algorithm, version, Params::try_from(&stored).ok()?);
    let mut out = vec![0; expected.as_bytes().len()];
    fill(&argon, password, salt.as_ref(), &mut out, buffer)?;
    // The comparison of outputs takes the same time wherever they differ.
    Some(Output::new(&out).ok()? == *expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::{PasswordHasher, PasswordVerifier};

    #[tokio::test]
    async fn what_was_hashed_before_fits_and_nothing_else() {
        let passwords = Passwords::start().expect("a thread");
        let old = Argon2::default().hash_password(b"correct horse").expect("a hash").to_string();
        assert!(passwords.fits("correct horse".into(), Some(old.clone())).await.expect("checked"));
        assert!(!passwords.fits("wrong horse".into(), Some(old)).await.expect("checked"));
        let new = passwords.hash("battery staple".into()).await.expect("a hash");
        assert!(Argon2::default().verify_password(b"battery staple", new.as_str()).is_ok(), "{new} is not what others read");
        assert!(passwords.fits("battery staple".into(), Some(new)).await.expect("checked"));
        for broken in ["", "$argon2id$", "plain"] {
            assert!(!passwords.fits("x".into(), Some(broken.into())).await.expect("checked"));
        }
        assert!(!passwords.fits("x".into(), None).await.expect("checked"));
    }
}
