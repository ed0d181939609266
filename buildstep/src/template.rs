//! Templates: their format, which one fits a source, which versions of tools it gets, the script that it becomes.

pub mod catalog;
pub mod definition;
pub mod detect;
pub mod pins;
pub mod script;
pub mod suggest;
pub mod version;
