//! What a router is told when it starts: where to listen, how long to wait, whom to trust. Values only.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

/// Settings of one router process.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses to listen on; port 0 takes a free one, the same for all workers.
    pub listen: Vec<SocketAddr>,
    /// Worker threads; none: one per core.
    pub workers: Option<usize>,
    /// Peers whose `X-Forwarded-*` are kept and added to: load balancers in front.
    pub trusted: Vec<IpNet>,
    /// Client connections per worker; more wait in the kernel's queue.
    pub max_connections: usize,
    /// Requests held per route over all workers, while its app is paused or starting.
    pub max_held: u32,
    /// Where the pages are that explain each code, by its name behind this; empty: nowhere.
    pub errors: String,
    /// How long to wait for what.
    pub times: Times,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 8080))],
            workers: None,
            trusted: Vec::new(),
            max_connections: 20_000,
            max_held: 1000,
            errors: String::new(),
            times: Times::default(),
        }
    }
}

/// How long to wait for what. The time to the first byte is a matter of the route.
#[derive(Debug, Clone)]
pub struct Times {
    /// From the first byte of a request's head to its last; also from the accept to the first byte.
    pub head: Duration,
    /// A client connection without a request.
    pub keep_alive: Duration,
    /// A client that stops sending its body.
    pub client_body: Duration,
    /// A client that stops reading the answer.
    pub client_read: Duration,
    /// Connecting to an instance.
    pub connect: Duration,
    /// An app that stops sending the body of its answer.
    pub answer: Duration,
    /// An event stream or a WebSocket on which nothing happens.
    pub quiet: Duration,
    /// An unused connection to an instance; below what apps allow (Node closes after 5 s).
    pub idle: Duration,
    /// Holding requests of a paused route.
    pub paused: Duration,
    /// Holding requests of an app whose instance is being started.
    pub starting: Duration,
    /// Holding requests of an app of which no instance is known.
    pub missing: Duration,
    /// How long the WebSockets of an instance that leaves may live on, at most.
    pub tunnel_drain: Duration,
    /// Finishing requests when the router itself ends.
    pub shutdown: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            head: seconds(15),
            keep_alive: seconds(75),
            client_body: seconds(60),
            client_read: seconds(60),
            connect: seconds(3),
            answer: seconds(90),
            quiet: seconds(600),
            idle: seconds(4),
            paused: seconds(30),
            starting: seconds(75),
            missing: seconds(10),
            tunnel_drain: seconds(30),
            shutdown: seconds(30),
        }
    }
}
