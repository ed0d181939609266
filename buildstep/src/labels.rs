//! Labels of what the builder makes in the engine. Several platforms may share one engine: the scope tells theirs apart.

/// The platform that a container, volume, network or layer belongs to. The value is the name of its build network.
pub const SCOPE_LABEL: &str = "slipway.scope";
/// What a container is for: `build`, `sandbox`, `stack`; also on volumes and networks.
pub const KIND_LABEL: &str = "slipway.kind";
/// The process of a builder that made a container.
pub const LIFE_LABEL: &str = "slipway.life";
/// The value of `KIND_LABEL` of a container that runs a build.
pub const BUILD: &str = "build";
/// The value of `KIND_LABEL` of a container that holds a network namespace.
pub const SANDBOX: &str = "sandbox";
/// The value of `KIND_LABEL` of a container that makes a layer of the stack.
pub const STACK: &str = "stack";
/// The app whose cache a volume is.
pub const CACHE_LABEL: &str = "slipway.cache";
/// The platform that made a layer. It is not the label of containers, which all that is started from a layer would inherit.
pub const LAYER_LABEL: &str = "slipway.layer";
