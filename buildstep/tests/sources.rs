//! Repositories of the shapes that people have: every lock file, several markers, vendored modules, native add-ons, sub-folders.

mod support;

use buildstep::Limits;
use support::{Bench, Files, Running};

/// Builds a source and runs it; gives what the pusher saw too.
async fn served(name: &str) -> (String, Running) {
    let bench = Bench::new(&format!("source-{name}"), Limits::default()).await;
    let built = bench.build(&Files::folder(&format!("tests/sources/{name}"))).await;
    let heard = bench.heard.text();
    let slug = match built {
        Ok(slug) => slug,
        Err(user_error) => panic!("{name} was not built: {user_error}\n{heard}"),
    };
    println!("{heard}");
    (heard, bench.serve(&slug).await)
}

async fn works(name: &str) -> (String, Running) {
    let (heard, running) = served(name).await;
    let answer = running.get("/").await;
    assert!(answer.contains("it works"), "{name} answers {answer}");
    (heard, running)
}

#[tokio::test(flavor = "multi_thread")]
async fn uv() {
    let (_, running) = works("uv").await;
    assert_eq!(
        running.exec("ls -d /app/.venv/lib/*/site-packages/iniconfig 2>/dev/null | wc -l"),
        "0",
        "development dependencies stay out"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn poetry() {
    works("poetry").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pdm() {
    let (heard, _running) = works("pdm").await;
    assert!(heard.contains("       1 package installed"), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pipenv() {
    works("pipenv").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pnpm() {
    let (_, running) = works("pnpm").await;
    assert!(running.get("/").await.contains("built true, development dependencies gone"));
}

#[tokio::test(flavor = "multi_thread")]
async fn yarn_classic() {
    let (_, running) = works("yarn1").await;
    assert!(running.get("/").await.contains("built true, development dependencies gone"));
}

#[tokio::test(flavor = "multi_thread")]
async fn yarn_modern() {
    let (_, running) = works("yarn4").await;
    assert!(running.get("/").await.contains("built true, development dependencies gone"));
}

#[tokio::test(flavor = "multi_thread")]
async fn django_with_assets_beside_it() {
    let (heard, running) = works("django").await;
    assert!(running.get("/static/site.css").await.contains("teal"), "static files are collected and served");
    assert!(heard.contains(" !     .python-version asks for Python 3.12; the nearest that the stack has is 3.13"), "{heard}");
    assert!(heard.contains("web: gunicorn shop.wsgi"), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn go_vendored_with_two_programs() {
    let (heard, running) = works("govendor").await;
    assert!(heard.contains("web: bin/web") && heard.contains("worker: bin/worker"), "{heard}");
    assert_eq!(running.exec("ls /app/bin; ls -d /app/vendor 2>/dev/null | wc -l"), "web\nworker\n0");
}

#[tokio::test(flavor = "multi_thread")]
async fn node_with_a_native_add_on() {
    let (heard, _running) = works("native").await;
    assert!(heard.contains("asks for Node.js 18.x; the nearest that the stack has is 20"), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_in_a_sub_folder() {
    let (_, running) = served("monorepo").await;
    assert!(running.get("/Procfile").await.contains("http.server"));
    assert_eq!(running.exec("ls -A /app"), ".slipway\n.slugignore\n.venv\nProcfile\nrequirements.txt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_nobody_builds_is_served_with_a_warning() {
    let (heard, _running) = works("unbuilt").await;
    assert!(heard.contains(" !     package.json has a `build` script, and a static site runs none"), "{heard}");
    assert!(heard.contains("add \"start\": \"serve -s dist\" to its scripts"), "{heard}");
    assert!(heard.contains("       2 files\n"), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_its_own_package_builds_and_serves() {
    let (heard, _running) = works("served").await;
    assert!(heard.contains("Running the build script") && heard.contains("web: serve -s dist"), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_no_requirement_brings() {
    let (heard, _running) = works("unserved").await;
    let warning = " !     Procfile starts `gunicorn`, which is not installed: add it to the dependencies (see requirements.txt)";
    assert!(heard.contains(warning) && heard.contains("       1 package installed\n"), "{heard}");
}
