//! The coordination of one machine: a tree in this process, its persistent nodes also in PostgreSQL.
//!
//! A commit is checked, written to SQL, then shown to readers, all under one lock: what a reader saw survives a crash.
//! Nodes of sessions are never stored: a restart is the end of all sessions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use async_trait::async_trait;
use sqlx::{PgPool, Row};
use tokio::sync::watch;

use super::{Coordination, Expect, Life, LiveError, MAX_NODE, Node, Op, Session, Watch};

struct Stored {
    data: Vec<u8>,
    version: u64,
    life: Life,
}

struct Watcher {
    prefixes: Vec<String>,
    bell: watch::Sender<u64>,
}

#[derive(Default)]
struct Tree {
    nodes: BTreeMap<String, Stored>,
    watchers: Vec<Watcher>,
    sessions: Vec<u64>,
    /// Counts every write; node versions are drawn from it, so that a node made again never repeats a version.
    clock: u64,
}

/// The embedded backend.
pub struct Embedded {
    tree: Arc<Mutex<Tree>>,
    /// Orders commits; held over the write to SQL, which the tree's own lock must never be.
    order: tokio::sync::Mutex<()>,
    pool: Option<PgPool>,
}

impl Embedded {
    /// A tree that is forgotten with the process.
    pub fn in_memory() -> Self {
        Self { tree: Arc::default(), order: tokio::sync::Mutex::default(), pool: None }
    }

    /// A tree whose persistent nodes live in SQL.
    pub async fn open(pool: PgPool) -> Result<Self, LiveError> {
        let rows = sqlx::query("SELECT path, data, version FROM live_nodes").fetch_all(&pool).await.map_err(unreachable)?;
        let mut tree = Tree::default();
        for row in rows {
            let version: i64 = row.try_get("version").map_err(unreachable)?;
            let version = version.unsigned_abs();
            tree.clock = tree.clock.max(version);
            let stored = Stored { data: row.try_get("data").map_err(unreachable)?, version, life: Life::Persistent };
            tree.nodes.insert(row.try_get("path").map_err(unreachable)?, stored);
        }
        Ok(Self { tree: Arc::new(Mutex::new(tree)), order: tokio::sync::Mutex::default(), pool: Some(pool) })
    }

    fn tree(&self) -> std::sync::MutexGuard<'_, Tree> {
        self.tree.lock().expect("no holder of the tree's lock panics")
    }

    async fn store(&self, pool: &PgPool, ops: &[Op], version: u64) -> Result<(), sqlx::Error> {
        let mut tx = pool.begin().await?;
        for op in ops {
            match op {
                Op::Put { path, data, life: Life::Persistent, .. } => {
                    sqlx::query(
                        "INSERT INTO live_nodes (path, data, version) VALUES ($1, $2, $3)
                         ON CONFLICT (path) DO UPDATE SET data = excluded.data, version = excluded.version",
                    )
                    .bind(path)
                    .bind(data)
                    .bind(version as i64)
                    .execute(&mut *tx)
                    .await?;
                }
                Op::Delete { path, .. } => {
                    sqlx::query("DELETE FROM live_nodes WHERE path = $1").bind(path).execute(&mut *tx).await?;
                }
                Op::Put { .. } | Op::Check { .. } => {}
            }
        }
        tx.commit().await
    }
}

fn unreachable(error: sqlx::Error) -> LiveError {
    LiveError::Unreachable(Box::new(error))
}

impl Tree {
    fn check(&self, ops: &[Op]) -> Result<(), LiveError> {
        for op in ops {
            let (path, expect) = match op {
                Op::Put { path, data, expect, life } => {
                    if data.len() > MAX_NODE {
                        return Err(LiveError::TooLarge { path: path.clone() });
                    }
                    if let Life::Session(id) = life
                        && !self.sessions.contains(id)
                    {
                        return Err(LiveError::SessionEnded);
                    }
                    (path, expect)
                }
                Op::Delete { path, expect } | Op::Check { path, expect } => (path, expect),
            };
            let holds = match (expect, self.nodes.get(path)) {
                (Expect::Any, _) | (Expect::Absent, None) => true,
                (Expect::Version(wanted), Some(node)) => node.version == *wanted,
                (Expect::Absent, Some(_)) | (Expect::Version(_), None) => false,
            };
            if !holds {
                return Err(LiveError::Conflict { path: path.clone() });
            }
        }
        Ok(())
    }

    fn apply(&mut self, ops: Vec<Op>, version: u64) {
        self.clock = self.clock.max(version);
        let mut touched = Vec::new();
        for op in ops {
            match op {
                Op::Put { path, data, life, .. } => {
                    self.nodes.insert(path.clone(), Stored { data, version, life });
                    touched.push(path);
                }
                Op::Delete { path, .. } => {
                    if self.nodes.remove(&path).is_some() {
                        touched.push(path);
                    }
                }
                Op::Check { .. } => {}
            }
        }
        self.ring(&touched);
    }

    fn ring(&mut self, touched: &[String]) {
        self.watchers.retain(|watcher| {
            let concerned = touched.iter().any(|path| watcher.prefixes.iter().any(|prefix| path.starts_with(prefix)));
            if concerned {
                watcher.bell.send_modify(|count| *count += 1);
            }
            watcher.bell.receiver_count() > 0
        });
    }

    fn end_session(&mut self, id: u64) {
        self.sessions.retain(|session| *session != id);
        let gone: Vec<String> =
            self.nodes.iter().filter(|(_, node)| node.life == Life::Session(id)).map(|(path, _)| path.clone()).collect();
        for path in &gone {
            self.nodes.remove(path);
        }
        self.ring(&gone);
    }
}

#[async_trait]
impl Coordination for Embedded {
    async fn scan(&self, prefix: &str) -> Result<Vec<Node>, LiveError> {
        let tree = self.tree();
        let nodes = tree.nodes.range(prefix.to_owned()..).take_while(|(path, _)| path.starts_with(prefix));
        Ok(nodes.map(|(path, node)| Node { path: path.clone(), data: node.data.clone(), version: node.version }).collect())
    }

    async fn get(&self, path: &str) -> Result<Option<Node>, LiveError> {
        let tree = self.tree();
        Ok(tree.nodes.get(path).map(|node| Node { path: path.to_owned(), data: node.data.clone(), version: node.version }))
    }

    async fn commit(&self, ops: Vec<Op>) -> Result<(), LiveError> {
        let _order = self.order.lock().await;
        let version = {
            let tree = self.tree();
            tree.check(&ops)?;
            tree.clock + 1
        };
        let durable = ops.iter().any(|op| !matches!(op, Op::Put { life: Life::Session(_), .. } | Op::Check { .. }));
        if let Some(pool) = self.pool.as_ref().filter(|_| durable) {
            self.store(pool, &ops, version).await.map_err(unreachable)?;
        }
        self.tree().apply(ops, version);
        Ok(())
    }

    fn watch(&self, prefixes: &[&str]) -> Watch {
        let (bell, receiver) = watch::channel(0);
        self.tree().watchers.push(Watcher { prefixes: prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(), bell });
        Watch(receiver)
    }

    async fn session(&self) -> Result<Session, LiveError> {
        let mut tree = self.tree();
        tree.clock += 1;
        let id = tree.clock;
        tree.sessions.push(id);
        let weak: Weak<Mutex<Tree>> = Arc::downgrade(&self.tree);
        let end = move || {
            if let Some(tree) = weak.upgrade()
                && let Ok(mut tree) = tree.lock()
            {
                tree.end_session(id);
            }
        };
        Ok(Session { id, end: Some(Box::new(end)) })
    }
}
