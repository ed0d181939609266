//! Timeouts of calls to the engine, by kind. No call waits for ever: an engine that hangs must cost a build, never the builder.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::sync::watch;

/// Calls that only read the engine's state, or rename: inspect, list, tag.
pub const QUERY: Duration = Duration::from_secs(10);
/// Calls that change something: create, start, kill, remove. A busy disk makes a removal slow.
pub const CHANGE: Duration = Duration::from_secs(30);
/// Calls that move or store gigabytes: pull, import, commit.
pub const TRANSFER: Duration = Duration::from_secs(1800);
/// How long a transfer may make no progress.
pub const STALL: Duration = Duration::from_secs(60);

/// Passes a stream on; the future ends when it made no progress for `STALL`, and never before.
pub fn stall_guard<S, E>(stream: S) -> (impl Stream<Item = Result<Bytes, E>> + Send + 'static, impl Future<Output = ()> + Send)
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: Send + 'static,
{
    let (beat, mut beats) = watch::channel(());
    let passed = stream.inspect(move |_| beat.send_replace(()));
    let stalled = async move {
        loop {
            match tokio::time::timeout(STALL, beats.changed()).await {
                Ok(Ok(())) => {}
                // The stream has ended: the answer is due.
                Ok(Err(_)) => break tokio::time::sleep(STALL).await,
                Err(_) => break,
            }
        }
    };
    (passed, stalled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_slow_stream_is_waited_for_and_a_still_one_is_not() {
        let (begun, pieces) = (Instant::now(), 10_u32);
        let slow = futures_util::stream::unfold(0, move |n| async move {
            if n == pieces {
                return std::future::pending().await;
            }
            tokio::time::sleep(STALL / 2).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), n + 1))
        });
        let (passed, stalled) = stall_guard(slow);
        let reading = tokio::spawn(passed.for_each(|_| async {}));
        stalled.await;
        assert_eq!(begun.elapsed().as_secs(), (STALL / 2 * pieces + STALL).as_secs());
        reading.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_due_when_all_is_taken() {
        let (passed, stalled) = stall_guard(futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::new())]));
        let begun = Instant::now();
        passed.for_each(|_| async {}).await;
        stalled.await;
        assert_eq!(begun.elapsed(), STALL);
    }
}
