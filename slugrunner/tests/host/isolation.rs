//! What a container can and can not reach, with real traffic through the real rules.

use crate::common::{SERVE, TestHost, app, get, process};
use model::InstanceState;
use slugrunner::OneOffRequest;
use slugrunner::firewall::Firewall;
use slugrunner::runtime::OutputChunk;
use tokio::io::AsyncWriteExt;

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_reaches_neither_host_nor_metadata_nor_neighbours_and_the_host_reaches_it() {
    let mut host = TestHost::up().await;
    host.release(1, &[("web", process(SERVE))]).await;
    let (one, two) = (host.order(1, "web", 1).await, host.order(1, "web", 2).await);
    let first = host.wait_state(&one, InstanceState::Healthy).await.address.expect("an address");
    let second = host.wait_state(&two, InstanceState::Healthy).await.address.expect("an address");
    assert!(get(first).await.expect("the host's way in").contains("it serves"));

    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            drop(stream.write_all(b"reached\n").await);
        }
    });
    let own = local_address();
    let gateway = host.config.network.gateway();
    for target in [
        format!("{gateway} {port}"),
        format!("{own} {port}"),
        "172.17.0.1 22".to_owned(),
        "169.254.169.254 80".to_owned(),
        "100.64.0.1 80".to_owned(),
        format!("{} {}", second.ip(), second.port()),
    ] {
        let (code, said) = host.inside(&one, &format!("nc -w 20 {target} </dev/null 2>&1")).await;
        assert!(code != 0 && !said.contains("reached"), "{target} was reached: {said}");
        assert!(!said.contains("timed out"), "{target} was left hanging instead of refused: {said}");
    }
    // The same listener is there for those who may: the rules decide, not its absence.
    let mut text = String::new();
    let mut stream = tokio::net::TcpStream::connect((gateway, port)).await.expect("the listener");
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut text).await.expect("its word");
    assert_eq!(text, "reached\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_rules_come_back_within_a_tick() {
    let mut host = TestHost::up().await;
    host.release(1, &[("web", process(SERVE))]).await;
    let id = host.order(1, "web", 1).await;
    host.wait_state(&id, InstanceState::Healthy).await;
    let firewall = Firewall::new(&host.config);
    assert!(!firewall.assert().await.expect("rules"), "the rules did not stand");
    firewall.remove().await.expect("a removal");
    let saved = || {
        let output = std::process::Command::new("iptables-save").args(["-t", "filter"]).output().expect("iptables-save");
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(firewall.repair(&saved()).expect("a chain").is_some(), "the rules were not removed");
    host.wait_for("the rules", async || match firewall.repair(&saved()) {
        Ok(None) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

/// A network that the host alone is a member of; gone with this.
struct Neighbour {
    interface: String,
    address: String,
}

impl Neighbour {
    /// `network` becomes a /30 of which the host has the first address.
    fn new(name: &str, network: [u8; 3]) -> Self {
        let interface = format!("slw{name}{}", std::process::id());
        let [a, b, c] = network;
        let address = format!("{a}.{b}.{c}.1");
        let ip = |words: &[&str]| assert!(std::process::Command::new("ip").args(words).status().expect("ip").success(), "ip {words:?}");
        ip(&["link", "add", &interface, "type", "bridge"]);
        let neighbour = Self { interface, address };
        ip(&["addr", "add", &format!("{}/30", neighbour.address), "dev", &neighbour.interface]);
        ip(&["link", "set", &neighbour.interface, "up"]);
        neighbour
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = std::process::Command::new("ip").args(["link", "del", &self.interface]).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_of_the_host_and_of_examples_are_closed() {
    // Public addresses that nobody routes, on a device of this host.
    let neighbour = Neighbour::new("a", [44, 31, 251]);
    let mut host = TestHost::up().await;
    host.release(1, &[("web", process(SERVE))]).await;
    let web = host.order(1, "web", 1).await;
    host.wait_state(&web, InstanceState::Healthy).await;
    for target in [
        neighbour.address.replace(".1", ".2").as_str(),
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "198.18.0.1",
        "240.0.0.1",
        "192.88.99.1",
    ] {
        let (code, said) = host.inside(&web, &format!("nc -w 20 {target} 80 </dev/null 2>&1")).await;
        assert!(code != 0, "{target} answered");
        assert!(!said.contains("timed out"), "{target} was left hanging instead of refused: {said}");
    }
}

/// The engine's resolver answers for every address of the network, and nothing can switch that off: what it says of another instance has
/// to be its random id and no word of whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn the_engines_resolver_tells_nobody_whose_an_address_is() {
    let mut host = TestHost::up().await;
    host.release(1, &[("web", process(SERVE))]).await;
    let (one, two) = (host.order(1, "web", 1).await, host.order(1, "web", 2).await);
    host.wait_state(&one, InstanceState::Healthy).await;
    let address = host.wait_state(&two, InstanceState::Healthy).await.address.expect("an address").ip();
    let (_, said) = host.inside(&one, &format!("nslookup {address} 127.0.0.11 2>&1")).await;
    let network = &host.config.network.name;
    assert!(said.contains(&format!("slipway-{two}.{network}")) || said.contains("NXDOMAIN"), "no resolver answered: {said}");
    let app = app();
    for word in [app.tenant.as_str(), app.app.as_str()] {
        assert!(!said.contains(word), "it names {word}: {said}");
    }
}

/// What `probe` says: whether each call was done, or how it failed.
const CALLS: &str = "io_uring_setup ENOSYS\nsocket AF_VSOCK EPERM\nsocket AF_ALG EPERM\nsocket NETLINK_SOCK_DIAG EPERM\nsocket AF_INET ok\nsocket NETLINK_ROUTE ok\nunshare EPERM\nclone CLONE_NEWUSER EPERM\nclone3 ENOSYS\nkeyctl EPERM\nuserfaultfd EPERM\nthread ok\nprocess ok\n";

#[tokio::test(flavor = "multi_thread")]
async fn instances_and_one_offs_make_only_the_calls_of_the_profile() {
    let mut host = TestHost::up().await;
    host.release(1, &[("web", process(SERVE))]).await;
    let web = host.order(1, "web", 1).await;
    host.wait_state(&web, InstanceState::Healthy).await;
    assert_eq!(host.inside(&web, "probe").await, (0, CALLS.to_owned()));
    let request = OneOffRequest { app: app(), release: model::ReleaseNumber(1), command: "probe".into(), terminal: None };
    let mut run = host.oneoffs().run(request).await.expect("a one-off");
    let mut said = String::new();
    while let Some(chunk) = run.output().await {
        let (OutputChunk::Stdout(bytes) | OutputChunk::Stderr(bytes)) = chunk;
        said.push_str(&String::from_utf8_lossy(&bytes));
    }
    assert_eq!((said.as_str(), run.exit_code().await), (CALLS, 0));
}

/// The address of this machine towards others.
fn local_address() -> std::net::IpAddr {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
    match socket.connect("192.0.2.1:9") {
        Ok(()) => socket.local_addr().expect("its address").ip(),
        Err(_) => "127.0.0.1".parse().expect("an address"),
    }
}
