//! The disk reserve: some space of the data directory's disk is kept free for the database, so that a full disk stops pushes, not the platform.

use std::path::PathBuf;

use model::{Code, UserError, push_output};

/// The disk of the data directory.
#[derive(Debug, Clone)]
pub struct DiskReserve {
    dir: PathBuf,
    reserve: u64,
}

impl DiskReserve {
    /// Of a directory, with what is kept free in bytes.
    pub fn new(dir: PathBuf, reserve: u64) -> Self {
        Self { dir, reserve }
    }

    /// Refuses new work while less than the reserve is free.
    pub fn check(&self) -> Result<(), UserError> {
        match rustix::fs::statvfs(&self.dir) {
            Ok(stat) => enough(stat.f_bavail * stat.f_frsize, self.reserve),
            Err(error) => {
                // Work that needs the disk will say more than this could.
                tracing::warn!(%error, "the free space of the data directory is not known");
                Ok(())
            }
        }
    }
}

fn enough(free: u64, reserve: u64) -> Result<(), UserError> {
    if free >= reserve {
        return Ok(());
    }
    Err(UserError::new(Code::DiskFull, "the disk of the platform is full")
        .why("What is left of it is kept for the platform's database. Nothing was changed, and what runs keeps running.")
        .evidence(format!("{} free, {} kept", push_output::size(free), push_output::size(reserve)))
        .next("sudo slipway doctor   # the operator, on the host: where the space is")
        .next("push again when there is room"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_refused_below_the_reserve_and_not_at_it() {
        assert!(enough(500, 500).is_ok());
        let refused = enough(499, 500).expect_err("too little space");
        assert_eq!((refused.code, refused.evidence), (Code::DiskFull, vec!["499 B free, 500 B kept".to_owned()]));
    }
}
