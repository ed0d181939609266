//! Detached work: runs to its end, even when its caller stops waiting for it.
//!
//! A client that disconnects drops the future of its request, but not the file work that it began: a removal or a rename would
//! happen after its lock was released. So every change of what is stored runs in a task of its own.

use std::panic::resume_unwind;

/// Runs `work` to its end in a task. A panic in it continues in the caller.
pub(crate) async fn detached<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime shuts down: there is no caller to answer any more.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_dropped_caller_stops_nothing() {
        let ((begun, has_begun), (go, may_go), (tell, told)) = (oneshot::channel(), oneshot::channel::<()>(), oneshot::channel());
        let work = detached(async move {
            begun.send(()).expect("somebody waits");
            may_go.await.expect("a sign");
            tell.send(()).expect("somebody waits");
        });
        tokio::select! {
            () = work => panic!("it can not be done yet"),
            begun = has_begun => begun.expect("begun"),
        }
        go.send(()).expect("it still waits");
        tokio::time::timeout(Duration::from_secs(5), told).await.expect("done within 5 s").expect("done");
    }
}
