//! Logs on real files.

use futures_util::StreamExt;
use model::Time;

use super::*;

fn app() -> AppEnv {
    "acme/shop/dev".parse().expect("an app")
}

fn line(n: usize) -> Line {
    let source = Source::Process { process: "web".parse().expect("a process"), ordinal: 1 };
    Line { at: Time::from_timestamp_millis(n as i64).expect("a time"), source, text: format!("line {n}") }
}

#[test]
fn lines_read_back_across_rotation_and_old_files_go() {
    let dir = tempfile::tempdir().expect("a directory");
    let logs = LogStore::new(dir.path(), Limits { file_bytes: 1000, files: 2 });
    for n in 0..100 {
        logs.app(&app()).append(&[line(n)]);
    }
    let last = logs.tail(&app(), 40, &Filter::default());
    assert_eq!(last, (60..100).map(line).collect::<Vec<_>>());
    let files = std::fs::read_dir(dir.path().join("acme/shop/dev")).expect("a directory").count();
    assert_eq!(files, 3);
    let again = LogStore::new(dir.path(), Limits { file_bytes: 1000, files: 2 });
    assert_eq!(again.tail(&app(), 1, &Filter::default()), [line(99)]);
}

#[test]
fn filters_take_what_they_say() {
    let dir = tempfile::tempdir().expect("a directory");
    let logs = LogStore::new(dir.path(), Limits::default());
    logs.app(&app()).append(&[line(1), line(2)]);
    logs.say(&app(), "web.1 is healthy");
    let texts = |filter: Filter| logs.tail(&app(), 10, &filter).into_iter().map(|line| line.text).collect::<Vec<_>>();
    assert_eq!(texts(Filter { platform_only: true, ..Filter::default() }), ["web.1 is healthy"]);
    assert_eq!(texts(Filter { process: Some("web".parse().expect("a process")), ..Filter::default() }), ["line 1", "line 2"]);
    assert_eq!(texts(Filter { text: Some("2".into()), ..Filter::default() }), ["line 2"]);
    assert_eq!(texts(Filter { ordinal: Some(2), ..Filter::default() }), Vec::<String>::new());
}

#[tokio::test]
async fn a_follower_gets_the_tail_and_then_each_line_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let logs = LogStore::new(dir.path(), Limits::default());
    logs.app(&app()).append(&[line(1), line(2), line(3)]);
    let mut stream = logs.follow(&app(), 2, Filter::default());
    logs.app(&app()).append(&[line(4)]);
    let mut got = Vec::new();
    for _ in 0..3 {
        got.push(stream.next().await.expect("a line"));
    }
    assert_eq!(got, [line(2), line(3), line(4)]);
}

#[test]
fn bytes_become_one_valid_capped_line() {
    let source = Source::Platform;
    let long = vec![b'x'; 20_000];
    assert_eq!(Line::of_bytes(Time::UNIX_EPOCH, source.clone(), &long, true).text.len(), LINE_MAX + " … [cut]".len());
    let line = Line::of_bytes(Time::UNIX_EPOCH, source, b"a\rb\xff\0c", false);
    assert_eq!(line.text, "ab\u{fffd}c");
    assert_eq!(Line::parse(&line.to_string()), Some(line));
}
