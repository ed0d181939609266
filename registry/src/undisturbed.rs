//! Work that goes to its end, whoever stops waiting for it.
//!
//! A caller who hangs up drops the future of their request, but not the file work it began: a removal or a rename would happen
//! after its lock was let go. So every change of what is stored runs in a task of its own.

use std::panic::resume_unwind;

/// Runs it to its end. Its panic is the caller's.
pub(crate) async fn undisturbed<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime ends; nobody reads an answer any more.
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
    async fn who_goes_away_stops_nothing() {
        let ((begun, has_begun), (go, may_go), (tell, told)) = (oneshot::channel(), oneshot::channel::<()>(), oneshot::channel());
        let work = undisturbed(async move {
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
