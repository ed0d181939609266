//! Every example builds with the real engine, is pulled and run, answers HTTP, and builds again to the same digest.

mod support;

use std::time::Instant;

use buildstep::Limits;
use support::{Files, RunningSlug, TestBuilder};

async fn built_and_served(name: &str) -> RunningSlug {
    let builder = TestBuilder::new(name, Limits::default()).await;
    let files = Files::example(name);
    let start = Instant::now();
    let slug = match builder.build(&files).await {
        Ok(slug) => slug,
        Err(user_error) => panic!("{name} was not built: {user_error}\n{}", builder.output.text()),
    };
    println!("{}\n{name}: cold {:?}", builder.output.text(), start.elapsed());
    let start = Instant::now();
    let warm = builder.build(&files).await.expect("it builds again");
    println!("{name}: warm {:?}", start.elapsed());
    assert_eq!(slug.image, warm.image, "a build with a cache differs");
    builder.purge().await;
    let cold = builder.build(&files).await.expect("it builds a third time");
    assert_eq!(slug.image, cold.image, "a build without a cache differs");
    builder.serve(&slug).await
}

#[tokio::test(flavor = "multi_thread")]
async fn hello_python() {
    let running = built_and_served("hello-python").await;
    assert!(running.get("/").await.contains("Hello from Python!"));
    assert!(running.get("/healthz").await.contains("\"ok\""));
    let record = running.exec("cat /app/.slipway/build.json");
    assert!(record.contains("\"template\": \"python\"") && record.contains("\"web\": \"python app.py\""), "{record}");
    let (user, owner) = (running.exec("id -u"), running.exec("stat -c %u /app/app.py"));
    assert!(user == owner && user.parse::<u32>().is_ok_and(|uid| uid > 200_000), "{user} runs what {owner} owns");
    assert!(running.ends_when_asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn hello_node() {
    let running = built_and_served("hello-node").await;
    assert!(running.get("/").await.contains("Hello from Node.js!"));
    assert!(running.ends_when_asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn hello_go() {
    let running = built_and_served("hello-go").await;
    assert!(running.get("/").await.contains("Hello from Go!"));
    assert!(running.ends_when_asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn hello_static() {
    let running = built_and_served("hello-static").await;
    let page = running.get("/").await;
    assert!(page.contains("Hello from plain files!") && page.contains("Content-Type: text/html; charset=utf-8"), "{page}");
    let style = running.get("/style.css").await;
    assert!(style.contains("Content-Type: text/css"), "{style}");
    let missing = running.get("/nowhere").await;
    assert!(missing.starts_with("HTTP/1.1 404") && missing.contains("nothing at this address"), "{missing}");
    for hidden in ["/.slipway/build.json", "/Staticfile"] {
        assert!(running.get(hidden).await.starts_with("HTTP/1.1 404"), "{hidden} must not be served");
    }
    assert!(running.ends_when_asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn hello_procfile() {
    let running = built_and_served("hello-procfile").await;
    assert!(running.get("/").await.contains("Hello from C!"));
}
