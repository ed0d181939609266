//! The spool: a queue of bytes whose writer never waits.
//!
//! One SSH connection is one task, and a blocked task blocks every channel in both directions. So all input of a client and all
//! output of a push goes through a spool: in memory up to a cap, above it into an unlinked file, above that an error. Once bytes
//! went to the file all later ones follow them until the file is read empty, so that order is kept. The file is read and written
//! synchronously: its blocks are in the page cache.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::Notify;

/// How much is read back from the file at once.
const READ: usize = 256 * 1024;

/// How much a spool may hold.
#[derive(Debug, Clone)]
pub struct SpoolLimits {
    /// Bytes kept in memory.
    pub memory: usize,
    /// Bytes kept in the file beyond them.
    pub disk: u64,
    /// The directory of the file, which is unlinked at once and freed with the spool.
    pub dir: Arc<Path>,
}

/// Why bytes were not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Both connection_limits are reached.
    #[error("more than {limit} bytes wait to be read")]
    Full {
        /// The sum of both connection_limits.
        limit: u64,
    },
    /// The file could not be made or written, most likely a full disk.
    #[error("the spool file can not be written")]
    File(#[source] io::Error),
}

struct State {
    memory: VecDeque<Bytes>,
    memory_bytes: usize,
    file: Option<File>,
    read_at: u64,
    write_at: u64,
    ended: bool,
    abandoned: bool,
}

struct Shared {
    limits: SpoolLimits,
    state: Mutex<State>,
    ready: Notify,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The writing end. Dropping it ends the stream.
pub struct SpoolWriter {
    shared: Arc<Shared>,
}

/// The reading end. Dropping it makes the writer discard everything.
pub struct SpoolReader {
    shared: Arc<Shared>,
}

/// Makes a spool.
pub fn spool(limits: SpoolLimits) -> (SpoolWriter, SpoolReader) {
    let state = State { memory: VecDeque::new(), memory_bytes: 0, file: None, read_at: 0, write_at: 0, ended: false, abandoned: false };
    let shared = Arc::new(Shared { limits, state: Mutex::new(state), ready: Notify::new() });
    (SpoolWriter { shared: shared.clone() }, SpoolReader { shared })
}

impl SpoolWriter {
    /// Appends bytes without waiting. Without a reader they are discarded, which is not an error.
    pub fn push(&self, bytes: Bytes) -> Result<(), SpoolError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let limits = &self.shared.limits;
        let mut state = self.shared.state();
        if state.abandoned || state.ended {
            return Ok(());
        }
        let spilling = state.write_at > state.read_at;
        if !spilling && state.memory_bytes + bytes.len() <= limits.memory {
            state.memory_bytes += bytes.len();
            state.memory.push_back(bytes);
        } else {
            if state.write_at - state.read_at + bytes.len() as u64 > limits.disk {
                return Err(SpoolError::Full { limit: limits.disk + limits.memory as u64 });
            }
            if state.file.is_none() {
                state.file = Some(unlinked_file(&limits.dir).map_err(SpoolError::File)?);
            }
            let at = state.write_at;
            let file = state.file.as_ref().expect("the file was made just above");
            file.write_all_at(&bytes, at).map_err(SpoolError::File)?;
            state.write_at += bytes.len() as u64;
        }
        drop(state);
        self.shared.ready.notify_one();
        Ok(())
    }

    /// Ends the stream.
    pub fn end(&self) {
        self.shared.state().ended = true;
        self.shared.ready.notify_one();
    }
}

impl Drop for SpoolWriter {
    fn drop(&mut self) {
        self.end();
    }
}

impl SpoolReader {
    /// The next bytes; `None` at the end. A file that can not be read back is an error, and the end.
    pub async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            let waiting = self.shared.ready.notified();
            match self.take() {
                Taken::Bytes(bytes) => return Some(bytes),
                Taken::End => return None,
                Taken::NotYet => waiting.await,
            }
        }
    }

    fn take(&self) -> Taken {
        let mut state = self.shared.state();
        if let Some(bytes) = state.memory.pop_front() {
            state.memory_bytes -= bytes.len();
            return Taken::Bytes(Ok(bytes));
        }
        let waiting = state.write_at - state.read_at;
        if waiting > 0 {
            let mut buffer = vec![0; READ.min(usize::try_from(waiting).unwrap_or(READ))];
            let at = state.read_at;
            let file = state.file.as_ref().expect("bytes that wait on disk have a file");
            if let Err(error) = file.read_exact_at(&mut buffer, at) {
                state.ended = true;
                state.read_at = state.write_at;
                return Taken::Bytes(Err(error));
            }
            state.read_at += buffer.len() as u64;
            if state.read_at == state.write_at {
                // Read empty: free the blocks, and use memory again.
                state.file = None;
                state.read_at = 0;
                state.write_at = 0;
            }
            return Taken::Bytes(Ok(buffer.into()));
        }
        if state.ended { Taken::End } else { Taken::NotYet }
    }
}

impl Drop for SpoolReader {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.abandoned = true;
        state.memory.clear();
        state.memory_bytes = 0;
        state.file = None;
        state.read_at = 0;
        state.write_at = 0;
    }
}

enum Taken {
    Bytes(io::Result<Bytes>),
    End,
    NotYet,
}

/// A private file without a name, freed with its descriptor.
fn unlinked_file(dir: &Path) -> io::Result<File> {
    let path = dir.join(format!("spool-{}", crate::random::hex::<16>()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits(dir: &Path, memory: usize, disk: u64) -> SpoolLimits {
        SpoolLimits { memory, disk, dir: dir.into() }
    }

    fn drain(reader: &mut SpoolReader) -> Vec<u8> {
        let mut all = Vec::new();
        while let Taken::Bytes(bytes) = reader.take() {
            all.extend_from_slice(&bytes.expect("the file reads back"));
        }
        all
    }

    #[test]
    fn above_both_caps_it_refuses_and_leaves_no_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let (writer, mut reader) = spool(limits(dir.path(), 4, 6));
        writer.push(Bytes::from_static(b"abcd")).expect("memory");
        writer.push(Bytes::from_static(b"efghij")).expect("disk");
        assert!(matches!(writer.push(Bytes::from_static(b"k")), Err(SpoolError::Full { limit: 10 })));
        assert_eq!(std::fs::read_dir(dir.path()).expect("the directory").count(), 0);
        assert_eq!(drain(&mut reader), b"abcdefghij");
        writer.push(Bytes::from_static(b"klm")).expect("room again");
        assert_eq!(drain(&mut reader), b"klm");
    }

    #[tokio::test]
    async fn a_reader_wakes_and_sees_the_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let (writer, mut reader) = spool(limits(dir.path(), 1, 100));
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            while let Some(bytes) = reader.next().await {
                all.extend_from_slice(&bytes.expect("the file reads back"));
            }
            all
        });
        for part in [&b"one "[..], b"two ", b"three"] {
            writer.push(Bytes::from_static(part)).expect("room");
            tokio::task::yield_now().await;
        }
        drop(writer);
        assert_eq!(reader.await.expect("the reader"), b"one two three");
    }

    #[test]
    fn without_a_reader_everything_is_thrown_away() {
        let dir = tempfile::tempdir().expect("a directory");
        let (writer, reader) = spool(limits(dir.path(), 1, 1));
        drop(reader);
        for _ in 0..10 {
            writer.push(Bytes::from_static(b"more than fits")).expect("discarded");
        }
    }

    proptest! {
        #[test]
        fn order_is_kept_across_memory_and_disk(
            steps in proptest::collection::vec(proptest::option::weighted(0.7, proptest::collection::vec(any::<u8>(), 1..40)), 1..60),
        ) {
            let dir = tempfile::tempdir().expect("a directory");
            let (writer, mut reader) = spool(limits(dir.path(), 50, 1 << 20));
            let (mut sent, mut read) = (Vec::new(), Vec::new());
            for step in steps {
                match step {
                    Some(bytes) => {
                        sent.extend_from_slice(&bytes);
                        writer.push(bytes.into()).expect("room");
                    }
                    None => if let Taken::Bytes(bytes) = reader.take() {
                        read.extend_from_slice(&bytes.expect("the file reads back"));
                    }
                }
            }
            read.extend(drain(&mut reader));
            prop_assert_eq!(sent, read);
        }
    }
}
