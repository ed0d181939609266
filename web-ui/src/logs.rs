//! `Logs`: the lines of instances, for whoever keeps them to provide.

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use model::{AppEnv, ProcessName};

/// Lines as they come. It ends when the app is gone or the store stops; a slow reader misses lines, it never holds up an app.
pub type LogStream = BoxStream<'static, String>;

/// The log store of instances.
#[async_trait]
pub trait Logs: Send + Sync {
    /// The last `n` lines of an app, of all process types or of one, oldest first, across releases.
    async fn tail(&self, app: &AppEnv, n: usize, process: Option<&ProcessName>) -> Vec<String>;
    /// Lines from now on.
    fn follow(&self, app: &AppEnv, process: Option<&ProcessName>) -> LogStream;
}
