//! Starts one instance: spec, image, container. Every failure is a state and a reason for the owner, never just an error.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use model::{Assignment, Code, InstanceState, ProcessSpec, RunSpec};
use tokio_util::sync::CancellationToken;

use crate::container::{self, ContainerParams, PORT};
use crate::context::HostContext;
use crate::health::Cause;
use crate::labels::{self, InstanceLabels};
use crate::runtime::{ContainerId, ContainerSpec, RuntimeError};

/// Attempts with another address when one turns out to be taken.
const ADDRESS_TRIES: usize = 5;

/// An image that the engine has.
pub(crate) struct LocalImage {
    /// The name that the engine knows it by.
    pub(crate) name: String,
    /// The user of its configuration.
    pub(crate) user: String,
}

/// A container that was made, with its address.
pub(crate) struct Launched {
    pub(crate) container: ContainerId,
    pub(crate) address: Ipv4Addr,
}

/// Why an instance could not be started.
#[derive(Debug)]
pub(crate) struct LaunchFailure {
    pub(crate) state: InstanceState,
    pub(crate) cause: Cause,
}

impl LaunchFailure {
    pub(crate) fn new(state: InstanceState, code: Code, reason: impl Into<String>) -> Self {
        Self { state, cause: Cause { code, reason: reason.into() } }
    }

    /// A fault of the platform: the server's log gets the error, the owner a reason without internals.
    fn engine(error: &RuntimeError, what: &str) -> Self {
        tracing::warn!(error = %error, source = std::error::Error::source(error).map(tracing::field::display), what, "a container could not be made");
        let code = if matches!(error, RuntimeError::Unreachable(_)) { Code::EngineDown } else { Code::Internal };
        Self::new(InstanceState::Crashed, code, format!("the container engine of its host could not {what}"))
    }
}

impl HostContext {
    /// Makes sure that the image is here, and that it does not run as root.
    pub(crate) async fn image(&self, spec: &RunSpec) -> Result<LocalImage, LaunchFailure> {
        let name = spec.image.pull_name(&self.config.registry);
        let engine = |error: RuntimeError| LaunchFailure::engine(&error, "look for its image");
        let user = match self.runtime.image_user(&name).await.map_err(engine)? {
            Some(user) => user,
            None => {
                let started = std::time::Instant::now();
                let credentials = self.config.registry_credentials.as_ref();
                self.runtime.pull(&name, credentials).await.map_err(|error| pull_failed(&error, spec))?;
                let duration_ms = started.elapsed().as_millis() as u64;
                tracing::info!(app = %spec.app, release = %spec.release, duration_ms, "pulled an image");
                self.runtime.image_user(&name).await.map_err(engine)?.ok_or_else(|| {
                    LaunchFailure::new(InstanceState::ImagePullFailed, Code::ImagePullFailed, "its image vanished after it was pulled")
                })?
            }
        };
        if container::is_root(&user) {
            let reason = "its image runs as root, which this platform refuses; set another user in the image";
            return Err(LaunchFailure::new(InstanceState::Crashed, Code::CrashedAtStart, reason));
        }
        Ok(LocalImage { name, user })
    }

    /// The decrypted config of a release.
    pub(crate) fn open(&self, spec: &RunSpec) -> Result<BTreeMap<String, String>, LaunchFailure> {
        self.keyring.open_map(&spec.app.to_string(), &spec.config).map_err(|error| {
            tracing::error!(%error, app = %spec.app, release = %spec.release, "a release's config does not open");
            LaunchFailure::new(InstanceState::Crashed, Code::Internal, "its config could not be opened on its host")
        })
    }

    /// Makes a container with an address of its own.
    pub(crate) async fn create(&self, shape: impl Fn(Ipv4Addr) -> ContainerSpec) -> Result<Launched, RuntimeError> {
        let full = || RuntimeError::Conflict { message: "no free address in the app network".into() };
        let address = self.addresses.take().ok_or_else(full)?;
        match self.runtime.create(&shape(address)).await {
            Ok(container) => Ok(Launched { container, address }),
            Err(error) => {
                self.addresses.release(address);
                Err(error)
            }
        }
    }

    /// Starts an instance; `cancel` ends a pull that nobody waits for any more.
    pub(crate) async fn start(
        &self,
        assignment: &Assignment,
        spec: &RunSpec,
        process: &ProcessSpec,
        restarts: u32,
        cancel: &CancellationToken,
    ) -> Result<Launched, LaunchFailure> {
        let image = tokio::select! {
            image = self.image(spec) => image?,
            () = cancel.cancelled() => return Err(LaunchFailure::new(InstanceState::Pulling, Code::Cancelled, "its start was called off")),
        };
        let values = self.open(spec)?;
        let shape = |address| {
            container::compose(ContainerParams {
                spec,
                config: &values,
                image: image.name.clone(),
                user: &image.user,
                name: format!("slipway-{}", assignment.instance),
                id: assignment.instance.to_string(),
                process: assignment.process.clone(),
                command: &process.command,
                resources: process.resources,
                labels: labels::of_instance(&self.config.scope, &InstanceLabels { assignment: assignment.clone(), restarts, address }),
                host: &self.config.host,
                zone: &self.config.zone,
                network: &self.config.network.name,
                address,
            })
        };
        let started = self.create_and_start(shape).await.map_err(|error| LaunchFailure::engine(&error, "start its container"))?;
        tracing::debug!(instance = %assignment.instance, address = %started.address, port = PORT, "started a container");
        Ok(started)
    }

    async fn create_and_start(&self, shape: impl Fn(Ipv4Addr) -> ContainerSpec) -> Result<Launched, RuntimeError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let started = self.create(&shape).await?;
            match self.runtime.start(&started.container).await {
                Ok(()) => return Ok(started),
                Err(error) => {
                    // The address stays marked as taken when that is the reason: something else on the network has it.
                    let is_taken = matches!(error, RuntimeError::Conflict { .. });
                    if !is_taken {
                        self.addresses.release(started.address);
                    }
                    self.runtime.remove(&started.container).await?;
                    if !is_taken || tries >= ADDRESS_TRIES {
                        return Err(error);
                    }
                }
            }
        }
    }
}

fn pull_failed(error: &RuntimeError, spec: &RunSpec) -> LaunchFailure {
    let source = std::error::Error::source(error).map(tracing::field::display);
    tracing::warn!(%error, source, app = %spec.app, release = %spec.release, "an image could not be pulled");
    match error {
        RuntimeError::NoSuchImage { .. } => {
            let reason = format!("the registry does not have the image of {} any more ({})", spec.release, spec.image.digest.short());
            LaunchFailure::new(InstanceState::ImageMissing, Code::ImageMissing, reason)
        }
        RuntimeError::Unreachable(_) => LaunchFailure::engine(error, "fetch its image"),
        _ => {
            let reason = format!("the image of {} could not be fetched from the registry", spec.release);
            LaunchFailure::new(InstanceState::ImagePullFailed, Code::ImagePullFailed, reason)
        }
    }
}
