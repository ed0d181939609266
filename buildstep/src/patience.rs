//! How long the engine may take, by what it is asked for. No call waits for ever: an engine that hangs must cost a build, never
//! the builder.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::sync::watch;

/// What it knows by heart: inspect, list, tag.
pub const ASK: Duration = Duration::from_secs(10);
/// What it has to do something for: create, start, kill, remove. A busy disk makes a removal slow.
pub const ACT: Duration = Duration::from_secs(30);
/// What moves or stores gigabytes: pull, import, commit.
pub const MOVE: Duration = Duration::from_secs(1800);
/// How long bytes may stand still while they move.
pub const STALL: Duration = Duration::from_secs(60);

/// Passes a stream on, and tells when it has stood still for too long: the future ends then, and never before.
pub fn moving<S, E>(stream: S) -> (impl Stream<Item = Result<Bytes, E>> + Send + 'static, impl Future<Output = ()> + Send)
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
                // All of it is taken: now the answer is due.
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
        let (passed, stalled) = moving(slow);
        let reading = tokio::spawn(passed.for_each(|_| async {}));
        stalled.await;
        assert_eq!(begun.elapsed().as_secs(), (STALL / 2 * pieces + STALL).as_secs());
        reading.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_due_when_all_is_taken() {
        let (passed, stalled) = moving(futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::new())]));
        let begun = Instant::now();
        passed.for_each(|_| async {}).await;
        stalled.await;
        assert_eq!(begun.elapsed(), STALL);
    }
}
