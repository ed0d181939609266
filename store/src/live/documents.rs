//! JSON documents in nodes: the one coding of everything in coordination.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Expect, Life, Live, LiveError, Node, Op};

pub(super) fn read<T: DeserializeOwned>(node: &Node) -> Result<T, LiveError> {
    serde_json::from_slice(&node.data).map_err(|source| LiveError::Damaged { path: node.path.clone(), source })
}

pub(super) fn put<T: Serialize>(path: String, document: &T, expect: Expect, life: Life) -> Op {
    let data = serde_json::to_vec(document).expect("a model document is always JSON");
    Op::Put { path, data, expect, life }
}

impl Live {
    /// Every document under a prefix. One that this version can not read is skipped and logged: it must not hide the others.
    pub(super) async fn read_all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<T>, LiveError> {
        let nodes = self.0.scan(prefix).await?;
        let mut documents = Vec::with_capacity(nodes.len());
        for node in &nodes {
            match read(node) {
                Ok(document) => documents.push(document),
                Err(error) => tracing::error!(path = %node.path, %error, "skipped a document"),
            }
        }
        Ok(documents)
    }

    pub(super) async fn read_one<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, LiveError> {
        self.0.get(path).await?.as_ref().map(read).transpose()
    }
}
