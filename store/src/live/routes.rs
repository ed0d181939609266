//! Routes. Written by the manager.

use model::{AppEnv, Hostname, Route};

use super::documents::put;
use super::{Expect, Life, Live, LiveError, Op};

impl Live {
    /// Every route.
    pub async fn routes(&self) -> Result<Vec<Route>, LiveError> {
        self.read_all("routes/").await
    }

    /// Makes the routes of an app be just these, in one step. Routes of other apps are never touched.
    pub async fn set_routes(&self, app: &AppEnv, wanted: &[Route]) -> Result<(), LiveError> {
        let stored: Vec<Route> = self.routes().await?.into_iter().filter(|route| route.app == *app).collect();
        let path = |hostname: &Hostname| format!("routes/{hostname}");
        let mut ops: Vec<Op> = stored
            .iter()
            .filter(|route| !wanted.iter().any(|w| w.hostname == route.hostname))
            .map(|route| Op::Delete { path: path(&route.hostname), expect: Expect::Any })
            .collect();
        ops.extend(
            wanted
                .iter()
                .filter(|route| !stored.contains(route))
                .map(|route| put(path(&route.hostname), route, Expect::Any, Life::Persistent)),
        );
        if ops.is_empty() { Ok(()) } else { self.0.commit(ops).await }
    }
}
