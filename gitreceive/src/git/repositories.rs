//! The bare repositories: one per app, with one ref namespace per environment and a configuration written by the server.
//!
//! A new repository is renamed into place when it is complete. Its `config` and `info/attributes` are compared on every use and
//! restored when they differ: nothing that a push brings can change how git treats it.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use git2::{Repository as Bare, RepositoryOpenFlags};
use model::{AppEnv, AppRef, EnvName};

use crate::git::refs::{BranchName, CommitId};
use crate::random;

/// Why a repository can not be used.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// A file or directory of it can not be made or read.
    #[error("the repository {} can not be made or read", .path.display())]
    File {
        /// The directory of the repository.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// libgit2 can not read an object or a ref.
    #[error("git could not read {} from the repository", .what)]
    Git {
        /// The object or ref, as in "the commit".
        what: &'static str,
        /// The error of libgit2.
        #[source]
        source: git2::Error,
    },
}

impl RepositoryError {
    pub(crate) fn git(what: &'static str) -> impl FnOnce(git2::Error) -> Self {
        move |source| Self::Git { what, source }
    }
}

/// The attributes of every repository, which go over those of a pushed tree: an archive holds each file as it was committed. Else
/// `export-subst` expands a few bytes into gigabytes, and `export-ignore` drops files that the builder has seen in the tree.
const ATTRIBUTES: &str = "* !export-ignore !export-subst !text !crlf !eol !ident !filter !working-tree-encoding\n";

/// All repositories of this server.
#[derive(Debug, Clone)]
pub struct Repositories {
    root: PathBuf,
    config: String,
}

impl Repositories {
    /// Repositories under `root`, whose hooks live in `hooks`; a push may bring at most `max_pack` bytes.
    pub fn new(root: PathBuf, hooks: &Path, max_pack: u64) -> Self {
        Self { config: config(hooks, max_pack), root }
    }

    /// The directory of an app's repository, whether it exists or not.
    pub fn path(&self, app: &AppRef) -> PathBuf {
        self.root.join(app.tenant.as_str()).join(format!("{}.git", app.app))
    }

    /// Whether anything was ever pushed to the app.
    pub fn exists(&self, app: &AppRef) -> bool {
        self.path(app).is_dir()
    }

    /// The repository of an app, made when it is missing.
    pub fn ensure(&self, app: &AppRef) -> Result<PathBuf, RepositoryError> {
        let path = self.path(app);
        let file = |source| RepositoryError::File { path: path.clone(), source };
        let tenant = self.root.join(app.tenant.as_str());
        private_dirs(&tenant).map_err(file)?;
        if !path.is_dir() {
            let aside = tenant.join(format!(".{}-{}.new", app.app, random::hex::<8>()));
            let made = self.lay_out(&aside).and_then(|()| std::fs::rename(&aside, &path)).and_then(|()| File::open(&tenant)?.sync_all());
            if let Err(error) = made {
                // Another push may have made it at the same moment; either way this copy is not needed.
                let _ = std::fs::remove_dir_all(&aside);
                if !path.is_dir() {
                    return Err(file(error));
                }
            }
        }
        private_dirs(&path.join("info")).map_err(file)?;
        for (name, text) in [("config", self.config.as_str()), ("info/attributes", ATTRIBUTES)] {
            let at = path.join(name);
            if std::fs::read_to_string(&at).ok().as_deref() != Some(text) {
                write_atomically(&at, text).map_err(file)?;
            }
        }
        Ok(path)
    }

    /// Removes the repository of an app with all its history. Not an error when there is none.
    pub fn remove(&self, app: &AppRef) -> Result<(), RepositoryError> {
        let path = self.path(app);
        let aside = path.with_file_name(format!(".{}-{}.gone", app.app, random::hex::<8>()));
        let removed = match std::fs::rename(&path, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => std::fs::remove_dir_all(&aside),
        };
        removed.map_err(|source| RepositoryError::File { path, source })
    }

    /// The refs of one environment, as they are now.
    pub fn refs(&self, app: &AppEnv) -> EnvRefs {
        EnvRefs { repository: self.path(&app.app_ref()), env: app.env.clone() }
    }

    /// How many packs the repository of an app has.
    pub(crate) fn packs(&self, app: &AppRef) -> usize {
        let packs = std::fs::read_dir(self.path(app).join("objects/pack"));
        packs.map_or(0, |entries| entries.flatten().filter(|e| e.path().extension().is_some_and(|ext| ext == "pack")).count())
    }

    /// Removes the quarantines that a killed git left behind. Only while no push to this app runs.
    pub(crate) fn sweep(&self, app: &AppRef) {
        let Ok(entries) = std::fs::read_dir(self.path(app).join("objects")) else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with("tmp_objdir-") {
                // A failure is harmless: the next sweep finds it again.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }

    fn lay_out(&self, at: &Path) -> io::Result<()> {
        for dir in ["objects/info", "objects/pack", "refs/heads", "refs/tags"] {
            private_dirs(&at.join(dir))?;
        }
        write_atomically(&at.join("HEAD"), "ref: refs/heads/main\n")?;
        write_atomically(&at.join("config"), &self.config)
    }
}

/// The branches of one environment, read afresh on every call.
#[derive(Debug, Clone)]
pub struct EnvRefs {
    repository: PathBuf,
    env: EnvName,
}

impl EnvRefs {
    /// The commit of a branch; `None` when it does not exist, or when nothing was ever pushed.
    pub fn branch(&self, branch: &BranchName) -> Result<Option<CommitId>, RepositoryError> {
        if !self.repository.is_dir() {
            return Ok(None);
        }
        let bare = open(&self.repository)?;
        match bare.refname_to_id(&self.full_name(branch)) {
            Ok(id) => Ok(CommitId::new(&id.to_string())),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
            Err(error) => Err(RepositoryError::git("a branch")(error)),
        }
    }

    /// Makes `branch` the one that a clone checks out.
    pub(crate) fn set_head(&self, branch: &BranchName) -> Result<(), RepositoryError> {
        let bare = open(&self.repository)?;
        let head = format!("refs/namespaces/{}/HEAD", self.env);
        let target = self.full_name(branch);
        if bare.find_reference(&head).is_ok_and(|now| now.symbolic_target() == Ok(Some(target.as_str()))) {
            return Ok(());
        }
        bare.reference_symbolic(&head, &target, true, "deploy branch").map_err(RepositoryError::git("the head"))?;
        Ok(())
    }

    fn full_name(&self, branch: &BranchName) -> String {
        format!("refs/namespaces/{}/refs/heads/{branch}", self.env)
    }
}

/// Opens a repository at exactly this place.
pub(crate) fn open(path: &Path) -> Result<Bare, RepositoryError> {
    let flags = RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::BARE | RepositoryOpenFlags::NO_DOTGIT;
    Bare::open_ext(path, flags, &[] as &[&std::ffi::OsStr]).map_err(RepositoryError::git("the repository"))
}

pub(crate) fn private_dirs(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

pub(crate) fn write_atomically(path: &Path, text: &str) -> io::Result<()> {
    let aside = path.with_extension(format!("new-{}", random::hex::<8>()));
    let mut file = File::create_new(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&aside, path)
}

/// The configuration of every repository.
fn config(hooks: &Path, max_pack: u64) -> String {
    // Faults that are common in the history of real projects and harmless; every other finding of fsck is an error.
    let tolerated = ["zeroPaddedFilemode", "badTimezone", "missingSpaceBeforeDate", "missingSpaceBeforeEmail", "zeroPaddedDate"];
    let mut text = format!(
        r#"# Written by the server; changes are undone.
[core]
	repositoryformatversion = 0
	filemode = true
	bare = true
	hooksPath = {hooks}
	fsync = committed
	bigFileThreshold = 32m
[gc]
	auto = 0
[maintenance]
	auto = false
[transfer]
	fsckObjects = true
	unpackLimit = 1
	advertiseSID = false
[receive]
	fsckObjects = true
	unpackLimit = 1
	maxInputSize = {max_pack}
	advertisePushOptions = true
	advertiseAtomic = true
	autogc = false
	shallowUpdate = false
[pack]
	threads = 2
	windowMemory = 64m
[receive "fsck"]
"#,
        hooks = quoted(hooks),
    );
    for name in tolerated {
        text.push_str(&format!("\t{name} = ignore\n"));
    }
    text
}

/// A path as a value of git's configuration.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repositories(dir: &Path) -> Repositories {
        Repositories::new(dir.join("repositories"), &dir.join("hooks"), 1000)
    }

    fn shop() -> AppRef {
        "acme/shop/dev".parse::<AppEnv>().expect("a path").app_ref()
    }

    #[test]
    fn a_repository_is_made_once_and_its_files_restored() {
        let dir = tempfile::tempdir().expect("a directory");
        let all = repositories(dir.path());
        let path = all.ensure(&shop()).expect("a repository");
        assert!(git2::Repository::open_bare(&path).expect("a bare repository").is_bare());
        std::fs::write(path.join("config"), "[core]\n\tfsmonitor = evil\n").expect("a change");
        std::fs::write(path.join("info/attributes"), "* export-subst\n").expect("a change");
        all.ensure(&shop()).expect("the same");
        assert!(std::fs::read_to_string(path.join("config")).expect("the config").contains("fsckObjects = true"));
        assert_eq!(std::fs::read_to_string(path.join("info/attributes")).expect("the attributes"), ATTRIBUTES);
        let left: Vec<_> = std::fs::read_dir(dir.path().join("repositories/acme")).expect("the tenant").flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn many_makers_agree_on_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let all = repositories(dir.path());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| all.ensure(&shop()).expect("a repository"));
            }
        });
        let left: Vec<_> = std::fs::read_dir(dir.path().join("repositories/acme")).expect("the tenant").flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn what_does_not_exist_reads_as_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let all = repositories(dir.path());
        let refs = all.refs(&shop().in_env(EnvName::dev()));
        let main = BranchName::new("main").expect("a branch");
        assert_eq!(refs.branch(&main).expect("no repository"), None);
        all.ensure(&shop()).expect("a repository");
        assert_eq!(refs.branch(&main).expect("no branch"), None);
        all.remove(&shop()).expect("removed");
        all.remove(&shop()).expect("removed already");
        assert!(!all.exists(&shop()));
    }
}
