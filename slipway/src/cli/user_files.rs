//! What the client remembers between calls: the server and its token, in the user's own configuration folder, mode 0600.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The remembered server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Remembered {
    pub server: String,
    pub token: String,
    pub user: String,
}

fn path() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = match base {
        Some(base) => base,
        None => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".config"),
    };
    Ok(base.join("slipway").join("login.json"))
}

/// What is remembered, if anything.
pub fn load() -> Option<Remembered> {
    let text = std::fs::read(path().ok()?).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Remembers.
pub fn save(remembered: &Remembered) -> Result<PathBuf> {
    let path = path()?;
    let dir = path.parent().context("the path has a folder")?;
    std::fs::create_dir_all(dir).with_context(|| format!("could not make {}", dir.display()))?;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("could not write {}", path.display()))?;
    file.write_all(&serde_json::to_vec_pretty(remembered)?)?;
    Ok(path)
}

/// Forgets; says whether there was anything.
pub fn forget() -> Result<bool> {
    match std::fs::remove_file(path()?) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}
