//! Repositories of the shapes that people have: every lock file, several markers, vendored modules, native add-ons, sub-folders.

mod support;

use buildstep::Limits;
use support::{Files, RunningSlug, TestBuilder};

/// Builds a source and runs it; gives what the pusher saw too.
async fn served(name: &str) -> (String, RunningSlug) {
    let builder = TestBuilder::new(&format!("source-{name}"), Limits::default()).await;
    let built = builder.build(&Files::folder(&format!("tests/sources/{name}"))).await;
    let output = builder.output.text();
    let slug = match built {
        Ok(slug) => slug,
        Err(user_error) => panic!("{name} was not built: {user_error}\n{output}"),
    };
    println!("{output}");
    (output, builder.serve(&slug).await)
}

async fn works(name: &str) -> (String, RunningSlug) {
    let (output, running) = served(name).await;
    let answer = running.get("/").await;
    assert!(answer.contains("it works"), "{name} answers {answer}");
    (output, running)
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
    let (output, _running) = works("pdm").await;
    assert!(output.contains("       1 package installed"), "{output}");
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
    let (output, running) = works("django").await;
    assert!(running.get("/static/site.css").await.contains("teal"), "static files are collected and served");
    assert!(output.contains(" !     .python-version asks for Python 3.12; the nearest that the stack has is 3.13"), "{output}");
    assert!(output.contains("web: gunicorn shop.wsgi"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn go_vendored_with_two_programs() {
    let (output, running) = works("govendor").await;
    assert!(output.contains("web: bin/web") && output.contains("worker: bin/worker"), "{output}");
    assert_eq!(running.exec("ls /app/bin; ls -d /app/vendor 2>/dev/null | wc -l"), "web\nworker\n0");
}

#[tokio::test(flavor = "multi_thread")]
async fn node_with_a_native_add_on() {
    let (output, _running) = works("native").await;
    assert!(output.contains("asks for Node.js 18.x; the nearest that the stack has is 20"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_in_a_sub_folder() {
    let (_, running) = served("monorepo").await;
    assert!(running.get("/Procfile").await.contains("http.server"));
    assert_eq!(running.exec("ls -A /app"), ".slipway\n.slugignore\n.venv\nProcfile\nrequirements.txt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_nobody_builds_is_served_with_a_warning() {
    let (output, _running) = works("unbuilt").await;
    assert!(output.contains(" !     package.json has a `build` script, and a static site runs none"), "{output}");
    assert!(output.contains("add \"start\": \"serve -s dist\" to its scripts"), "{output}");
    assert!(output.contains("       2 files\n"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_its_own_package_builds_and_serves() {
    let (output, _running) = works("served").await;
    assert!(output.contains("Running the build script") && output.contains("web: serve -s dist"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_no_requirement_brings() {
    let (output, _running) = works("unserved").await;
    let warning = " !     Procfile starts `gunicorn`, which is not installed: add it to the dependencies (see requirements.txt)";
    assert!(output.contains(warning) && output.contains("       1 package installed\n"), "{output}");
}
