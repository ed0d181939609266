//! Uploads on their way: a staged file for each, appended to in order, hashed as it grows.
//!
//! ```text
//!   begin ──► open ──append──► open ──seal──► verified ──publish, close──► gone
//!               │                                │
//!               └── discard, expire ─────────────┴──► gone
//! ```
//! Owns the staging directory. An upload survives a restart: its file says how far it came, a note beside it whose it is. Must
//! never let a file leave under a digest that was not computed from its bytes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::digest::{Algorithm, ContentDigest, RunningHash};
use crate::error::RegistryError;
use crate::name::RepositoryName;

/// Ending of the note that says which repository an upload is for.
const NOTE: &str = "repository";

/// All uploads.
#[derive(Debug)]
pub(crate) struct Uploads {
    dir: PathBuf,
    open: Mutex<HashMap<String, Arc<Upload>>>,
}

/// One upload.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) id: String,
    pub(crate) repository: RepositoryName,
    path: PathBuf,
    progress: Arc<AsyncMutex<Progress>>,
}

#[derive(Default)]
struct Progress {
    size: u64,
    /// The hash over `size` bytes; lost by a restart, then the file is read again at the end.
    hash: Option<RunningHash>,
    closed: bool,
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").field("size", &self.size).field("closed", &self.closed).finish_non_exhaustive()
    }
}

impl Uploads {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.into(), open: Mutex::default() }
    }

    /// A new upload, unless the repository has `cap` of them already.
    pub(crate) async fn begin(
        &self,
        repository: &RepositoryName,
        algorithm: Algorithm,
        cap: usize,
    ) -> Result<Option<Arc<Upload>>, RegistryError> {
        if self.table().values().filter(|upload| upload.repository == *repository).count() >= cap {
            return Ok(None);
        }
        let id = fresh_id();
        let (path, note) = (self.dir.join(&id), self.note(&id));
        let (for_file, for_note, name) = (path.clone(), note.clone(), repository.to_string());
        let made = blocking(move || {
            std::fs::write(for_note, name)?;
            File::options().write(true).create_new(true).open(for_file).map(drop)
        });
        made.await.map_err(|source| RegistryError::File { path: path.clone(), source })?;
        let progress = Progress { size: 0, hash: Some(RunningHash::new(algorithm)), closed: false };
        let upload = Upload { id: id.clone(), repository: repository.clone(), path, progress: Arc::new(AsyncMutex::new(progress)) };
        let upload = Arc::new(upload);
        self.table().insert(id, upload.clone());
        Ok(Some(upload))
    }

    /// An open upload of a repository; one that a former process began is taken up again.
    pub(crate) async fn find(&self, repository: &RepositoryName, id: &str) -> Result<Option<Arc<Upload>>, RegistryError> {
        if !is_id(id) {
            return Ok(None);
        }
        let known = self.table().get(id).cloned();
        let upload = match known {
            Some(upload) => upload,
            None => match self.recover(id).await? {
                // Whoever was quicker to take it up holds the progress.
                Some(upload) => self.table().entry(id.into()).or_insert_with(|| Arc::new(upload)).clone(),
                None => return Ok(None),
            },
        };
        Ok((upload.repository == *repository).then_some(upload))
    }

    async fn recover(&self, id: &str) -> Result<Option<Upload>, RegistryError> {
        let (path, note) = (self.dir.join(id), self.note(id));
        let for_file = path.clone();
        let read = blocking(move || Ok((std::fs::read_to_string(note)?, std::fs::metadata(for_file)?.len())));
        match read.await {
            Ok((name, size)) => {
                let progress = Progress { size, hash: None, closed: false };
                let upload = |repository| Upload { id: id.into(), repository, path, progress: Arc::new(AsyncMutex::new(progress)) };
                Ok(RepositoryName::new(name).ok().map(upload))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(RegistryError::File { path, source }),
        }
    }

    /// Forgets an upload whose file has gone elsewhere.
    pub(crate) async fn close(&self, writing: Writing) {
        self.forget(writing, false).await;
    }

    /// Forgets an upload and its bytes.
    pub(crate) async fn discard(&self, writing: Writing) {
        self.forget(writing, true).await;
    }

    async fn forget(&self, mut writing: Writing, with_bytes: bool) {
        writing.progress.closed = true;
        let (id, path) = (writing.upload.id.clone(), writing.upload.path.clone());
        let note = self.note(&id);
        // What stays behind expires later.
        let _ = blocking(move || {
            if with_bytes {
                std::fs::remove_file(path)?;
            }
            std::fs::remove_file(note)
        })
        .await;
        self.table().remove(&id);
    }

    /// Ends uploads that nobody has written to since `cutoff`; says how many, and how many bytes they held.
    pub(crate) async fn expire(&self, cutoff: SystemTime) -> Result<(u64, u64), RegistryError> {
        let mut ended = (0, 0);
        for (id, found) in self.found().await? {
            if found.touched > cutoff {
                continue;
            }
            let known = self.table().get(&id).cloned();
            if let Some(upload) = known {
                // Somebody writes right now.
                let Ok(mut progress) = upload.progress.clone().try_lock_owned() else { continue };
                progress.closed = true;
            }
            let (path, note) = (self.dir.join(&id), self.note(&id));
            let removed = blocking(move || {
                for file in [path, note] {
                    match std::fs::remove_file(&file) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                        _ => {}
                    }
                }
                Ok(())
            });
            removed.await.map_err(|source| RegistryError::File { path: self.dir.clone(), source })?;
            self.table().remove(&id);
            ended = (ended.0 + 1, ended.1 + found.size);
        }
        Ok(ended)
    }

    /// Bytes that wait in the staging directory.
    pub(crate) async fn bytes(&self) -> Result<u64, RegistryError> {
        Ok(self.found().await?.values().map(|found| found.size).sum())
    }

    async fn found(&self) -> Result<HashMap<String, Found>, RegistryError> {
        let dir = self.dir.clone();
        let read = blocking(move || {
            let mut all: HashMap<String, Found> = HashMap::new();
            for entry in std::fs::read_dir(dir)? {
                let entry = entry?;
                let name = entry.file_name();
                let Some(name) = name.to_str() else { continue };
                let (id, is_note) = name.split_once('.').map_or((name, false), |(id, _)| (id, true));
                let Ok(metadata) = entry.metadata() else { continue };
                if !is_id(id) {
                    continue;
                }
                let touched = metadata.modified()?;
                let found = all.entry(id.into()).or_insert(Found { touched, size: 0 });
                found.touched = found.touched.max(touched);
                found.size += if is_note { 0 } else { metadata.len() };
            }
            Ok(all)
        });
        read.await.map_err(|source| RegistryError::File { path: self.dir.clone(), source })
    }

    fn note(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.{NOTE}"))
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Upload>>> {
        // The map stays whole through a panic: every step on it is a single call.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Found {
    touched: SystemTime,
    size: u64,
}

impl Upload {
    /// Takes the pen: nobody else writes until it is dropped. `None` when the upload has ended meanwhile.
    pub(crate) async fn write(self: &Arc<Self>) -> Result<Option<Writing>, RegistryError> {
        let progress = self.progress.clone().lock_owned().await;
        if progress.closed {
            return Ok(None);
        }
        let (path, size) = (self.path.clone(), progress.size);
        let opened = blocking(move || {
            let file = File::options().append(true).open(path)?;
            // A write that failed half-way left more than what counts.
            if file.metadata()?.len() != size {
                file.set_len(size)?;
            }
            Ok(file)
        });
        match opened.await {
            Ok(file) => {
                let start = (progress.size, progress.hash.clone());
                Ok(Some(Writing { upload: self.clone(), progress, file, start }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(RegistryError::File { path: self.path.clone(), source }),
        }
    }

    /// How many bytes have arrived.
    pub(crate) async fn size(&self) -> Option<u64> {
        let progress = self.progress.lock().await;
        (!progress.closed).then_some(progress.size)
    }
}

/// The pen of one upload. Dropping it, at any moment, leaves the upload as the last whole step made it.
pub(crate) struct Writing {
    upload: Arc<Upload>,
    progress: OwnedMutexGuard<Progress>,
    file: File,
    /// Where this writer began.
    start: (u64, Option<RunningHash>),
}

impl Writing {
    pub(crate) fn size(&self) -> u64 {
        self.progress.size
    }

    pub(crate) fn path(&self) -> &Path {
        &self.upload.path
    }

    /// Adds bytes at the end.
    pub(crate) async fn append(self, pieces: Vec<Bytes>) -> Result<Self, RegistryError> {
        self.step(move |writing| {
            let written = pieces.iter().try_for_each(|piece| writing.file.write_all(piece));
            if let Err(error) = written {
                // If this fails too, the next writer does it.
                let _ = writing.file.set_len(writing.progress.size);
                return Err(error);
            }
            for piece in &pieces {
                writing.progress.size += piece.len() as u64;
                if let Some(hash) = &mut writing.progress.hash {
                    hash.update(piece);
                }
            }
            Ok(())
        })
        .await
    }

    /// Undoes what this writer added.
    pub(crate) async fn undo(self) -> Result<Self, RegistryError> {
        self.step(|writing| {
            (writing.progress.size, writing.progress.hash) = writing.start.clone();
            writing.file.set_len(writing.progress.size)
        })
        .await
    }

    /// The digest of everything that arrived, which has reached the disk when this returns.
    pub(crate) async fn seal(self, algorithm: Algorithm) -> Result<(Self, ContentDigest), RegistryError> {
        self.step_with(move |writing| {
            let hash = match &writing.progress.hash {
                Some(hash) if hash.algorithm() == algorithm => hash.clone(),
                _ => read_again(&writing.upload.path, algorithm)?,
            };
            writing.file.sync_all()?;
            Ok(hash.finish())
        })
        .await
    }

    async fn step(self, work: impl FnOnce(&mut Self) -> io::Result<()> + Send + 'static) -> Result<Self, RegistryError> {
        self.step_with(work).await.map(|(writing, ())| writing)
    }

    /// Does blocking work off the async workers; the pen travels along, so that a caller who goes away breaks nothing.
    async fn step_with<T: Send + 'static>(
        mut self,
        work: impl FnOnce(&mut Self) -> io::Result<T> + Send + 'static,
    ) -> Result<(Self, T), RegistryError> {
        let path = self.upload.path.clone();
        let done = blocking(move || {
            let result = work(&mut self)?;
            Ok((self, result))
        });
        done.await.map_err(|source| RegistryError::File { path, source })
    }
}

fn read_again(path: &Path, algorithm: Algorithm) -> io::Result<RunningHash> {
    let mut file = File::open(path)?;
    let mut hash = RunningHash::new(algorithm);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hash),
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn fresh_id() -> String {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).expect("the kernel always has random bytes");
    hex::encode(bytes)
}

fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// How long before `now` an upload must have been quiet to expire.
pub(crate) fn cutoff(now: SystemTime, idle: Duration) -> SystemTime {
    now.checked_sub(idle).unwrap_or(SystemTime::UNIX_EPOCH)
}
