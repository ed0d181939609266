//! The router as it runs, against raw sockets on both sides: what a client sends byte by byte, what an app gets.

mod content_types;
mod deploy;
mod follow;

mod framing;
mod harness;
mod hold;
mod hostile;
mod life;
mod retries;
mod status;
mod targets;
mod tunnels;
