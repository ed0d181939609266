//! The SSH endpoint as users meet it: real OpenSSH, real git, a server on port 0, a backend that records what it is asked.

mod backend;
mod bulk;
mod harness;
mod push;
mod refused;
mod rules;
mod source;
mod ssh;
mod vanish;
