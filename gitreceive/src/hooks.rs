//! The hooks of a push: the program that git starts, the server that answers it, and what passes between them.

pub(crate) mod hook_output;
pub(crate) mod hook_program;
pub(crate) mod hook_server;
pub(crate) mod wire;

pub use hook_program::main;
pub use wire::HookKind;
