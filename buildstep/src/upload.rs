//! Tars on their way into a container: small ones from memory, a source through a pipe that cleans it.

use std::io;

use bytes::Bytes;
use tar::{Builder, EntryType, Header};
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, SyncIoBridge};

use crate::engine::Bytestream;
use crate::intake::{Intake, Taken};

/// A tar of one file that root owns and all may read.
pub fn one_file(path: &str, bytes: Vec<u8>) -> Bytestream {
    files(&[(path, &bytes, 0o644)])
}

/// A tar of files that root owns, with their folders.
pub fn files(files: &[(&str, &[u8], u32)]) -> Bytestream {
    let mut builder = Builder::new(Vec::new());
    let mut written = || -> io::Result<()> {
        for (path, bytes, mode) in files {
            let mut header = Header::new_gnu();
            header.set_mode(*mode);
            header.set_entry_type(EntryType::Regular);
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, *bytes)?;
        }
        builder.finish()
    };
    let result = written().and_then(|()| builder.into_inner()).map(Bytes::from);
    Box::pin(futures_util::stream::iter([result]))
}

/// A cleaned tar of a source, and what was taken once it is through.
pub fn source(intake: Intake, from: impl AsyncRead + Send + Unpin + 'static) -> (Bytestream, tokio::task::JoinHandle<io::Result<Taken>>) {
    let (near, far) = tokio::io::duplex(1 << 18);
    let copying = tokio::task::spawn_blocking(move || intake.copy(SyncIoBridge::new(from), SyncIoBridge::new(near)));
    (Box::pin(ReaderStream::with_capacity(far, 1 << 17)), copying)
}
