//! What the tests stand on: a real router on a free port, apps made of plain threads, and clients made of plain sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use model::{AppEnv, InstanceId, InstanceState, InstanceStatus, ReleaseNumber, Route, RouteState};
use router::{Config, Handle, Router, Times, table};
use tokio_util::sync::CancellationToken;

pub const HOST: &str = "shop.acme.localhost";
pub const APP: &str = "acme/shop/prod";

/// Waits until `state` holds; `missing` says what was waited for.
pub fn wait_until(missing: &str, mut state: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !state() {
        assert!(Instant::now() < deadline, "still missing after 20 s: {missing}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("text")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A running router; dropping it ends it.
pub struct Running {
    pub address: SocketAddr,
    pub handle: Handle,
    pub log: Log,
    pub shutdown: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    pub fn start(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { listen: vec!["127.0.0.1:0".parse().expect("an address")], workers: Some(2), ..Config::default() };
        change(&mut config);
        let log = Log::default();
        let router = Router::bind(config, Some(Box::new(log.clone()))).expect("a free port");
        let (address, handle, shutdown) = (router.addresses()[0], router.handle(), CancellationToken::new());
        let until = shutdown.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(router.serve(until)).expect("served");
        });
        Self { address, handle, log, shutdown, thread: Some(thread) }
    }

    /// A router with short waits and these apps behind `HOST`.
    pub fn with(apps: &[&App]) -> Self {
        Self::with_times(apps, |_| {})
    }

    pub fn with_times(apps: &[&App], change: impl FnOnce(&mut Times)) -> Self {
        let running = Self::start(|config| change(&mut config.times));
        running.route(RouteState::Ready, apps);
        running
    }

    /// Swaps in a table in which `HOST` leads to these apps.
    pub fn route(&self, state: RouteState, apps: &[&App]) {
        let statuses: Vec<_> = apps.iter().map(|app| app.status()).collect();
        self.swap(state, &statuses);
    }

    pub fn swap(&self, state: RouteState, statuses: &[InstanceStatus]) {
        let route = Route { hostname: HOST.parse().expect("a host name"), app: APP.parse().expect("an app"), state, first_byte_s: 1 };
        self.handle.swap(table(&[route], statuses, &self.handle.table()));
    }

    pub fn connect(&self) -> Client {
        Client::new(self.address)
    }

    /// Sends one request on its own connection and reads the whole answer.
    pub fn ask(&self, request: &str) -> Answer {
        let mut client = self.connect();
        client.send(request);
        client.answer("GET")
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"))
    }

    /// Ends the router and waits for it.
    pub fn stop(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the router ends cleanly");
        }
    }

    /// Ends the router; all it logged.
    pub fn lines(mut self) -> String {
        self.stop();
        self.log.text()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take()
            && !std::thread::panicking()
        {
            thread.join().expect("the router ends cleanly");
        }
    }
}

/// A client that sends bytes as they are.
pub struct Client {
    pub stream: TcpStream,
    pub reader: BufReader<TcpStream>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value);
        let first = values.next();
        assert!(values.next().is_none(), "{name} twice in {}", self.head);
        first
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn code(&self) -> &str {
        self.header("x-slipway-error").unwrap_or("none")
    }
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the router listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream.set_write_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        let reader = BufReader::new(stream.try_clone().expect("a second handle"));
        Self { stream, reader }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the router takes it");
    }

    pub fn head(&mut self) -> (u16, String) {
        let mut head = String::new();
        loop {
            let mut line = String::new();
            let len = self.reader.read_line(&mut line).unwrap_or_else(|error| panic!("no head but {error} after {head:?}"));
            assert!(len > 0, "the connection ended inside a head: {head:?}");
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status in {head:?}"));
        (status, head)
    }

    /// Reads one answer to a request of this method.
    pub fn answer(&mut self, method: &str) -> Answer {
        let (mut status, mut head) = self.head();
        while status == 100 {
            (status, head) = self.head();
        }
        let mut answer = Answer { status, head, body: Vec::new() };
        if method == "HEAD" || matches!(status, 101 | 204 | 304) {
            return answer;
        }
        if answer.header("transfer-encoding").is_some() {
            answer.body = self.chunks().expect("a whole body");
        } else if let Some(len) = answer.header("content-length").map(|len| len.parse().expect("a number")) {
            answer.body = vec![0; len];
            self.reader.read_exact(&mut answer.body).expect("a whole body");
        } else {
            self.reader.read_to_end(&mut answer.body).expect("a body until the end");
        }
        answer
    }

    /// Reads a chunked body with its trailer; an error when it breaks off.
    pub fn chunks(&mut self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let len = usize::from_str_radix(line.trim_end(), 16).unwrap_or_else(|_| panic!("not a chunk size: {line:?}"));
            if len == 0 {
                while line != "\r\n" {
                    line.clear();
                    self.reader.read_line(&mut line)?;
                }
                return Ok(body);
            }
            let start = body.len();
            body.resize(start + len + 2, 0);
            self.reader.read_exact(&mut body[start..])?;
            assert_eq!(&body[start + len..], b"\r\n");
            body.truncate(start + len);
        }
    }

    /// Whether the router has closed the connection, once it has nothing more to say.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(_) => {
                assert!(rest.is_empty(), "unexpected: {:?}", String::from_utf8_lossy(&rest));
                true
            }
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// One request as an app gets it.
#[derive(Debug, Clone)]
pub struct Got {
    /// The head byte for byte, without its empty line.
    pub raw: Vec<u8>,
    pub head: String,
    pub body: Vec<u8>,
}

impl Got {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }
}

type Serve = dyn Fn(&mut Conversation) + Send + Sync;

/// An app: a listener and a thread per connection.
pub struct App {
    pub address: SocketAddr,
    pub number: usize,
    pub requests: Arc<AtomicUsize>,
    pub connections: Arc<AtomicUsize>,
    pub open: Arc<AtomicUsize>,
    listener: Option<TcpListener>,
}

static NUMBER: AtomicUsize = AtomicUsize::new(1);

/// The app's side of one connection.
pub struct Conversation {
    pub stream: TcpStream,
    pub reader: BufReader<TcpStream>,
    pub requests: Arc<AtomicUsize>,
    /// The number of this connection, in the order in which they came.
    pub ordinal: usize,
}

impl Conversation {
    /// The next request with its body; none when the router has closed the connection.
    pub fn next(&mut self) -> Option<Got> {
        let raw = self.raw_head()?;
        let mut got = Got { head: String::from_utf8_lossy(&raw).into_owned(), raw, body: Vec::new() };
        if got.header("transfer-encoding").is_some() {
            loop {
                let mut line = String::new();
                self.reader.read_line(&mut line).ok()?;
                let len = usize::from_str_radix(line.trim_end(), 16).ok()?;
                let start = got.body.len();
                got.body.resize(start + len + 2, 0);
                self.reader.read_exact(&mut got.body[start..]).ok()?;
                got.body.truncate(start + len);
                if len == 0 {
                    break;
                }
            }
        } else if let Some(len) = got.header("content-length") {
            got.body = vec![0; len.parse().expect("a number")];
            self.reader.read_exact(&mut got.body).ok()?;
        }
        Some(got)
    }

    pub fn head(&mut self) -> Option<String> {
        self.raw_head().map(|raw| String::from_utf8(raw).expect("text"))
    }

    fn raw_head(&mut self) -> Option<Vec<u8>> {
        let mut head = Vec::new();
        loop {
            let before = head.len();
            if self.reader.read_until(b'\n', &mut head).ok()? == 0 {
                return None;
            }
            if &head[before..] == b"\r\n" {
                head.truncate(before);
                break;
            }
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        Some(head)
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The router may be gone already; the test looks at the other end.
        let _ = self.stream.write_all(bytes.as_ref());
    }

    pub fn say(&mut self, body: &str) {
        self.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    }
}

impl App {
    /// Serves each connection with `serve`.
    pub fn new(serve: impl Fn(&mut Conversation) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self::on(listener, serve)
    }

    pub fn on(listener: TcpListener, serve: impl Fn(&mut Conversation) + Send + Sync + 'static) -> Self {
        let app = Self {
            address: listener.local_addr().expect("an address"),
            number: NUMBER.fetch_add(1, Ordering::SeqCst),
            requests: Arc::default(),
            connections: Arc::default(),
            open: Arc::default(),
            listener: Some(listener.try_clone().expect("a second handle")),
        };
        let (requests, connections, open) = (Arc::clone(&app.requests), Arc::clone(&app.connections), Arc::clone(&app.open));
        let serve: Arc<Serve> = Arc::new(serve);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                stream.set_nodelay(true).expect("no delay");
                let ordinal = connections.fetch_add(1, Ordering::SeqCst);
                open.fetch_add(1, Ordering::SeqCst);
                let (serve, open, requests) = (Arc::clone(&serve), Arc::clone(&open), Arc::clone(&requests));
                std::thread::spawn(move || {
                    let reader = BufReader::new(stream.try_clone().expect("a second handle"));
                    serve(&mut Conversation { stream, reader, requests, ordinal });
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        app
    }

    /// Answers every request with what it got: head, empty line, body.
    pub fn echo() -> Self {
        Self::new(|conversation| {
            while let Some(got) = conversation.next() {
                let text = [&got.raw, &b"\r\n"[..], &got.body].concat();
                conversation.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len()));
                conversation.send(text);
            }
        })
    }

    /// Answers every request with these bytes, on a connection that stays open.
    pub fn says(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::new(move |conversation| {
            while conversation.next().is_some() {
                conversation.send(&bytes);
            }
        })
    }

    /// An address on which nobody listens.
    pub fn dead() -> Self {
        let mut app = Self::new(|_| {});
        app.end();
        app
    }

    /// Stops listening; open connections go on.
    pub fn end(&mut self) {
        if let Some(listener) = self.listener.take() {
            rustix::net::shutdown(&listener, rustix::net::Shutdown::Both).expect("the listener is shut down");
            wait_until("the listener is closed", || TcpStream::connect(self.address).is_err());
        }
    }

    pub fn id(&self) -> InstanceId {
        format!("i-{:010}", self.number).parse().expect("an id")
    }

    pub fn status(&self) -> InstanceStatus {
        InstanceStatus {
            id: self.id(),
            app: APP.parse::<AppEnv>().expect("an app"),
            process: "web".parse().expect("a process"),
            ordinal: 1,
            release: ReleaseNumber(3),
            epoch: 0,
            host: "here".parse().expect("a host"),
            zone: "a".parse().expect("a zone"),
            state: InstanceState::Healthy,
            address: Some(self.address),
            since: model::Time::UNIX_EPOCH,
            restarts: 0,
            last_exit: None,
            reason: None,
            code: None,
        }
    }

    pub fn seen(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub fn opened(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.take() {
            // Wakes the accepting thread, which then ends.
            let _ = rustix::net::shutdown(&listener, rustix::net::Shutdown::Both);
        }
    }
}
