//! How far the making of layers is: what the engine and apt really report, from the pulled base image to the stored layer.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use buildstep::{Buildstep, Config, ProgressEvent, Recipe, Registry};
use model::Meter;
use registry::{Authentication, Authenticator, Credentials, Grant};
use tokio_util::sync::CancellationToken;

/// Lets everybody in: a base image is pulled without a name.
struct Open;

#[async_trait]
impl Authenticator for Open {
    async fn authenticate(&self, _: Option<Credentials>) -> Authentication {
        Authentication::Granted(Grant::full())
    }
}

/// Bytes of the base image that no engine has.
const NOISE: u64 = 20_000_000;

fn docker(words: &[&str]) -> String {
    let output = Command::new("docker").args(words).output().expect("the docker client is installed");
    assert!(output.status.success(), "docker {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The layers that a builder of this scope made; they go with it.
struct Made {
    scope: String,
    other: Vec<String>,
}

impl Drop for Made {
    fn drop(&mut self) {
        let listed = |filter: &str| {
            let listed = Command::new("docker").args(["images", "--filter", filter, "--format", "{{.Repository}}:{{.Tag}}"]).output();
            listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
        };
        // Those that it made, and its references to those that it shares.
        let (made, shared) =
            (listed(&format!("label=slipway.layer={}", self.scope)), listed(&format!("reference=slipway/stack-*:*-{}", self.scope)));
        for image in shared.lines().chain(made.lines()).map(str::to_owned).chain(self.other.drain(..)) {
            let _ = Command::new("docker").args(["rmi", &image]).output();
        }
        let _ = Command::new("docker").args(["network", "rm", &self.scope]).output();
    }
}

fn template(folder: &Path) {
    let folder = folder.join("measured");
    std::fs::create_dir_all(&folder).expect("a folder");
    let spec =
        "name = \"measured\"\ntitle = \"Measured\"\norder = 90\n[[detect]]\nall = [\"measured\"]\n[run]\npackages = [\"less\", \"file\"]\n";
    std::fs::write(folder.join("template.toml"), spec).expect("written");
    std::fs::write(folder.join("build.sh.tera"), "true\n").expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_of_a_known_size_is_measured_to_its_end() {
    let (work, scope) = (tempfile::tempdir().expect("a folder"), format!("swm{}", std::process::id()));
    let shelf = registry::Registry::on_disk(&work.path().join("registry")).expect("a registry of its own");
    let server = shelf.bind("127.0.0.1:0".parse().expect("an address"), Arc::new(Open)).await.expect("a port");
    let (address, stop) = (server.address().to_string(), CancellationToken::new());
    let serving = tokio::spawn(server.serve(stop.clone()));

    // A system with a layer of its own on top, that only the registry has.
    let image = format!("{address}/measured/base:1");
    let made = Made { scope: scope.clone(), other: vec![image.clone()] };
    let catalogue = |templates: Vec<std::path::PathBuf>, recipe: Recipe| Config {
        work: work.path().join("work"),
        recipe,
        templates,
        network: scope.clone(),
        bridge: scope.clone(),
        subnet: format!("10.213.{}.0/24", 16 + std::process::id() % 200),
        ..Config::default()
    };
    let procfile = "procfile".parse().expect("a name");
    let plain = Buildstep::new(catalogue(Vec::new(), Recipe::default()), Registry::new(address.clone(), None)).expect("a builder");
    plain.boot_template(&procfile, &|_| {}).await.expect("a system to stand on");
    let below = docker(&["images", "--format", "{{.Repository}}:{{.Tag}}", "slipway/stack-procfile-run"]);
    let below = below.lines().next().expect("the layer that was just made").to_owned();
    let name = format!("{scope}-noise");
    docker(&["run", "--name", &name, "--user", "0", &below, "sh", "-c", &format!("head -c {NOISE} /dev/urandom >/noise")]);
    docker(&["commit", &name, &image]);
    docker(&["rm", "--volumes", &name]);
    let pushing = image.clone();
    tokio::task::spawn_blocking(move || docker(&["push", "--quiet", &pushing])).await.expect("pushed");
    docker(&["rmi", &image]);

    template(&work.path().join("templates"));
    let recipe = Recipe { base_image: Some(image.clone()), ..Recipe::default() };
    let config = catalogue(vec![work.path().join("templates")], recipe);
    let builder = Buildstep::new(config, Registry::new(address, None)).expect("a builder");
    let told: Mutex<BTreeMap<String, Vec<Meter>>> = Mutex::default();
    let progress = |news: ProgressEvent<'_>| {
        if let ProgressEvent::Meter(meter) = news {
            told.lock().expect("no panic before").entry(meter.what.clone()).or_default().push(meter.clone());
        }
    };
    builder.boot_template(&"measured".parse().expect("a name"), &progress).await.expect("layers");

    let told = std::mem::take(&mut *told.lock().expect("no panic before"));
    for what in ["pulling", "unpacking", "fetching packages", "installing packages", "storing"] {
        let meters = told.get(what).unwrap_or_else(|| panic!("{what} was not measured: {:?}", told.keys()));
        assert!(meters.iter().all(|meter| meter.done <= meter.total), "{what} passes its end: {meters:?}");
        let last = meters.last().expect("it is not empty");
        match what {
            // It goes over into the unpacking before it is told to be over.
            "pulling" => {}
            // apt counts steps that it then has no word for.
            "installing packages" => assert!(last.done > last.total / 2, "{what} stands still: {meters:?}"),
            _ => assert_eq!(last.done, last.total, "{what} has no end"),
        }
    }
    assert!(told["pulling"].iter().all(|meter| meter.total >= NOISE && meter.total < NOISE * 2), "{:?}", told["pulling"]);
    drop((plain, builder, made));
    stop.cancel();
    serving.await.expect("the registry ends");
}
