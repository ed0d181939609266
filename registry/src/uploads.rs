//! Open uploads: one staged file for each, in the staging directory.
//!
//! ```text
//!   begin ──► open ──append──► open ──seal──► verified ──publish, close──► gone
//!               │                                │
//!               └── discard, expire ─────────────┴──► gone
//! ```
//! Owns the staging directory. An upload survives a restart: the length of its file is its progress, and a second file beside
//! it names its repository.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::Mutex as AsyncMutex;

use crate::digest::{Algorithm, RunningHash};
use crate::error::RegistryError;
use crate::name::RepositoryName;
use crate::upload_writer::{Progress, UploadWriter, blocking};

/// Extension of the file that names the repository of an upload.
const REPOSITORY_FILE: &str = "repository";

/// The open uploads of a registry.
#[derive(Debug)]
pub(crate) struct Uploads {
    dir: PathBuf,
    open: Mutex<HashMap<String, Arc<Upload>>>,
}

/// One open upload.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) id: String,
    pub(crate) repository: RepositoryName,
    path: PathBuf,
    progress: Arc<AsyncMutex<Progress>>,
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
        let (path, repository_file) = (self.dir.join(&id), self.repository_file(&id));
        let (for_file, for_repository_file, name) = (path.clone(), repository_file.clone(), repository.to_string());
        let made = blocking(move || {
            std::fs::write(for_repository_file, name)?;
            File::options().write(true).create_new(true).open(for_file).map(drop)
        });
        made.await.map_err(|source| RegistryError::File { path: path.clone(), source })?;
        let progress = Progress { size: 0, hash: Some(RunningHash::new(algorithm)), closed: false };
        let upload = Upload { id: id.clone(), repository: repository.clone(), path, progress: Arc::new(AsyncMutex::new(progress)) };
        let upload = Arc::new(upload);
        self.table().insert(id, upload.clone());
        Ok(Some(upload))
    }

    /// An open upload of a repository; one that an earlier process began is resumed.
    pub(crate) async fn find(&self, repository: &RepositoryName, id: &str) -> Result<Option<Arc<Upload>>, RegistryError> {
        if !is_id(id) {
            return Ok(None);
        }
        let known = self.table().get(id).cloned();
        let upload = match known {
            Some(upload) => upload,
            None => match self.recover(id).await? {
                // Another request may have resumed it at the same time: its progress counts.
                Some(upload) => self.table().entry(id.into()).or_insert_with(|| Arc::new(upload)).clone(),
                None => return Ok(None),
            },
        };
        Ok((upload.repository == *repository).then_some(upload))
    }

    async fn recover(&self, id: &str) -> Result<Option<Upload>, RegistryError> {
        let (path, repository_file) = (self.dir.join(id), self.repository_file(id));
        let for_file = path.clone();
        let read = blocking(move || Ok((std::fs::read_to_string(repository_file)?, std::fs::metadata(for_file)?.len())));
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

    /// Ends an upload whose file was published.
    pub(crate) async fn close(&self, writer: UploadWriter) {
        self.forget(writer, false).await;
    }

    /// Ends an upload and removes its file.
    pub(crate) async fn discard(&self, writer: UploadWriter) {
        self.forget(writer, true).await;
    }

    async fn forget(&self, mut writer: UploadWriter, with_bytes: bool) {
        writer.close();
        let (id, path) = (writer.id().to_owned(), writer.path().to_owned());
        let repository_file = self.repository_file(&id);
        // A file that stays behind expires later.
        let _ = blocking(move || {
            if with_bytes {
                std::fs::remove_file(path)?;
            }
            std::fs::remove_file(repository_file)
        })
        .await;
        self.table().remove(&id);
    }

    /// Ends uploads without a write since `cutoff`. Returns their number and their bytes.
    pub(crate) async fn expire(&self, cutoff: SystemTime) -> Result<(u64, u64), RegistryError> {
        let mut ended = (0, 0);
        for (id, found) in self.found().await? {
            if found.touched > cutoff {
                continue;
            }
            let known = self.table().get(&id).cloned();
            if let Some(upload) = known {
                // It is being written to.
                let Ok(mut progress) = upload.progress.clone().try_lock_owned() else { continue };
                progress.closed = true;
            }
            let (path, repository_file) = (self.dir.join(&id), self.repository_file(&id));
            let removed = blocking(move || {
                for file in [path, repository_file] {
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

    /// Bytes in the staging directory.
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
                let (id, is_repository_file) = name.split_once('.').map_or((name, false), |(id, _)| (id, true));
                let Ok(metadata) = entry.metadata() else { continue };
                if !is_id(id) {
                    continue;
                }
                let touched = metadata.modified()?;
                let found = all.entry(id.into()).or_insert(Found { touched, size: 0 });
                found.touched = found.touched.max(touched);
                found.size += if is_repository_file { 0 } else { metadata.len() };
            }
            Ok(all)
        });
        read.await.map_err(|source| RegistryError::File { path: self.dir.clone(), source })
    }

    fn repository_file(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.{REPOSITORY_FILE}"))
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
    /// Waits for exclusive access and returns the writer. `None` when the upload has ended meanwhile.
    pub(crate) async fn writer(self: &Arc<Self>) -> Result<Option<UploadWriter>, RegistryError> {
        let progress = self.progress.clone().lock_owned().await;
        if progress.closed {
            return Ok(None);
        }
        let (path, size) = (self.path.clone(), progress.size);
        let opened = blocking(move || {
            let file = File::options().append(true).open(path)?;
            // A failed write leaves bytes that do not count.
            if file.metadata()?.len() != size {
                file.set_len(size)?;
            }
            Ok(file)
        });
        match opened.await {
            Ok(file) => Ok(Some(UploadWriter::new(self.id.clone(), self.path.clone(), progress, file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(RegistryError::File { path: self.path.clone(), source }),
        }
    }

    /// The bytes that have arrived; `None` when the upload has ended.
    pub(crate) async fn size(&self) -> Option<u64> {
        let progress = self.progress.lock().await;
        (!progress.closed).then_some(progress.size)
    }
}

fn fresh_id() -> String {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).expect("the kernel always has random bytes");
    hex::encode(bytes)
}

fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The time of the last write before which an upload expires.
pub(crate) fn idle_since(now: SystemTime, idle: Duration) -> SystemTime {
    now.checked_sub(idle).unwrap_or(SystemTime::UNIX_EPOCH)
}
