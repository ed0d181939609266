//! Logs on real files.

use futures_util::StreamExt;
use model::Time;

use super::*;

fn app() -> AppEnv {
    "acme/shop/dev".parse().expect("an app")
}

fn line(n: usize) -> LogLine {
    let source = LogSource::Process { process: "web".parse().expect("a process"), ordinal: 1 };
    LogLine { at: Time::from_timestamp_millis(n as i64).expect("a time"), source, text: format!("line {n}") }
}

#[test]
fn lines_read_back_across_rotation_and_old_files_go() {
    let dir = tempfile::tempdir().expect("a directory");
    let logs = LogStore::new(dir.path(), LogLimits { file_bytes: 1000, files: 2 });
    for n in 0..100 {
        logs.app(&app()).append(&[line(n)]);
    }
    let last = logs.tail(&app(), 40, &LogFilter::default());
    assert_eq!(last, (60..100).map(line).collect::<Vec<_>>());
    let files = std::fs::read_dir(dir.path().join("acme/shop/dev")).expect("a directory").count();
    assert_eq!(files, 3);
    let again = LogStore::new(dir.path(), LogLimits { file_bytes: 1000, files: 2 });
    assert_eq!(again.tail(&app(), 1, &LogFilter::default()), [line(99)]);
}

#[test]
fn filters_take_what_they_say() {
    let dir = tempfile::tempdir().expect("a directory");
    let logs = LogStore::new(dir.path(), LogLimits::default());
    logs.app(&app()).append(&[line(1), line(2)]);
    logs.append_platform(&app(), "web.1 is healthy");
    let texts = |filter: LogFilter| logs.tail(&app(), 10, &filter).into_iter().map(|line| line.text).collect::<Vec<_>>();
    assert_eq!(texts(LogFilter { platform_only: true, ..LogFilter::default() }), ["web.1 is healthy"]);
    assert_eq!(texts(LogFilter { process: Some("web".parse().expect("a process")), ..LogFilter::default() }), ["line 1", "line 2"]);
    assert_eq!(texts(LogFilter { text: Some("2".into()), ..LogFilter::default() }), ["line 2"]);
    assert_eq!(texts(LogFilter { ordinal: Some(2), ..LogFilter::default() }), Vec::<String>::new());
}

#[tokio::test]
async fn a_follower_gets_the_tail_and_then_each_line_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let logs = LogStore::new(dir.path(), LogLimits::default());
    logs.app(&app()).append(&[line(1), line(2), line(3)]);
    let mut stream = logs.follow(&app(), 2, LogFilter::default());
    logs.app(&app()).append(&[line(4)]);
    let mut got = Vec::new();
    for _ in 0..3 {
        got.push(stream.next().await.expect("a line"));
    }
    assert_eq!(got, [line(2), line(3), line(4)]);
}

#[test]
fn bytes_become_one_valid_capped_line() {
    let source = LogSource::Platform;
    let long = vec![b'x'; 20_000];
    assert_eq!(LogLine::of_bytes(Time::UNIX_EPOCH, source.clone(), &long, true).text.len(), LINE_MAX + " … [cut]".len());
    let line = LogLine::of_bytes(Time::UNIX_EPOCH, source, b"a\rb\xff\0c", false);
    assert_eq!(line.text, "ab\u{fffd}c");
    assert_eq!(LogLine::parse(&line.to_string()), Some(line));
}

#[test]
fn a_tail_reads_no_more_of_a_file_than_its_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let logs = LogStore::new(dir.path(), LogLimits { file_bytes: u64::MAX, files: 1 });
    logs.app(&app()).append(&[line(1)]);
    // A hole that no memory holds.
    let file = std::fs::File::options().write(true).open(dir.path().join("acme/shop/dev/log")).expect("the file");
    file.set_len(1 << 40).expect("a sparse file");
    logs.app(&app()).append(&[line(2), line(3), line(4)]);
    assert_eq!(logs.tail(&app(), 2, &LogFilter::default()), [line(3), line(4)]);
}

#[test]
fn lines_across_the_blocks_of_a_file_are_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let logs = LogStore::new(dir.path(), LogLimits::default());
    let long = |n: usize| LogLine { text: format!("{n} {}", "é".repeat(n % 5_000)), ..line(n) };
    let lines: Vec<LogLine> = (0..3_000).map(|n| long(n * 7)).collect();
    for batch in lines.chunks(50) {
        logs.app(&app()).append(batch);
    }
    assert!(std::fs::metadata(dir.path().join("acme/shop/dev/log")).expect("the file").len() > 2 << 20);
    assert_eq!(logs.tail(&app(), 700, &LogFilter::default()), lines[2_300..]);
    assert_eq!(logs.tail(&app(), 10_000, &LogFilter::default()).last(), lines.last());
}
