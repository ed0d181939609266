//! The builder: source tree → template → slug → image in the registry.
//!
//! Owns the stack and its layers, the templates' format, the sandboxes of builds, and the shape of slugs. Knowledge about
//! languages is data, in `templates/`. Must never use the engine's own image builder, never run foreign code outside of a
//! limited container, and never see a secret of the platform. bollard is known to `engine` alone.

mod buildstep;
mod config;
mod engine;
mod labels;
mod progress;
mod registry;
mod sandbox;
mod slug;
mod source;
mod stack;
mod template;
mod timeouts;
mod user_errors;

pub use buildstep::{Buildstep, SetupError};
pub use config::Config;
pub use engine::EngineError;
pub use progress::{Progress, ProgressEvent, ProgressLines};
pub use registry::{Login, Registry, RegistryError};
pub use sandbox::limits::Limits;
pub use stack::layers::LayerError;
pub use stack::mirrors::mirrors;
pub use stack::recipe::Recipe;
