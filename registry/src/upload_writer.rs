//! Writing one upload: bytes are appended in order, and hashed as they arrive.
//!
//! Must never give a digest that was not computed from the bytes of the file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::OwnedMutexGuard;

use crate::digest::{Algorithm, ContentDigest, RunningHash};
use crate::error::RegistryError;

/// How far an upload has come; locked by the one that writes.
#[derive(Default)]
pub(crate) struct Progress {
    /// Bytes that count; the file may be longer after a failed write.
    pub(crate) size: u64,
    /// The hash over `size` bytes; `None` after a restart, when the file is read again at the end.
    pub(crate) hash: Option<RunningHash>,
    /// Set when the upload has ended.
    pub(crate) closed: bool,
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").field("size", &self.size).field("closed", &self.closed).finish_non_exhaustive()
    }
}

/// The exclusive writer of one upload. Dropping it at any moment leaves the upload as after its last complete step.
pub(crate) struct UploadWriter {
    id: String,
    path: PathBuf,
    progress: OwnedMutexGuard<Progress>,
    file: File,
    /// Size and hash when this writer began.
    start: (u64, Option<RunningHash>),
}

impl UploadWriter {
    pub(crate) fn new(id: String, path: PathBuf, progress: OwnedMutexGuard<Progress>, file: File) -> Self {
        let start = (progress.size, progress.hash.clone());
        Self { id, path, progress, file, start }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Ends the upload: whoever waits to write finds it closed.
    pub(crate) fn close(&mut self) {
        self.progress.closed = true;
    }

    pub(crate) fn size(&self) -> u64 {
        self.progress.size
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds bytes at the end.
    pub(crate) async fn append(self, chunks: Vec<Bytes>) -> Result<Self, RegistryError> {
        self.step(move |writer| {
            let written = chunks.iter().try_for_each(|chunk| writer.file.write_all(chunk));
            if let Err(error) = written {
                // If this fails too, the next writer truncates the file.
                let _ = writer.file.set_len(writer.progress.size);
                return Err(error);
            }
            for chunk in &chunks {
                writer.progress.size += chunk.len() as u64;
                if let Some(hash) = &mut writer.progress.hash {
                    hash.update(chunk);
                }
            }
            Ok(())
        })
        .await
    }

    /// Removes what this writer added.
    pub(crate) async fn undo(self) -> Result<Self, RegistryError> {
        self.step(|writer| {
            (writer.progress.size, writer.progress.hash) = writer.start.clone();
            writer.file.set_len(writer.progress.size)
        })
        .await
    }

    /// The digest of the whole upload, whose bytes have reached the disk when this returns.
    pub(crate) async fn seal(self, algorithm: Algorithm) -> Result<(Self, ContentDigest), RegistryError> {
        self.step_with(move |writer| {
            let hash = match &writer.progress.hash {
                Some(hash) if hash.algorithm() == algorithm => hash.clone(),
                _ => hash_file(&writer.path, algorithm)?,
            };
            writer.file.sync_all()?;
            Ok(hash.finish())
        })
        .await
    }

    async fn step(self, work: impl FnOnce(&mut Self) -> io::Result<()> + Send + 'static) -> Result<Self, RegistryError> {
        self.step_with(work).await.map(|(writer, ())| writer)
    }

    /// Runs blocking work on a thread for it. The writer moves along, so that a caller who stops waiting breaks nothing.
    async fn step_with<T: Send + 'static>(
        mut self,
        work: impl FnOnce(&mut Self) -> io::Result<T> + Send + 'static,
    ) -> Result<(Self, T), RegistryError> {
        let path = self.path.clone();
        let done = blocking(move || {
            let result = work(&mut self)?;
            Ok((self, result))
        });
        done.await.map_err(|source| RegistryError::File { path, source })
    }
}

fn hash_file(path: &Path, algorithm: Algorithm) -> io::Result<RunningHash> {
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

/// Runs blocking work on a thread for it.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
