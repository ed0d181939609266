//! buildstep
pub mod catalog;
pub mod detect;
mod near;
pub mod pins;
pub mod script;
pub mod source;
pub mod template;
pub mod version;
