//! The status port: what a scraper and an operator read of a running router.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use router::StatusServer;
use tokio_util::sync::CancellationToken;

use crate::harness::{App, HOST, Running, wait_until};

fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("the status port");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: status\r\nConnection: close\r\n\r\n").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    (head[9..12].parse().expect("a status"), body.to_owned())
}

#[test]
fn it_tells_what_the_router_did_and_where_a_request_would_go() {
    let app = App::echo();
    let running = Running::with(&[&app]);
    let (handle, stop) = (running.handle.clone(), CancellationToken::new());
    let until = stop.clone();
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let server = StatusServer::bind("127.0.0.1:0".parse().expect("an address"), handle).await.expect("a free port");
            tell.send(server.address().expect("bound")).expect("the test waits");
            server.serve(until).await;
        });
    });
    let address = told.recv().expect("an address");

    for _ in 0..3 {
        assert_eq!(running.get("/").status, 200);
    }
    assert_eq!(running.ask("GET / HTTP/1.1\r\nHost: nowhere.localhost\r\n\r\n").status, 404);
    // A request is counted when its answer has left, which may be a moment after the client has read it.
    let has = |line: &str| get(address, "/metrics").1.lines().any(|there| there == line);
    wait_until("three requests in the metrics", || has("slipway_router_requests_total{status=\"2xx\"} 3"));
    wait_until("a refused request in the metrics", || has("slipway_router_refused_total 1"));
    assert!(has("# TYPE slipway_router_requests counter") && has("# EOF"));

    let (status, body) = get(address, &format!("/trace?host={}", HOST.to_uppercase()));
    let trace: router::Trace = serde_json::from_str(&body).expect("a trace");
    assert_eq!((status, trace.app.map(|app| app.to_string()).as_deref()), (200, Some("acme/shop/prod")));
    assert!(trace.steps[0].starts_with(&format!("{HOST} leads to acme/shop/prod")), "{:?}", trace.steps);
    assert!(trace.steps.last().is_some_and(|step| step.contains(&app.address.to_string())), "{:?}", trace.steps);
    let (_, body) = get(address, "/trace?host=nowhere.localhost");
    assert_eq!(serde_json::from_str::<router::Trace>(&body).expect("a trace").app, None);

    assert_eq!(get(address, "/healthz"), (200, "ok\n".into()));
    assert_eq!((get(address, "/trace?host=..").0, get(address, "/other").0), (400, 404));
    stop.cancel();
    thread.join().expect("it ends");
}
