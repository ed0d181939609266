//! `Builder`: what the manager asks of whoever turns source into images.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use model::{AppEnv, BuildId, ImageRef, Manifest, ProcessName, TemplateName, UserError};
use tokio_util::sync::CancellationToken;

use crate::output::Output;
use crate::source::Source;

/// One source to build.
#[derive(Clone)]
pub struct Job {
    /// The build.
    pub build: BuildId,
    /// For which app.
    pub app: AppEnv,
    /// The files.
    pub source: Arc<dyn Source>,
    /// What the repository says of itself.
    pub manifest: Manifest,
}

/// What the builder makes of a source before it runs anything.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The template that fits.
    pub template: TemplateName,
    /// Why, and what else is worth saying: lines of detail.
    pub notes: Vec<String>,
    /// Equal keys are equal slugs: tree, template, stack and settings go into it.
    pub source_key: String,
}

/// A made slug.
#[derive(Debug, Clone)]
pub struct Slug {
    /// Its image in the registry.
    pub image: ImageRef,
    /// Process types and their commands.
    pub processes: BTreeMap<ProcessName, String>,
    /// Size of its layer in bytes, compressed.
    pub size: u64,
}

/// The builder.
#[async_trait]
pub trait Builder: Send + Sync {
    /// Most bytes of files that a source may have.
    fn most_source(&self) -> u64;
    /// Chooses the template and computes the source key. Runs nothing of the app.
    async fn prepare(&self, job: &Job) -> Result<Prepared, UserError>;
    /// Builds. Ends soon after `cancel`, leaving nothing behind.
    async fn build(&self, job: &Job, prepared: &Prepared, said: Arc<dyn Output>, cancel: CancellationToken) -> Result<Slug, UserError>;
    /// Whether an image is still in the registry.
    async fn has_image(&self, image: &ImageRef) -> bool;
    /// Removes what builds of a stopped server left behind.
    async fn reap(&self);
}
