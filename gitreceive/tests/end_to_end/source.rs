//! Reading the pushed commit while git still holds it back.

use std::path::Path;
use std::sync::{Arc, Mutex};

use gitreceive::{CommitSource, EntryKind, FileRead, PushDecision};
use tokio::io::AsyncReadExt;

use crate::harness::{TestServer, ok};

/// Path and content of a file in an archive.
type ArchivedFile = (String, Vec<u8>);

#[test]
fn a_quarantined_commit_is_read_listed_archived_and_surveyed() {
    let server = TestServer::start();
    let at = server.work("work");
    ok(server.git(&at, &["push", "-q", "paas-dev", "main"]));
    let old = server.head(&at);
    server.commit(&at, "sub/deep/b.txt", b"bee\n");
    server.commit(&at, "run.sh", b"#!/bin/sh\n");
    ok(server.git(&at, &["update-index", "--chmod=+x", "run.sh"]));
    ok(server.git(&at, &["update-index", "--add", "--cacheinfo", &format!("160000,{old},vendor/lib")]));
    std::os::unix::fs::symlink("/etc/passwd", at.join("link")).expect("a link");
    std::fs::write(at.join("movie.bin"), "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n").expect("a file");
    ok(server.git(&at, &["add", "link", "movie.bin"]));
    ok(server.git(&at, &["commit", "-q", "-m", "third\n\nbody"]));

    let found: Arc<Mutex<Vec<String>>> = Arc::default();
    let keep = found.clone();
    server.backend.on_pre(move |push, _| {
        let keep = keep.clone();
        async move {
            let old = push.change.old.clone().expect("a value before");
            let seen = look(&push.source, &old).await;
            keep.lock().expect("the record").extend(seen);
            PushDecision::Accept
        }
    });
    ok(server.git(&at, &["push", "-q", "paas-dev", "main"]));
    let tree = ok(server.git(&at, &["rev-parse", "HEAD^{tree}"])).trim().to_owned();
    let sub = ok(server.git(&at, &["rev-parse", "HEAD:sub"])).trim().to_owned();
    let found = found.lock().expect("the record").clone();
    let wanted = [
        format!("tree {tree} {sub} None"),
        "list app.txt file 6, link link 11, movie.bin file 68, run.sh exec 10, sub dir 0, vendor dir 0".into(),
        "read Ok bee, large 4, missing, link missing, dir missing".into(),
        "about third by Ann".into(),
        "log third, change run.sh, change sub/deep/b.txt".into(),
        "tree_stats 4 files, 5 with links, [\"vendor/lib\"] [\"movie.bin\"] largest movie.bin".into(),
        "archive app.txt link movie.bin run.sh sub/deep/b.txt".into(),
        "archive of sub deep/b.txt".into(),
    ];
    assert_eq!(found[..found.len()], wanted[..], "{found:#?}");
}

async fn look(source: &CommitSource, old: &gitreceive::CommitId) -> Vec<String> {
    let at = |path: &'static str| Path::new(path);
    let mut seen = Vec::new();
    let tree = |path| source.tree_id(at(path)).expect("a tree");
    seen.push(format!("tree {} {} {:?}", tree("").expect("the root"), tree("sub").expect("a directory"), tree("nosuch")));
    let entries = source.list(at("")).expect("a list").expect("the root");
    let shown: Vec<String> = entries
        .iter()
        .map(|entry| {
            let kind = match entry.kind {
                EntryKind::File { executable: true } => "exec",
                EntryKind::File { executable: false } => "file",
                EntryKind::Directory => "dir",
                EntryKind::Link => "link",
                EntryKind::Submodule => "module",
            };
            format!("{} {kind} {}", entry.name, entry.size)
        })
        .collect();
    seen.push(format!("list {}", shown.join(", ")));
    let read = |path, cap| match source.read(at(path), cap).expect("a file") {
        FileRead::Bytes(bytes) => format!("Ok {}", String::from_utf8_lossy(&bytes).trim()),
        FileRead::TooLarge { size } => format!("large {size}"),
        FileRead::Missing => "missing".into(),
    };
    seen.push(format!(
        "read {}, {}, {}, link {}, dir {}",
        read("sub/deep/b.txt", 100),
        read("sub/deep/b.txt", 3),
        read("nosuch", 100),
        read("link", 100),
        read("sub", 100)
    ));
    let about = source.about().expect("the commit");
    seen.push(format!("about {} by {}", about.subject, about.author));
    let log = source.log(Some(old), 10).expect("history");
    seen.push(format!("log {}", log.iter().map(|line| line.subject.as_str()).collect::<Vec<_>>().join(", ")));
    let tree_stats = source.tree_stats(at("")).expect("a tree_stats").expect("the root");
    seen.push(format!(
        "tree_stats {} files, {} with links, {:?} {:?} largest {}",
        tree_stats.files - 1,
        tree_stats.files,
        tree_stats.submodules,
        tree_stats.lfs_pointers,
        tree_stats.largest[0].0
    ));
    seen.push(format!("archive {}", names(source, at("")).await));
    seen.push(format!("archive of sub {}", names(source, at("sub")).await));
    seen
}

#[test]
fn attributes_of_the_pushed_tree_are_ignored() {
    let server = TestServer::start();
    let at = server.work("work");
    let subst = "$Format:%B$\n".repeat(3_000);
    server.commit(&at, "VERSION", subst.as_bytes());
    server.commit(&at, "tests/data.txt", b"data\n");
    server.commit(&at, "run.sh", b"exec python app.py\n");
    server.commit(&at, "ident.txt", b"$Id$\n");
    let attributes = "tests export-ignore\napp.txt export-ignore\n*.sh text eol=crlf\nVERSION export-subst\nident.txt ident\n";
    let attributes = format!("{attributes}*.txt working-tree-encoding=UTF-16\n");
    // Into the index alone: in the working copy they would convert the files that are committed.
    std::fs::write(server.dir.path().join("attributes"), attributes).expect("a file");
    let blob = ok(server.git(&at, &["hash-object", "-w", "../attributes"]));
    ok(server.git(&at, &["update-index", "--add", "--cacheinfo", &format!("100644,{},.gitattributes", blob.trim())]));
    std::fs::write(server.dir.path().join("message"), "x".repeat(1_000_000)).expect("a file");
    ok(server.git(&at, &["commit", "-q", "-F", "../message"]));
    let found: Arc<Mutex<Vec<ArchivedFile>>> = Arc::default();
    let keep = found.clone();
    server.backend.on_pre(move |push, _| {
        let keep = keep.clone();
        async move {
            *keep.lock().expect("the record") = files(&push.source, Path::new("")).await;
            PushDecision::Accept
        }
    });
    ok(server.git(&at, &["push", "-q", "paas-dev", "main"]));
    let found = found.lock().expect("the record").clone();
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [".gitattributes", "VERSION", "app.txt", "ident.txt", "run.sh", "tests/data.txt"]);
    for (name, bytes) in &found {
        let committed = server.git(&at, &["cat-file", "blob", &format!("HEAD:{name}")]).output().expect("git runs");
        assert!(*bytes == committed.stdout, "{name} has {} bytes, {} were committed", bytes.len(), committed.stdout.len());
    }
}

/// The files of an archive, in its order.
async fn names(source: &CommitSource, root: &Path) -> String {
    files(source, root).await.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" ")
}

/// Names and contents of an archive's files, read from the headers of its 512-byte blocks.
async fn files(source: &CommitSource, root: &Path) -> Vec<ArchivedFile> {
    let mut archive = source.archive(root).expect("an archive");
    let mut tar = Vec::new();
    archive.tar.read_to_end(&mut tar).await.expect("the tar");
    assert!(archive.finished().await.expect("git"), "git archive failed");
    let mut files = Vec::new();
    let mut at = 0;
    while at + 512 <= tar.len() && tar[at] != 0 {
        let text = |from: usize, to: usize| String::from_utf8_lossy(&tar[at + from..at + to]).trim_end_matches('\0').to_owned();
        let size = usize::from_str_radix(text(124, 135).trim(), 8).expect("a size");
        if matches!(tar[at + 156], b'0' | b'2') {
            files.push((text(0, 100), tar[at + 512..at + 512 + size].to_vec()));
        }
        at += 512 + size.div_ceil(512) * 512;
    }
    files
}
