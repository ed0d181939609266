//! The end of a container: what it said last, how it ended, then its removal.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use model::Exit;
use tokio::task::JoinHandle;

use crate::runtime::{ContainerId, LogQuery, Runtime, RuntimeError};

/// Lines that are kept of a dead container.
const LINES: usize = 20;
/// Bytes of each.
const LINE_BYTES: usize = 300;
/// How long the copy of its log may take to finish.
const COPY_PATIENCE: Duration = Duration::from_secs(10);

/// Collects the evidence of an ended container, waits until its log is copied, removes it. None when it vanished before.
pub(crate) async fn remove_ended(
    runtime: Arc<dyn Runtime>,
    container: ContainerId,
    copy: Option<JoinHandle<()>>,
) -> Result<Option<Exit>, RuntimeError> {
    if let Some(mut copy) = copy
        && tokio::time::timeout(COPY_PATIENCE, &mut copy).await.is_err()
    {
        tracing::warn!(%container, "the end of a log could not be copied in time");
        copy.abort();
    }
    let exit = match runtime.inspect(&container).await {
        Ok(found) => Some(Exit {
            code: found.exit_code,
            oom: found.oom,
            at: found.finished.unwrap_or_else(chrono::Utc::now),
            last_lines: last_lines(&*runtime, &container).await,
        }),
        Err(RuntimeError::NoSuchContainer) => None,
        Err(error) => return Err(error),
    };
    runtime.remove(&container).await?;
    Ok(exit)
}

async fn last_lines(runtime: &dyn Runtime, container: &ContainerId) -> Vec<String> {
    let query = LogQuery { since: 0, tail: Some(LINES as u32), follow: false };
    let reading = runtime.logs(container, query).filter_map(async |entry| entry.ok()).collect::<Vec<_>>();
    // Its end counts more than its words.
    let entries = tokio::time::timeout(COPY_PATIENCE, reading).await.unwrap_or_default();
    let text: Vec<u8> = entries.iter().flat_map(|entry| entry.bytes.iter().copied()).collect();
    let lines: Vec<String> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(short).collect();
    lines[lines.len().saturating_sub(LINES)..].to_vec()
}

fn short(line: &[u8]) -> String {
    let mut text: String = String::from_utf8_lossy(&line[..line.len().min(LINE_BYTES)]).chars().filter(|c| !c.is_control()).collect();
    text.truncate(text.floor_char_boundary(LINE_BYTES));
    text
}
