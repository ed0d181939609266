//! The builder: source tree → template → slug → image in the registry.
//!
//! Owns the stack and its layers, the templates' format, the walls around builds, and the shape of slugs. Knowledge about
//! languages is data, in `templates/`. Must never use the engine's own image builder, never run foreign code outside of a
//! walled container, and never see a secret of the platform. bollard is known to `engine` alone.

mod apt;
mod bootstrap;
mod buildstep;
mod caches;
pub mod catalog;
mod claims;
mod config;
pub mod detect;
mod engine;
mod hostenv;
mod ignore;
mod image;
mod intake;
mod key;
mod layers;
mod limits;
mod mirrors;
mod near;
mod outcome;
mod packages;
mod patience;
pub mod pins;
mod processes;
mod record;
mod registry;
mod run;
mod sandbox;
mod sanitize;
mod script;
mod slug;
pub mod source;
mod spools;
mod stack;
pub mod template;
mod told;
mod upload;
mod usage;
mod user_errors;
pub mod version;
mod worn;

pub use buildstep::{Buildstep, SetupError};
pub use config::Config;
pub use engine::EngineError;
pub use layers::LayerError;
pub use limits::Limits;
pub use mirrors::mirrors;
pub use registry::{Login, Registry, RegistryError};
pub use stack::Recipe;
pub use told::{News, Progress, Spoken};
