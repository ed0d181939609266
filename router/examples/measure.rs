//! A router in front of one backend address, for measuring by hand: `measure 127.0.0.1:8080 127.0.0.1:9000 [log file]`.

use std::io::Write;

use model::{InstanceState, InstanceStatus, ReleaseNumber, Route, RouteState};
use router::{Config, Router, table};
use tokio_util::sync::CancellationToken;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let config = Config { listen: vec![args[1].parse().expect("an address")], ..Config::default() };
    let log = args.get(3).map(|path| Box::new(std::fs::File::create(path).expect("a file")) as Box<dyn Write + Send>);
    let router = Router::bind(config, log).expect("a free port");
    let app: model::AppEnv = "acme/bench/prod".parse().expect("an app");
    let route =
        |host: &str| Route { hostname: host.parse().expect("a name"), app: app.clone(), state: RouteState::Ready, first_byte_s: 30 };
    let status = InstanceStatus {
        id: "i-0000000001".parse().expect("an id"),
        app: app.clone(),
        process: "web".parse().expect("a process"),
        ordinal: 1,
        release: ReleaseNumber(1),
        epoch: 0,
        host: "here".parse().expect("a host"),
        zone: "a".parse().expect("a zone"),
        state: InstanceState::Healthy,
        address: Some(args[2].parse().expect("an address")),
        since: model::Time::UNIX_EPOCH,
        restarts: 0,
        last_exit: None,
        reason: None,
        code: None,
    };
    let handle = router.handle();
    handle.swap(table(&[route("localhost")], &[status], &handle.table()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(router.serve(CancellationToken::new())).expect("served");
}
