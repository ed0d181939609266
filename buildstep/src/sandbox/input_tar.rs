//! Tars on their way into a container: small ones from memory, a source through a pipe that cleans it.

use std::io::{self, Write};

use bytes::Bytes;
use tar::{Builder, EntryType, Header};
use tokio::io::{AsyncRead, DuplexStream};
use tokio_util::io::SyncIoBridge;

use crate::engine::Bytestream;
use crate::slug::source_filter::{SourceFilter, SourceSize};

/// A file of the platform in a build: path and content.
pub type PlatformFile = (&'static str, Vec<u8>);

/// A tar of one file that root owns and all may read.
pub fn one_file(path: &'static str, bytes: Vec<u8>) -> Bytestream {
    let mut builder = Builder::new(Vec::new());
    let result = add(&mut builder, &[(path, bytes)]).and_then(|()| builder.into_inner()).map(Bytes::from);
    Box::pin(futures_util::stream::iter([result]))
}

/// Files that all may read.
fn add(builder: &mut Builder<impl Write>, files: &[PlatformFile]) -> io::Result<()> {
    for (path, bytes) in files {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_entry_type(EntryType::Regular);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, path.trim_start_matches('/'), bytes.as_slice())?;
    }
    Ok(())
}

/// A tar of files of ours and of a cleaned source, and what was taken of the source once it is through.
pub fn source(
    own: Vec<PlatformFile>,
    filter: SourceFilter,
    from: impl AsyncRead + Send + Unpin + 'static,
) -> (DuplexStream, tokio::task::JoinHandle<io::Result<SourceSize>>) {
    let (near, far) = tokio::io::duplex(1 << 18);
    let copying = tokio::task::spawn_blocking(move || {
        let mut builder = Builder::new(SyncIoBridge::new(near));
        add(&mut builder, &own)?;
        let taken = filter.copy(SyncIoBridge::new(from), &mut builder)?;
        builder.into_inner()?.flush()?;
        Ok(taken)
    });
    (far, copying)
}
