//! The builder as the manager needs it: a trait that turns source into images.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use model::{AppEnv, BuildId, ImageRef, Manifest, ProcessName, TemplateName, UserError};
use tokio_util::sync::CancellationToken;

use crate::output::Output;
use crate::push::source::Source;

/// One source to build.
#[derive(Clone)]
pub struct Job {
    /// The id of the build record.
    pub build: BuildId,
    /// The app and environment that is built for.
    pub app: AppEnv,
    /// The uid that the build and the app's processes run under; the app's own.
    pub uid: u32,
    /// The files of the pushed commit.
    pub source: Arc<dyn Source>,
    /// The parsed app.yaml, or the defaults.
    pub manifest: Manifest,
}

/// The builder's plan for a source, before it runs anything.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The template that fits.
    pub template: TemplateName,
    /// Why that template was chosen, and other details for the pusher, one line each.
    pub notes: Vec<String>,
    /// Equal keys are equal slugs: tree, template, stack and settings go into it.
    pub source_key: String,
}

/// A built slug.
#[derive(Debug, Clone)]
pub struct Slug {
    /// Its image in the registry.
    pub image: ImageRef,
    /// Process types and their commands.
    pub processes: BTreeMap<ProcessName, String>,
    /// Size of its layer in bytes, compressed.
    pub size: u64,
}

/// Turns source into images; implemented by the builder's role.
#[async_trait]
pub trait Builder: Send + Sync {
    /// Most bytes of files that a source may have.
    fn most_source(&self) -> u64;
    /// Chooses the template and computes the source key. Runs nothing of the app.
    async fn prepare(&self, job: &Job) -> Result<Prepared, UserError>;
    /// Builds. Ends soon after `cancel`, leaving nothing behind.
    async fn build(&self, job: &Job, prepared: &Prepared, output: Arc<dyn Output>, cancel: CancellationToken) -> Result<Slug, UserError>;
    /// Whether an image is still in the registry.
    async fn has_image(&self, image: &ImageRef) -> bool;
    /// Removes what builds of a stopped server left behind.
    async fn reap(&self);
}
