//! `Buildstep`: the builder. Source tree → template → slug → image in the registry.
//!
//! Runs the steps of a build and reports them to the pusher. Must never keep state that a restart would miss: layers, caches
//! and images are found again by their names.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use manager::builder::{Builder, Job, Prepared, Slug};
use manager::{Output, Source};
use model::push_output;
use model::{AppRef, Code, Digest, ImageRef, Manifest, TemplateName, UserError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::engine::{Engine, EngineError};
use crate::labels::{BUILD, KIND_LABEL, LIFE_LABEL, SCOPE_LABEL};
use crate::progress::{Progress, ProgressEvent, ProgressLines};
use crate::registry::Registry;
use crate::sandbox::build_run::BuildRun;
use crate::sandbox::caches::Caches;
use crate::sandbox::container_names::ContainerNames;
use crate::sandbox::limits::Limits;
use crate::sandbox::netns_pool::NetnsPool;
use crate::sandbox::spools::Spools;
use crate::slug::build_record::{self, BuildRecord};
use crate::slug::image::{self, ImageMetadata};
use crate::slug::layer::{Content, PackedLayer};
use crate::slug::processes;
use crate::slug::slugignore::SlugIgnore;
use crate::slug::source_filter::SourceFilter;
use crate::slug::source_key;
use crate::source::{EntryKind, Folder, SourceTree};
use crate::stack::host_env::HostEnv;
use crate::stack::layers::{LayerError, Layers, TemplateStack};
use crate::stack::recipe::TITLE;
use crate::template::catalog::Catalog;
use crate::template::definition::{Template, TemplateError};
use crate::template::detect::{self, Detection};
use crate::template::pins::{self, Choice};
use crate::template::script::{self, Values};
use crate::user_errors;

mod leftovers;

/// Why a builder could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A template is broken.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The work folder can not be made.
    #[error("could not make the folder {path}")]
    Work {
        /// The folder's path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// The builder of one platform. Its layers, caches and images are found again by name after a restart.
#[derive(Debug)]
pub struct Buildstep {
    config: Config,
    catalog: Catalog,
    engine: Engine,
    registry: Registry,
    layers: Arc<Layers>,
    host: HostEnv,
    caches: Caches,
    netns_pool: Arc<NetnsPool>,
    container_names: ContainerNames,
    removals: TaskTracker,
    leftover_checks: leftovers::LeftoverChecks,
    /// What every container of this builder carries.
    labels: HashMap<String, String>,
}

impl Buildstep {
    /// Sets up a builder that stores images in `registry`. The engine may be away: it is asked by the builds.
    pub fn new(config: Config, registry: Registry) -> Result<Self, SetupError> {
        let mut catalog = Catalog::builtin()?;
        for folder in &config.templates {
            catalog.add_folder(folder)?;
        }
        std::fs::create_dir_all(&config.work).map_err(|source| SetupError::Work { path: config.work.clone(), source })?;
        let engine = Engine::at(&config.docker);
        let host = HostEnv::of_host(config.ca.as_deref());
        let layers = Arc::new(Layers::new(
            engine.clone(),
            registry.clone(),
            config.recipe.clone(),
            config.work.clone(),
            host.clone(),
            config.network.clone(),
        ));
        let labels = HashMap::from([(SCOPE_LABEL.to_owned(), config.network.clone()), (LIFE_LABEL.to_owned(), life())]);
        let caches = Caches::new(engine.clone(), &config.network);
        let container_names = ContainerNames::default();
        let netns_pool = Arc::new(NetnsPool::new(
            engine.clone(),
            &config.network,
            &config.bridge,
            &config.subnet,
            labels.clone(),
            container_names.clone(),
        ));
        Ok(Self {
            config,
            catalog,
            engine,
            registry,
            layers,
            host,
            caches,
            netns_pool,
            container_names,
            removals: TaskTracker::new(),
            leftover_checks: leftovers::LeftoverChecks::default(),
            labels,
        })
    }

    /// The templates that it builds with.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Makes every layer of the stack that is not there.
    pub async fn boot(&self, progress: Progress<'_>) -> Result<(), LayerError> {
        for template in self.catalog.iter() {
            self.layers.ready(template, progress).await?;
        }
        Ok(())
    }

    /// Makes the layers of one template.
    pub async fn boot_template(&self, name: &TemplateName, progress: Progress<'_>) -> Result<(), LayerError> {
        match self.catalog.get(name) {
            Some(template) => self.layers.ready(template, progress).await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// Removes what was kept for the next build.
    pub async fn close(&self) {
        self.removals.close();
        self.removals.wait().await;
        if let Err(error) = self.netns_pool.close().await {
            tracing::warn!(error = %error, "the network of builds stays until the next start");
        }
    }

    /// Empties the cache of an app.
    pub async fn purge_cache(&self, app: &AppRef) -> Result<(), EngineError> {
        self.caches.purge(app).await
    }

    /// Runs every step of a build.
    async fn steps(&self, job: &Job, template: &Template, output: &Arc<dyn Output>, cancel: &CancellationToken) -> Result<Slug, UserError> {
        let app = job.app.app_ref();
        let build = job.build.as_str();
        let limits = self.config.limits.hinted(&job.manifest);
        let tree = rooted(&job.source, &job.manifest)?;
        let ready = self.stack(template, &job.build, output, cancel).await?;
        let tools = self.tools(template, &ready, &tree, output.as_ref())?;

        let spools = Spools::new(&self.config.work, build);
        let mut content = self.in_container(job, &limits, template, &ready, &tools, &spools, output.as_ref(), cancel).await?;

        let found = processes::processes(
            content.text("Procfile").as_deref(),
            content.text(build_record::PROCESSES).as_deref(),
            &template.spec.processes,
            &job.manifest,
        )
        .map_err(|error| user_errors::bad_procfile(&error))?;
        if found.is_empty() {
            return Err(user_errors::no_process(&app, template.spec.no_process.as_deref()));
        }
        let record = BuildRecord {
            format: 1,
            source_tree: tree_id(job)?,
            root: job.manifest.root.clone().unwrap_or_default(),
            template: template.name().clone(),
            template_digest: template.digest().to_string(),
            stack: TITLE.into(),
            build_layer: ready.build.full(),
            tools,
            build_variables: job.manifest.build.env.keys().cloned().collect(),
            processes: found.clone(),
        };
        content.remove(build_record::PROCESSES);
        content.add(build_record::PATH, &record.to_bytes()).map_err(|error| user_errors::io(build, error))?;
        output.step("Process types");
        for (name, command) in &found {
            output.detail(format!("{name}: {command}"));
        }

        output.step("Making the slug");
        let start = Instant::now();
        let packed = pack(content, job.uid, &spools.layer, &app, build).await?;
        output.detail(format!(
            "{}, {} unpacked, made in {}",
            push_output::size(packed.size),
            push_output::size(packed.unpacked),
            took(start)
        ));
        if cancel.is_cancelled() {
            return Err(user_errors::cancelled(&app));
        }
        let start = Instant::now();
        let metadata = ImageMetadata {
            uid: job.uid,
            env: run_env(template),
            command: found.get(&model::ProcessName::web()).or_else(|| found.values().next()).cloned(),
            annotations: record.annotations(),
        };
        let image =
            self.store(&app, &ready, &packed, &metadata, &spools.layer).await.map_err(|error| user_errors::registry(build, error))?;
        output.detail(format!("image {} stored in {}", image.digest.short(), took(start)));
        Ok(Slug { image, processes: found, size: packed.size })
    }

    /// The template of a source and why: the reason, then what else fits.
    fn template<'a>(&'a self, app: &AppRef, tree: &dyn SourceTree, manifest: &Manifest) -> Result<(&'a Template, Vec<String>), UserError> {
        if let Some(name) = &manifest.template {
            let template = self.catalog.get(name).ok_or_else(|| user_errors::unknown_template(name, &self.catalog))?;
            return Ok((template, vec!["app.yaml asks for it".into()]));
        }
        match detect::detect(&self.catalog, tree) {
            Detection::Found(fit, others) => {
                let template =
                    self.catalog.get(&fit.template).ok_or_else(|| user_errors::unknown_template(&fit.template, &self.catalog))?;
                let mut because = vec![fit.because];
                because.extend(others.iter().map(|other| {
                    format!("{} would fit too ({}); `template: {}` in app.yaml chooses it", other.template, other.because, other.template)
                }));
                Ok((template, because))
            }
            Detection::Nothing(hints) => Err(user_errors::no_template(app, &hints, manifest.root.as_deref())),
        }
    }

    /// The stack of a template; making it is reported to the pusher. A layer once begun is made to its end, also when the pusher leaves: the next push needs it.
    async fn stack(
        &self,
        template: &Template,
        build: &model::BuildId,
        output: &Arc<dyn Output>,
        cancel: &CancellationToken,
    ) -> Result<TemplateStack, UserError> {
        let (layers, template, output) = (self.layers.clone(), template.clone(), output.clone());
        let lines = ProgressLines::default();
        let making = tokio::spawn(async move {
            let progress = |news: ProgressEvent<'_>| lines.line(news).into_iter().for_each(|line| output.detail(line));
            layers.ready(&template, &progress).await
        });
        tokio::select! {
            ready = making => match ready {
                Ok(ready) => ready.map_err(|error| user_errors::layers(build.as_str(), error)),
                Err(error) => Err(user_errors::io(build.as_str(), std::io::Error::other(error))),
            },
            () = cancel.cancelled() => Err(UserError::new(Code::Cancelled, "the build was cancelled").next("push again to build again")),
        }
    }

    /// Chooses a version of each tool.
    fn tools(
        &self,
        template: &Template,
        ready: &TemplateStack,
        tree: &dyn SourceTree,
        output: &dyn Output,
    ) -> Result<BTreeMap<String, String>, UserError> {
        let mut tools = BTreeMap::new();
        let mut warnings = Vec::new();
        for tool in &template.spec.tools {
            let available = ready.tools.get(&tool.name).map(Vec::as_slice).unwrap_or_default();
            let choice = pins::choose(&pins::find(&tool.pins, tree), available, tool.newer);
            match &choice {
                Choice::Nearest(version, pin) => {
                    warnings.push(format!("{} asks for {} {}; the nearest that the stack has is {version}", pin.file, tool.title, pin.text))
                }
                Choice::Unread(version, pin) => {
                    warnings.push(format!("`{}` in {} is not understood; {} {version} is used", pin.text, pin.file, tool.title))
                }
                Choice::Refused(pin) => return Err(user_errors::version_unavailable(tool, pin, available)),
                Choice::Missing => return Err(user_errors::tool_missing(tool)),
                Choice::Default(_) | Choice::Exact(..) => {}
            }
            if let Some(version) = choice.version() {
                let asked = if let Choice::Exact(_, pin) = &choice { format!(", as {} asks", pin.file) } else { String::new() };
                output.detail(format!("{} {version} on {TITLE}{asked}", tool.title));
                tools.insert(tool.name.clone(), version.to_string());
            }
        }
        for warning in warnings {
            output.warn(warning);
        }
        Ok(tools)
    }

    #[expect(clippy::too_many_arguments, reason = "one build's parts, used here once")]
    async fn in_container(
        &self,
        job: &Job,
        limits: &Limits,
        template: &Template,
        ready: &TemplateStack,
        tools: &BTreeMap<String, String>,
        spools: &Spools,
        output: &dyn Output,
        cancel: &CancellationToken,
    ) -> Result<Content, UserError> {
        let app = job.app.app_ref();
        let build = job.build.as_str();
        let engine_failed = |error| user_errors::engine(build, &error);
        let values = Values {
            template: template.name().to_string(),
            versions: tools.clone(),
            fingerprint: format!("{}{}", ready.build.tag, template.digest().short()),
        };
        let script = script::render(template, &values).map_err(|error| {
            tracing::error!(build, error = %error, "a template can not be rendered");
            UserError::internal(build)
        })?;
        let cache = tokio::select! {
            cache = self.caches.take(&app, job.uid, template.name()) => cache.map_err(engine_failed)?,
            () = cancel.cancelled() => return Err(user_errors::cancelled(&app)),
        };
        let tar = job.source.tar().await.map_err(|error| user_errors::io(build, error))?;
        let root = job.manifest.root.clone().unwrap_or_default();
        let ignored = rooted(&job.source, &job.manifest)?.text(".slugignore").unwrap_or_default();
        let labels = [
            (KIND_LABEL, BUILD.to_owned()),
            ("slipway.build", job.build.to_string()),
            ("slipway.tenant", app.tenant.to_string()),
            ("slipway.app", app.app.to_string()),
        ];
        let run = BuildRun {
            engine: &self.engine,
            id: &job.build,
            app: &app,
            uid: job.uid,
            image: ready.build.full(),
            sandbox: self.netns_pool.lend(&job.build, &ready.build.full()).await.map_err(engine_failed)?,
            container_names: &self.container_names,
            removals: &self.removals,
            labels: self.labels.clone().into_iter().chain(labels.map(|(name, value)| (name.to_owned(), value))).collect(),
            cache,
            script,
            env: self.build_env(template, &job.manifest, &values.fingerprint),
            ca: self.host.ca.clone(),
            limits,
            log: output,
            cancel,
        };
        run.run(
            SourceFilter { root, to: "app".into(), uid: job.uid, ignore: SlugIgnore::parse(&ignored), max_bytes: limits.source },
            tar,
            &spools.content,
        )
        .await
    }

    /// Environment of a build; later ones win: the host's, the template's, the repository's, the platform's.
    fn build_env(&self, template: &Template, manifest: &Manifest, fingerprint: &str) -> Vec<String> {
        let mut env: BTreeMap<String, String> = self.host.variables.clone();
        env.extend(run_env(template));
        env.extend(template.spec.env.build.clone());
        env.extend(manifest.build.env.clone());
        env.insert("HOME".into(), "/tmp/home".into());
        env.insert("SLIPWAY_FINGERPRINT".into(), fingerprint.into());
        env.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// Uploads a layer and makes the image of it.
    async fn store(
        &self,
        app: &AppRef,
        ready: &TemplateStack,
        packed: &PackedLayer,
        metadata: &ImageMetadata,
        layer: &Path,
    ) -> Result<ImageRef, crate::registry::RegistryError> {
        let repository = app.to_string();
        let base = ready.base.as_ref();
        for below in &base.layers {
            if !self.registry.has_blob(&repository, below.digest).await?
                && !self.registry.mount(&base.repository, &repository, below.digest).await?
            {
                // A registry that does not share layers between repositories is given them once more.
                let bytes = self.registry.blob(&base.repository, below.digest).await?;
                self.registry.put_bytes(&repository, below.digest, bytes).await?;
            }
        }
        self.registry.put_file(&repository, packed.digest, packed.size, layer).await?;
        let composed = image::compose(base, packed, metadata);
        self.registry.put_bytes(&repository, Digest::of(&composed.config), composed.config).await?;
        let digest = Digest::of(&composed.manifest);
        self.registry.put_manifest(&repository, &digest.to_string(), composed.manifest).await?;
        Ok(ImageRef { repository, digest })
    }
}

/// A name for this process of a builder, so that what the last one left can be told from its own.
fn life() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", std::process::id(), now.as_nanos())
}

/// Environment of the running slug.
fn run_env(template: &Template) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([
        ("HOME".to_owned(), "/app".to_owned()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ("PATH".to_owned(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
    ]);
    env.extend(template.spec.env.run.clone());
    env
}

/// The app's folder of a source.
fn rooted(source: &Arc<dyn Source>, manifest: &Manifest) -> Result<Folder, UserError> {
    if let Some(root) = &manifest.root
        && source.list(root).is_none()
    {
        let folders = source.list("").unwrap_or_default().into_iter().filter(|entry| entry.kind == EntryKind::Folder);
        let folders: Vec<String> = folders.map(|entry| format!("{}/", entry.name)).collect();
        return Err(user_errors::no_such_root(root, &folders));
    }
    Ok(Folder::new(source.clone(), manifest.root.as_deref().unwrap_or_default()))
}

/// The id of the tree that a job builds. Without one, two sources could share a key.
fn tree_id(job: &Job) -> Result<String, UserError> {
    let folder = job.manifest.root.as_deref().unwrap_or_default();
    job.source.tree_id(folder).ok_or_else(|| {
        tracing::error!(build = %job.build, folder, "a source has no tree id");
        UserError::internal(&job.build)
    })
}

fn took(start: Instant) -> String {
    push_output::elapsed(start.elapsed().as_millis().try_into().unwrap_or(u64::MAX))
}

async fn pack(content: Content, uid: u32, layer: &Path, app: &AppRef, build: &str) -> Result<PackedLayer, UserError> {
    let path = layer.to_path_buf();
    let packing = tokio::task::spawn_blocking(move || content.pack(std::fs::File::create(path)?, uid));
    let packed = packing.await.unwrap_or_else(|error| Err(std::io::Error::other(error).into()));
    packed.map_err(|error| user_errors::slug(app, build, error))
}

#[async_trait::async_trait]
impl Builder for Buildstep {
    fn most_source(&self) -> u64 {
        self.config.limits.source
    }

    async fn prepare(&self, job: &Job) -> Result<Prepared, UserError> {
        let tree = rooted(&job.source, &job.manifest)?;
        let (template, notes) = self.template(&job.app.app_ref(), &tree, &job.manifest)?;
        let source_key = source_key::source_key(&tree_id(job)?, job.uid, self.layers.recipe(), template, &job.manifest);
        Ok(Prepared { template: template.name().clone(), notes, source_key: source_key.hex() })
    }

    async fn build(&self, job: &Job, prepared: &Prepared, output: Arc<dyn Output>, cancel: CancellationToken) -> Result<Slug, UserError> {
        let start = Instant::now();
        let template =
            self.catalog.get(&prepared.template).ok_or_else(|| user_errors::unknown_template(&prepared.template, &self.catalog))?;
        let built = self.steps(job, template, &output, &cancel).await;
        let duration_ms = start.elapsed().as_millis() as u64;
        match &built {
            Ok(slug) => {
                tracing::info!(app = %job.app, build = %job.build, template = %prepared.template, image = %slug.image, duration_ms, "built")
            }
            Err(user_error) => tracing::info!(app = %job.app, build = %job.build, code = %user_error.code, duration_ms, "not built"),
        }
        built
    }

    async fn has_image(&self, image: &ImageRef) -> bool {
        matches!(self.registry.manifest(&image.repository, &image.digest.to_string()).await, Ok(Some(_)))
    }

    async fn reap(&self) {
        self.reap_all().await;
    }
}
