//! How the allocator of this process gives memory back.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Heaps of the allocator. By default there are eight per core, and each keeps the most that was ever used in it: threads that pack a
/// slug or read a log once would hold that memory for ever.
const ARENAS: i32 = 2;
/// Larger blocks, in bytes, are mapped by themselves and given back when they are freed. Left alone, the allocator raises this bound to
/// the size of what was freed last.
const MAP_FROM: i32 = 256 * 1024;
/// How often free pages inside the heaps are given back.
const TRIM: Duration = Duration::from_secs(60);

/// Sets the allocator up; before any thread is started.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the C library has no other way in")]
pub fn set_up() {
    // SAFETY: `mallopt` may be called at any time; here no other thread runs yet.
    let set = unsafe { libc::mallopt(libc::M_ARENA_MAX, ARENAS) == 1 && libc::mallopt(libc::M_MMAP_THRESHOLD, MAP_FROM) == 1 };
    if !set {
        tracing::warn!("the allocator could not be set up: memory of past work is kept");
    }
}

/// Gives free pages back from time to time.
#[cfg(target_env = "gnu")]
pub async fn trim(stop: CancellationToken) {
    let mut tick = tokio::time::interval(TRIM);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {
                // It walks the heaps: not on a thread that others wait for.
                #[expect(unsafe_code, reason = "the C library has no other way in")]
                // SAFETY: `malloc_trim` takes the allocator's own locks and may be called from any thread.
                let trimmed = tokio::task::spawn_blocking(|| unsafe { libc::malloc_trim(0) }).await;
                tracing::debug!(given_back = trimmed.is_ok_and(|given| given == 1), "trimmed the heaps");
            }
        }
    }
}

/// Other C libraries give memory back by themselves.
#[cfg(not(target_env = "gnu"))]
pub fn set_up() {}

/// Other C libraries give memory back by themselves.
#[cfg(not(target_env = "gnu"))]
pub async fn trim(stop: CancellationToken) {
    stop.cancelled().await;
}
