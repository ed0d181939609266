//! The router as it runs, against raw sockets on both sides: what a client sends byte by byte, what an app gets.

mod deploy;
mod follow;
mod forms;
mod framing;
mod gate;
mod harness;
mod hostile;
mod life;
mod retries;
mod tunnels;
