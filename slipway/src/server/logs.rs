//! The logs of this host's instances, as the HTTP side asks for them.

use futures_util::StreamExt;
use model::{AppEnv, ProcessName};
use slugrunner::{Filter, LogStore};
use web_ui::{LogStream, Logs};

/// Over the supervisor's log store.
pub struct InstanceLogs(pub LogStore);

fn filter(process: Option<&ProcessName>) -> Filter {
    Filter { process: process.cloned(), ..Filter::default() }
}

#[async_trait::async_trait]
impl Logs for InstanceLogs {
    async fn tail(&self, app: &AppEnv, n: usize, process: Option<&ProcessName>) -> Vec<String> {
        let (store, app, filter) = (self.0.clone(), app.clone(), filter(process));
        // Files are read.
        let lines = tokio::task::spawn_blocking(move || store.tail(&app, n, &filter)).await.unwrap_or_default();
        lines.iter().map(ToString::to_string).collect()
    }

    fn follow(&self, app: &AppEnv, process: Option<&ProcessName>) -> LogStream {
        self.0.follow(app, 0, filter(process)).map(|line| line.to_string()).boxed()
    }
}
