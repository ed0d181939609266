//! Read access to one commit, also while it is still in quarantine.
//!
//! Reads blobs and trees in process through libgit2, and streams the whole tree through `git archive`. It never writes, never
//! checks anything out on this machine, and never follows a symbolic link of the tree. Its methods block for well under a
//! millisecond on a warm cache; they are meant for `spawn_blocking` or for short use in between.

use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid, Repository as Bare, Tree};
use tokio::process::{ChildStderr, ChildStdout};

use crate::git::process::Git;
use crate::git::quarantine::Quarantine;
use crate::git::refs::CommitId;
use crate::git::repositories::{RepositoryError, open};

/// One commit of one repository.
#[derive(Debug, Clone)]
pub struct CommitSource {
    git: Git,
    repository: PathBuf,
    quarantine: Option<Quarantine>,
    commit: CommitId,
}

/// Id, author, subject and time of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitLine {
    /// Its object name.
    pub id: CommitId,
    /// The first line of its message.
    pub subject: String,
    /// The author's name.
    pub author: String,
    /// The author's address.
    pub email: String,
    /// When it was committed, in seconds since 1970.
    pub time: i64,
}

/// The kind of a directory's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Whether its mode has the executable bits.
        executable: bool,
    },
    /// A tree of its own.
    Directory,
    /// A symbolic link, which is never followed.
    Link,
    /// A submodule: a commit of another repository.
    Submodule,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name; bytes that are not UTF-8 become replacement characters.
    pub name: String,
    /// File, directory, link or submodule.
    pub kind: EntryKind,
    /// Size of a file, in bytes.
    pub size: u64,
}

/// The result of reading a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileRead {
    /// The whole content.
    Bytes(Vec<u8>),
    /// It is larger than the cap.
    TooLarge {
        /// Its size in bytes.
        size: u64,
    },
    /// There is no such file, or it is a directory, a link or a submodule.
    Missing,
}

/// A running `git archive`; ended when dropped.
#[derive(Debug)]
pub struct Archive {
    /// The tar stream.
    pub tar: ChildStdout,
    /// git's error output; read it only after the end of the tar.
    pub stderr: ChildStderr,
    child: tokio::process::Child,
}

impl Archive {
    /// Whether git sent everything. Call it at the end of the tar: a stream that just stops is not an archive.
    pub async fn finished(mut self) -> std::io::Result<bool> {
        Ok(self.child.wait().await?.success())
    }
}

impl CommitSource {
    pub(crate) fn new(git: Git, repository: PathBuf, quarantine: Option<Quarantine>, commit: CommitId) -> Self {
        Self { git, repository, quarantine, commit }
    }

    /// A commit that is already accepted, for a build that starts without a push.
    pub fn accepted(git: Git, repository: PathBuf, commit: CommitId) -> Self {
        Self::new(git, repository, None, commit)
    }

    /// The object name of the commit.
    pub fn commit(&self) -> &CommitId {
        &self.commit
    }

    /// The tree under `root` as an object name: equal trees are equal sources. `None` when the commit has no such directory.
    pub fn tree_id(&self, root: &Path) -> Result<Option<String>, RepositoryError> {
        let bare = self.open()?;
        Ok(self.tree(&bare, root)?.map(|tree| tree.id().to_string()))
    }

    /// The entries of a directory, in git's order. `None` when there is no such directory.
    pub fn list(&self, dir: &Path) -> Result<Option<Vec<Entry>>, RepositoryError> {
        let bare = self.open()?;
        let Some(tree) = self.tree(&bare, dir)? else { return Ok(None) };
        let odb = bare.odb().map_err(RepositoryError::git("objects"))?;
        let entries = tree.iter().map(|entry| {
            let kind = kind(entry.filemode());
            let size = match kind {
                EntryKind::File { .. } | EntryKind::Link => odb.read_header(entry.id()).map_or(0, |(size, _)| size as u64),
                EntryKind::Directory | EntryKind::Submodule => 0,
            };
            Entry { name: String::from_utf8_lossy(entry.name_bytes()).into_owned(), kind, size }
        });
        Ok(Some(entries.collect()))
    }

    /// One file of at most `cap` bytes.
    pub fn read(&self, path: &Path, cap: u64) -> Result<FileRead, RepositoryError> {
        let bare = self.open()?;
        let Some(root) = self.tree(&bare, Path::new(""))? else { return Ok(FileRead::Missing) };
        let Ok(entry) = root.get_path(path) else { return Ok(FileRead::Missing) };
        if !matches!(kind(entry.filemode()), EntryKind::File { .. }) {
            return Ok(FileRead::Missing);
        }
        let odb = bare.odb().map_err(RepositoryError::git("objects"))?;
        let (size, _) = odb.read_header(entry.id()).map_err(RepositoryError::git("a file"))?;
        if size as u64 > cap {
            return Ok(FileRead::TooLarge { size: size as u64 });
        }
        let blob = bare.find_blob(entry.id()).map_err(RepositoryError::git("a file"))?;
        Ok(FileRead::Bytes(blob.content().to_vec()))
    }

    /// Author, subject and time of the commit.
    pub fn about(&self) -> Result<CommitLine, RepositoryError> {
        let bare = self.open()?;
        let commit = bare.find_commit(oid(&self.commit)?).map_err(RepositoryError::git("the commit"))?;
        Ok(line(&commit))
    }

    /// The commits that `self` has and `since` has not, newest first, at most `most`.
    pub fn log(&self, since: Option<&CommitId>, most: usize) -> Result<Vec<CommitLine>, RepositoryError> {
        let bare = self.open()?;
        let mut walk = bare.revwalk().map_err(RepositoryError::git("history"))?;
        walk.set_sorting(git2::Sort::TOPOLOGICAL | git2::Sort::TIME).map_err(RepositoryError::git("history"))?;
        walk.push(oid(&self.commit)?).map_err(RepositoryError::git("history"))?;
        if let Some(since) = since {
            walk.hide(oid(since)?).map_err(RepositoryError::git("history"))?;
        }
        let mut lines = Vec::new();
        for id in walk.take(most) {
            let id = id.map_err(RepositoryError::git("history"))?;
            lines.push(line(&bare.find_commit(id).map_err(RepositoryError::git("history"))?));
        }
        Ok(lines)
    }

    /// Whether the commit has `old` in its history; when not, a push from `old` to it was forced.
    pub fn follows(&self, old: &CommitId) -> Result<bool, RepositoryError> {
        let (new, old) = (oid(&self.commit)?, oid(old)?);
        let bare = self.open()?;
        if bare.find_commit(old).is_err() {
            return Ok(false);
        }
        Ok(new == old || bare.graph_descendant_of(new, old).map_err(RepositoryError::git("history"))?)
    }

    /// Whether an object is there.
    pub(crate) fn has(&self, id: &str) -> Result<bool, RepositoryError> {
        let Ok(id) = git2::Oid::from_str(id) else { return Ok(false) };
        Ok(self.open()?.odb().map_err(RepositoryError::git("objects"))?.exists(id))
    }

    /// Whether the repository has the commit's whole history; `false` for a push out of a shallow clone.
    pub(crate) fn is_complete(&self) -> Result<bool, RepositoryError> {
        let bare = self.open()?;
        let mut walk = bare.revwalk().map_err(RepositoryError::git("history"))?;
        walk.push(oid(&self.commit)?).map_err(RepositoryError::git("history"))?;
        // Every commit that an environment has is complete already.
        walk.hide_glob("refs/namespaces/*").map_err(RepositoryError::git("history"))?;
        for id in walk {
            match id {
                Err(error) if error.code() == git2::ErrorCode::NotFound => return Ok(false),
                other => other.map_err(RepositoryError::git("history"))?,
            };
        }
        Ok(true)
    }

    /// Streams the tree under `root` as tar, every file as it was committed: the attributes of the tree are ignored. Submodules
    /// and the contents behind LFS pointers are not part of it. Entries of the whole commit carry its time.
    pub fn archive(&self, root: &Path) -> Result<Archive, RepositoryError> {
        let file = |source| RepositoryError::File { path: self.repository.clone(), source };
        let what = if root.as_os_str().is_empty() || root == Path::new(".") {
            self.commit.to_string()
        } else {
            let missing = || file(std::io::Error::new(std::io::ErrorKind::NotFound, "no such directory in the commit"));
            self.tree_id(root)?.ok_or_else(missing)?
        };
        let mut child = self
            .git
            .over(&self.repository, self.quarantine.as_ref())
            .args(["archive", "--format=tar", &what])
            .kill_on_drop(true)
            .spawn()
            .map_err(file)?;
        self.git.limit(&child).map_err(file)?;
        let tar = child.stdout.take().expect("stdout was asked for as a pipe");
        let stderr = child.stderr.take().expect("stderr was asked for as a pipe");
        Ok(Archive { tar, stderr, child })
    }

    /// Opens the repository with the quarantined objects as an alternate.
    pub(crate) fn open(&self) -> Result<Bare, RepositoryError> {
        let bare = open(&self.repository)?;
        if let Some(quarantine) = &self.quarantine {
            let odb = bare.odb().map_err(RepositoryError::git("objects"))?;
            let path = quarantine
                .objects
                .to_str()
                .ok_or_else(|| RepositoryError::git("objects")(git2::Error::from_str("the quarantine path is not UTF-8")))?;
            odb.add_disk_alternate(path).map_err(RepositoryError::git("quarantined objects"))?;
        }
        Ok(bare)
    }

    pub(crate) fn tree<'a>(&self, bare: &'a Bare, dir: &Path) -> Result<Option<Tree<'a>>, RepositoryError> {
        let commit = bare.find_commit(oid(&self.commit)?).map_err(RepositoryError::git("the commit"))?;
        let root = commit.tree().map_err(RepositoryError::git("the tree"))?;
        if dir.as_os_str().is_empty() || dir == Path::new(".") {
            return Ok(Some(root));
        }
        match root.get_path(dir) {
            Ok(entry) if entry.kind() == Some(ObjectType::Tree) => {
                bare.find_tree(entry.id()).map(Some).map_err(RepositoryError::git("a directory"))
            }
            _ => Ok(None),
        }
    }
}

pub(crate) fn kind(mode: i32) -> EntryKind {
    match mode {
        0o040000 => EntryKind::Directory,
        0o120000 => EntryKind::Link,
        0o160000 => EntryKind::Submodule,
        _ => EntryKind::File { executable: mode & 0o111 != 0 },
    }
}

fn oid(id: &CommitId) -> Result<Oid, RepositoryError> {
    Oid::from_str(id.as_str()).map_err(RepositoryError::git("an object name"))
}

fn line(commit: &git2::Commit<'_>) -> CommitLine {
    let clean = |bytes: &[u8], most: usize| -> String {
        String::from_utf8_lossy(bytes)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(most)
            .collect::<String>()
            .trim()
            .to_owned()
    };
    let author = commit.author();
    CommitLine {
        id: CommitId::new(&commit.id().to_string()).expect("libgit2 writes object names as hex digits"),
        subject: clean(commit.message_bytes().split(|b| *b == b'\n').find(|l| !l.is_empty()).unwrap_or_default(), 200),
        author: clean(author.name_bytes(), 100),
        email: clean(author.email_bytes(), 200),
        time: commit.time().seconds(),
    }
}
