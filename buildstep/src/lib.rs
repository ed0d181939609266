//! buildstep
mod apt;
pub mod catalog;
pub mod detect;
mod engine;
mod hostenv;
mod ignore;
mod intake;
mod near;
pub mod pins;
mod sanitize;
pub mod script;
mod slug;
pub mod source;
mod stack;
pub mod template;
pub mod version;
