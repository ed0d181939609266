//! The logs of this host's instances, as the HTTP side asks for them.

use futures_util::StreamExt;
use model::{AppEnv, ProcessName};
use slugrunner::{LogFilter, LogLine, LogStore};
use web_ui::{LogStream, Logs};

/// Over the supervisor's log store.
pub struct InstanceLogs(pub LogStore);

fn filter(process: Option<&ProcessName>) -> LogFilter {
    LogFilter { process: process.cloned(), ..LogFilter::default() }
}

/// A line as it is shown: what an app prints reaches the terminals of people, so of its sequences only colours stay. A return
/// in it writes over the app's own words, never over who said them.
fn shown(line: LogLine) -> String {
    let text = model::clean::line(&line.text);
    LogLine { text, ..line }.to_string()
}

#[async_trait::async_trait]
impl Logs for InstanceLogs {
    async fn tail(&self, app: &AppEnv, n: usize, process: Option<&ProcessName>) -> Vec<String> {
        let (store, app, filter) = (self.0.clone(), app.clone(), filter(process));
        // Files are read.
        let lines = tokio::task::spawn_blocking(move || store.tail(&app, n, &filter)).await.unwrap_or_default();
        lines.into_iter().map(shown).collect()
    }

    fn follow(&self, app: &AppEnv, process: Option<&ProcessName>) -> LogStream {
        self.0.follow(app, 0, filter(process)).map(shown).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_does_not_steer_the_terminal_of_its_reader() {
        let at = chrono::DateTime::UNIX_EPOCH;
        let source = slugrunner::logs::LogSource::Process { process: ProcessName::web(), ordinal: 1 };
        let line = LogLine { at, source, text: "\x1b]0;owned\x07a\x08\u{9b}2J\x1b[31mred".into() };
        assert_eq!(shown(line), "1970-01-01T00:00:00.000Z web.1 a2J\x1b[31mred\x1b[0m");
    }
}
