//! A pushed commit of gitreceive, as the manager and the builder read it.

use std::path::Path;

use async_trait::async_trait;
use gitreceive::FileRead;
use manager::source::{Entry, EntryKind, Source, TarStream};
use model::TreeStats;

/// Largest file that is read to decide anything.
const MAX_READ: u64 = 1 << 20;

/// One commit.
pub struct Commit(pub gitreceive::CommitSource);

#[async_trait]
impl Source for Commit {
    fn tree_id(&self, folder: &str) -> Option<String> {
        logged(self.0.tree_id(Path::new(folder))).flatten()
    }

    fn list(&self, folder: &str) -> Option<Vec<Entry>> {
        let entries = logged(self.0.list(Path::new(folder))).flatten()?;
        let kind = |kind| match kind {
            gitreceive::EntryKind::File { .. } => EntryKind::File,
            gitreceive::EntryKind::Directory => EntryKind::Folder,
            gitreceive::EntryKind::Link | gitreceive::EntryKind::Submodule => EntryKind::Other,
        };
        Some(entries.into_iter().map(|entry| Entry { name: entry.name, kind: kind(entry.kind) }).collect())
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        match logged(self.0.read(Path::new(path), MAX_READ))? {
            FileRead::Bytes(bytes) => Some(bytes),
            FileRead::TooLarge { .. } | FileRead::Missing => None,
        }
    }

    fn tree_stats(&self, folder: &str) -> Option<TreeStats> {
        logged(self.0.tree_stats(Path::new(folder))).flatten()
    }

    async fn tar(&self) -> std::io::Result<TarStream> {
        let archive = self.0.archive(Path::new("")).map_err(std::io::Error::other)?;
        Ok(Box::new(Whole { archive: Some(archive), waiting: None }))
    }
}

fn logged<T>(read: Result<T, gitreceive::RepositoryError>) -> Option<T> {
    read.inspect_err(|error| tracing::error!(%error, "could not read a repository")).ok()
}

type Ended = std::pin::Pin<Box<dyn Future<Output = std::io::Result<bool>> + Send>>;

/// The tar of an archive, whose end is an end only when git says so: a stream that just stops is an error.
struct Whole {
    archive: Option<gitreceive::Archive>,
    waiting: Option<Ended>,
}

impl tokio::io::AsyncRead for Whole {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        use std::task::Poll;
        if let Some(archive) = &mut self.archive {
            let before = buffer.filled().len();
            std::task::ready!(std::pin::Pin::new(&mut archive.tar).poll_read(context, buffer))?;
            if buffer.filled().len() > before || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        if let Some(archive) = self.archive.take() {
            self.waiting = Some(Box::pin(archive.finished()));
        }
        let Some(waiting) = &mut self.waiting else { return Poll::Ready(Ok(())) };
        let whole = std::task::ready!(waiting.as_mut().poll(context));
        self.waiting = None;
        match whole {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => Poll::Ready(Err(std::io::Error::other("git archive did not finish"))),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}
