//! `Layers`: makes the images of the stack, each once, and puts what slugs stand on into the registry.
//!
//! A layer that the engine has is used, whichever platform made it; one that the registry has is pulled; else it is made. One task per layer at a time.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use futures_util::StreamExt;
use model::Meter;
use tokio::sync::Mutex;
use tokio_util::io::ReaderStream;

use crate::engine::{ContainerSpec, Engine, EngineError, ImageInfo, LayerConfig};
use crate::labels::{KIND_LABEL, LAYER_LABEL, SCOPE_LABEL, STACK};
use crate::progress::{Progress, ProgressEvent};
use crate::registry::{Registry, RegistryError};
use crate::sandbox::input_tar;
use crate::sandbox::spools;
use crate::sandbox::transcript::Sanitizer;
use crate::slug::image::{BaseImage, BaseImageConfig};
use crate::stack::apt_progress::{AptLine, AptProgress};
use crate::stack::apt_sources::AptMirror;
use crate::stack::bootstrap::{self, BootstrapError};
use crate::stack::host_env::{CA_PATH, HostEnv};
use crate::stack::recipe::{INSTALL, LayerName, Part, Recipe, TIDY, TITLE, UID};
use crate::template::definition::{LayerSpec, Template};
use crate::template::version::Version;

/// Why the stack is not there.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The engine failed: down, full, or a fault of the platform.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The registry failed: down, full, or a fault of the platform.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The base could not be made.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// AptProgress could not be installed.
    #[error("installing the packages of {layer} failed: {last}")]
    Install {
        /// The layer's name and tag.
        layer: String,
        /// The last lines of the output.
        last: String,
    },
    /// A file of this machine could not be written.
    #[error("could not write to the builder's folder")]
    Io(#[from] std::io::Error),
}

/// The stack of one template, ready to use.
#[derive(Debug, Clone)]
pub struct TemplateStack {
    /// The image to build on.
    pub build: LayerName,
    /// The image that slugs are composed on.
    pub base: Arc<BaseImage>,
    /// Versions by tool.
    pub tools: BTreeMap<String, Vec<Version>>,
}

/// Prefix of labels that name a tool's version.
const TOOL_LABEL: &str = "slipway.tool.";

/// Makes the layers of the stack, and remembers those that are ready.
#[derive(Debug)]
pub struct Layers {
    engine: Engine,
    registry: Registry,
    recipe: Recipe,
    work: PathBuf,
    host: HostEnv,
    scope: String,
    ready: Mutex<HashMap<String, TemplateStack>>,
    base: Mutex<()>,
    making: Mutex<HashMap<String, Arc<Mutex<()>>>>,
}

impl Layers {
    /// A maker that works in `work`; `scope` tells its containers from those of another platform on the same engine.
    pub fn new(engine: Engine, registry: Registry, recipe: Recipe, work: PathBuf, host: HostEnv, scope: String) -> Self {
        Self { engine, registry, recipe, work, host, scope, ready: Mutex::default(), base: Mutex::default(), making: Mutex::default() }
    }

    /// The recipe that the layers are made by.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The stack of a template, made if it must be.
    pub async fn ready(&self, template: &Template, progress: Progress<'_>) -> Result<TemplateStack, LayerError> {
        let build = self.recipe.layer(template, Part::Build);
        let key = build.full();
        let lock = self.making.lock().await.entry(key.clone()).or_default().clone();
        let _one = lock.lock().await;
        if let Some(ready) = self.ready.lock().await.get(&key).cloned()
            && self.engine.image(&key).await?.is_some()
        {
            return Ok(ready);
        }
        let run = self.recipe.layer(template, Part::Run);
        let run_facts = self.layer(template, Part::Run, &run, &template.spec.run, progress).await?;
        let build_facts = self.layer(template, Part::Build, &build, &template.spec.build, progress).await?;
        let base = Arc::new(self.publish(&run, progress).await?);
        let mut tools = BTreeMap::new();
        for (label, value) in run_facts.labels.iter().chain(&build_facts.labels) {
            if let (Some(tool), Some(version)) = (label.strip_prefix(TOOL_LABEL), Version::find(value)) {
                tools.insert(tool.to_owned(), vec![version]);
            }
        }
        let ready = TemplateStack { build, base, tools };
        self.ready.lock().await.insert(key, ready.clone());
        Ok(ready)
    }

    /// The base image under all layers.
    async fn base(&self, progress: Progress<'_>) -> Result<LayerName, LayerError> {
        let name = self.recipe.base();
        let _one = self.base.lock().await;
        if self.refer(&name).await?.is_some() {
            return Ok(name);
        }
        let start = Instant::now();
        progress(ProgressEvent::Line(&format!("making the base of the stack ({TITLE})")));
        if let Some(image) = &self.recipe.base_image {
            progress(ProgressEvent::Line(&format!("pulling {image}")));
            self.engine.pull(image, None, &moved(progress)).await?;
            self.make_layer(image, &name, &LayerSpec::default(), ADOPT, &[], progress).await?;
        } else {
            std::fs::create_dir_all(&self.work)?;
            let folder = tempdir(&self.work)?;
            // In a folder of its own: a system sets the times of its root, and leftovers are known by theirs.
            let root = folder.0.join("root");
            std::fs::create_dir(&root)?;
            bootstrap::make(&root, &AptMirror::of_host().await, progress).await?;
            let mut tar = bootstrap::tar(&root)?;
            let stream = ReaderStream::with_capacity(tar.stdout.take().expect("it was piped"), 1 << 18);
            let label = format!("LABEL {LAYER_LABEL}={}", self.scope);
            let changes = vec!["ENV LANG=C.UTF-8".into(), "WORKDIR /app".into(), format!("USER {UID}:{UID}"), label];
            self.engine.import(Box::pin(stream), &name.repository, &name.tag, changes).await?;
            if !tar.wait().await?.success() {
                self.engine.untag(&name.full()).await?;
                return Err(BootstrapError::Failed { program: "tar", last: "see the server's log".into() }.into());
            }
        }
        progress(ProgressEvent::Line(&format!("base of the stack made in {}", took(start))));
        self.refer(&name).await?;
        Ok(name)
    }

    /// Says in the engine that this platform uses a layer, so that no other one removes it; none when it is not there.
    async fn refer(&self, name: &LayerName) -> Result<Option<ImageInfo>, LayerError> {
        let Some(info) = self.engine.image(&name.full()).await? else { return Ok(None) };
        match self.engine.tag(&name.full(), &name.repository, &name.reference(&self.scope)).await {
            Ok(()) => Ok(Some(info)),
            // Another platform removed it just now, with the last reference.
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn layer(
        &self,
        template: &Template,
        part: Part,
        name: &LayerName,
        spec: &LayerSpec,
        progress: Progress<'_>,
    ) -> Result<ImageInfo, LayerError> {
        if let Some(facts) = self.refer(name).await? {
            return Ok(facts);
        }
        // Another builder may have made it already.
        if part == Part::Run && self.registry.manifest(&name.repository, &name.tag).await?.is_some() {
            let remote = format!("{}/{}", self.registry.authority(), name.repository);
            progress(ProgressEvent::Line(&format!("pulling {}", name.full())));
            self.engine.pull(&format!("{remote}:{}", name.tag), self.registry.credentials(), &moved(progress)).await?;
            self.engine.tag(&format!("{remote}:{}", name.tag), &name.repository, &name.tag).await?;
            self.engine.untag(&format!("{remote}:{}", name.tag)).await?;
            if let Some(facts) = self.refer(name).await? {
                return Ok(facts);
            }
        }
        let start = Instant::now();
        let below = match part {
            Part::Run => self.base(progress).await?.full(),
            Part::Build => self.recipe.layer(template, Part::Run).full(),
        };
        let what = if part == Part::Run { "running" } else { "building" };
        progress(ProgressEvent::Line(&format!("making the layer for {what} {}", template.spec.title)));
        let setup = spec.setup.as_ref().and_then(|file| template.file(file)).unwrap_or_default();
        let tools: Vec<(&str, &[String])> = template.spec.tools.iter().map(|tool| (tool.name.as_str(), tool.probe.as_slice())).collect();
        self.make_layer(&below, name, spec, setup, &tools, progress).await?;
        let facts = self.refer(name).await?.ok_or_else(|| LayerError::Install { layer: name.full(), last: "it vanished".into() })?;
        progress(ProgressEvent::Line(&format!("layer made in {}, {} in all", took(start), model::push_output::size(facts.size))));
        Ok(facts)
    }

    /// Runs packages and set-up in a container of `below` and stores the result as `name`.
    async fn make_layer(
        &self,
        below: &str,
        name: &LayerName,
        spec: &LayerSpec,
        setup: &str,
        tools: &[(&str, &[String])],
        progress: Progress<'_>,
    ) -> Result<(), LayerError> {
        let mut script = String::from("exec 2>&1\n");
        if !spec.packages.is_empty() {
            script.push_str(&format!("(\n{INSTALL})\n"));
        }
        if !setup.trim().is_empty() {
            script.push_str(&format!("(\n{setup}\n)\n"));
        }
        for (tool, probe) in tools {
            let words: Vec<_> = probe.iter().map(|word| shlex::try_quote(word).unwrap_or_default()).collect();
            script.push_str(&format!(
                "if command -v {} >/dev/null 2>&1; then echo \"{PROBED}{tool}=$({} 2>&1 | head -n 1)\"; fi\n",
                words[0],
                words.join(" ")
            ));
        }
        script.push_str(&format!("(\n{TIDY})\n"));
        let mut command = vec!["/bin/sh".to_owned(), "-euc".to_owned(), script, "layer".to_owned()];
        command.extend(spec.packages.iter().cloned());
        let container_name = format!("{}-{}-{}", name.repository.replace('/', "-"), name.tag, self.scope);
        // One of this name is what a maker of this platform left behind that was killed; another platform may make the same layer.
        self.engine.remove(&container_name).await?;
        let container = self
            .engine
            .create(ContainerSpec {
                name: container_name,
                image: below.to_owned(),
                command,
                env: self.host.variables.iter().map(|(name, value)| format!("{name}={value}")).collect(),
                user: "0:0".into(),
                workdir: "/".into(),
                labels: HashMap::from([(KIND_LABEL.to_owned(), STACK.to_owned()), (SCOPE_LABEL.to_owned(), self.scope.clone())]),
                ..ContainerSpec::default()
            })
            .await?;
        let result = self.fill(&container, name, progress).await;
        self.engine.remove(&container).await?;
        result
    }

    async fn fill(&self, container: &str, name: &LayerName, progress: Progress<'_>) -> Result<(), LayerError> {
        if let Some(ca) = &self.host.ca {
            self.engine.upload(container, "/", input_tar::one_file(CA_PATH, ca.clone())).await?;
        }
        let (_, mut output) = self.engine.attach(container).await?;
        self.engine.start(container).await?;
        let mut sanitizer = Sanitizer::default();
        // A layer takes over the labels of the container that made it, and gives them to all that is started from it: without
        // its own, whoever looks into a layer by hand would lose that container to the next `reap`.
        let own = [(KIND_LABEL, "layer"), (SCOPE_LABEL, "")];
        let mut labels: HashMap<String, String> = own.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        labels.insert(LAYER_LABEL.to_owned(), self.scope.clone());
        let mut last: Vec<String> = Vec::new();
        let mut lines = Vec::new();
        let mut apt = AptProgress::default();
        while let Some((_, bytes)) = output.next().await.transpose()? {
            sanitizer.push(&bytes, &mut lines);
            for line in lines.drain(..) {
                if let Some((tool, version)) = line.strip_prefix(PROBED).and_then(|rest| rest.split_once('=')) {
                    labels.insert(format!("{TOOL_LABEL}{tool}"), version.to_owned());
                    progress(ProgressEvent::Line(&format!("{tool}: {version}")));
                    continue;
                }
                match apt.read_line(&line) {
                    AptLine::Status(meter) => meter.iter().for_each(|meter| progress(ProgressEvent::Meter(meter))),
                    AptLine::Text if line.trim().is_empty() => {}
                    AptLine::Text => {
                        last.push(line);
                        if last.len() > 8 {
                            last.remove(0);
                        }
                    }
                }
            }
        }
        if self.engine.ended(container).await?.code != 0 {
            return Err(LayerError::Install { layer: name.full(), last: last.join(" / ") });
        }
        let config = LayerConfig { user: format!("{UID}:{UID}"), env: vec!["LANG=C.UTF-8".into()], workdir: "/app".into(), labels };
        self.engine.commit(container, &name.repository, &name.tag, config).await?;
        Ok(())
    }

    /// Pushes a run layer to the registry and reads back what slugs are composed on.
    async fn publish(&self, name: &LayerName, progress: Progress<'_>) -> Result<BaseImage, LayerError> {
        if self.registry.manifest(&name.repository, &name.tag).await?.is_none() {
            let start = Instant::now();
            progress(ProgressEvent::Line("storing the layer in the registry"));
            let remote = format!("{}/{}", self.registry.authority(), name.repository);
            self.engine.tag(&name.full(), &remote, &name.tag).await?;
            let pushed = self.engine.push(&remote, &name.tag, self.registry.credentials(), &moved(progress)).await;
            self.engine.untag(&format!("{remote}:{}", name.tag)).await?;
            pushed?;
            progress(ProgressEvent::Line(&format!("layer stored in {}", took(start))));
        }
        let manifest =
            self.registry.manifest(&name.repository, &name.tag).await?.ok_or(RegistryError::Unexpected("storing a stack layer"))?;
        let config = self.registry.blob(&name.repository, manifest.config.digest).await?;
        let config: BaseImageConfig =
            serde_json::from_slice(&config).map_err(|_| RegistryError::Unexpected("asking for a configuration"))?;
        Ok(BaseImage { repository: name.repository.clone(), layers: manifest.layers, config })
    }

    /// Removes what was left by making a layer that was interrupted before `begun`. A later one may be under way, here or by hand.
    pub async fn reap(&self, begun: SystemTime) -> Result<(), EngineError> {
        let seconds = begun.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        let stale = self.engine.labelled(&[format!("{KIND_LABEL}={STACK}"), format!("{SCOPE_LABEL}={}", self.scope)]).await?;
        for container in stale.iter().filter(|container| container.created < seconds) {
            self.engine.remove(&container.id).await?;
        }
        for entry in std::fs::read_dir(&self.work).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(TEMP) && spools::is_older(&entry, begun) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        Ok(())
    }
}

/// Prefix of the lines of a layer's script that report a tool's version.
const PROBED: &str = "slipway-probed ";
/// Prefix of folders that hold a base system while it is made.
const TEMP: &str = "base-";

/// Makes an image from elsewhere usable as the base.
const ADOPT: &str = r#"set -eu
getent group app >/dev/null || groupadd --gid 10001 app
getent passwd app >/dev/null || useradd --uid 10001 --gid 10001 --home-dir /app --no-create-home --shell /bin/bash app
mkdir -p /app /cache
chown 10001:10001 /app /cache
chmod 775 /app /cache
"#;

/// A folder that goes when it is dropped.
struct TempDir(PathBuf);

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn tempdir(work: &std::path::Path) -> std::io::Result<TempDir> {
    let folder = work.join(format!("{TEMP}{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    Ok(TempDir(folder))
}

/// Passes on how far the engine is with moving an image.
fn moved(progress: Progress<'_>) -> impl Fn(Meter) + Send + Sync {
    move |meter| progress(ProgressEvent::Meter(&meter))
}

fn took(start: Instant) -> String {
    model::push_output::elapsed(start.elapsed().as_millis().try_into().unwrap_or(u64::MAX))
}
