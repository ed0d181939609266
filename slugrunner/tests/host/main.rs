//! The supervisor on the real engine: each test is a host of its own, with its own scope, network, rules and registry.

mod common;
mod failures;
mod isolation;
mod lifecycle;
mod oneoff;
mod web_default;
