//! Formations and run specs. Written by the manager.

use model::{AppEnv, Formation, ReleaseNumber, RunSpec};

use super::documents::put;
use super::{Expect, Life, Live, LiveError, Op};

fn formation_path(app: &AppEnv) -> String {
    format!("formations/{app}")
}

fn spec_path(app: &AppEnv, release: ReleaseNumber) -> String {
    format!("specs/{app}/{release}")
}

impl Live {
    /// Every desired formation.
    pub async fn formations(&self) -> Result<Vec<Formation>, LiveError> {
        self.read_all("formations/").await
    }

    /// The desired formation of one app.
    pub async fn formation(&self, app: &AppEnv) -> Result<Option<Formation>, LiveError> {
        self.read_one(&formation_path(app)).await
    }

    /// Writes a formation. An older generation than the stored one is a conflict.
    pub async fn put_formation(&self, formation: &Formation) -> Result<(), LiveError> {
        let path = formation_path(&formation.app);
        let expect = match self.0.get(&path).await? {
            None => Expect::Absent,
            Some(node) => {
                let stored: Formation = super::documents::read(&node)?;
                if stored.generation > formation.generation {
                    return Err(LiveError::Conflict { path });
                }
                if stored == *formation {
                    return Ok(());
                }
                Expect::Version(node.version)
            }
        };
        self.0.commit(vec![put(path, formation, expect, Life::Persistent)]).await
    }

    /// Removes the formation and all specs of an app that was destroyed.
    pub async fn delete_formation(&self, app: &AppEnv) -> Result<(), LiveError> {
        let mut ops = vec![Op::Delete { path: formation_path(app), expect: Expect::Any }];
        let specs = self.0.scan(&format!("specs/{app}/")).await?;
        ops.extend(specs.into_iter().map(|node| Op::Delete { path: node.path, expect: Expect::Any }));
        self.0.commit(ops).await
    }

    /// What a supervisor needs to run a release.
    pub async fn spec(&self, app: &AppEnv, release: ReleaseNumber) -> Result<Option<RunSpec>, LiveError> {
        self.read_one(&spec_path(app, release)).await
    }

    /// The specs of every release that is kept.
    pub async fn specs(&self) -> Result<Vec<RunSpec>, LiveError> {
        self.read_all("specs/").await
    }

    /// Writes the spec of a release; specs never change, so writing it again is nothing.
    pub async fn put_spec(&self, spec: &RunSpec) -> Result<(), LiveError> {
        let path = spec_path(&spec.app, spec.release);
        match self.0.commit(vec![put(path, spec, Expect::Absent, Life::Persistent)]).await {
            Err(LiveError::Conflict { .. }) => Ok(()),
            other => other,
        }
    }

    /// Removes the specs of releases that nothing runs any more.
    pub async fn delete_specs(&self, app: &AppEnv, releases: &[ReleaseNumber]) -> Result<(), LiveError> {
        let ops = releases.iter().map(|release| Op::Delete { path: spec_path(app, *release), expect: Expect::Any }).collect();
        self.0.commit(ops).await
    }
}
