//! The smallest registry that the engine pulls from: one layer of busybox per image, read only.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use model::{Digest, ImageRef};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// Programs of busybox that tests use.
const PROGRAMS: &[&str] = &[
    "sh", "httpd", "nc", "sleep", "wget", "cat", "echo", "id", "head", "tail", "stty", "env", "dd", "nslookup", "true", "seq", "mv", "cut",
];

type Blobs = Arc<Mutex<HashMap<String, (&'static str, Vec<u8>)>>>;

pub struct Registry {
    pub address: SocketAddr,
    blobs: Blobs,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Registry {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let blobs: Blobs = Arc::default();
        let served = blobs.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let blobs = served.clone();
                tokio::spawn(async move { drop(serve(stream, blobs).await) });
            }
        });
        Self { address, blobs, task }
    }

    fn put(&self, kind: &'static str, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        self.blobs.lock().expect("a lock").insert(digest.to_string(), (kind, bytes));
        digest
    }

    /// Adds an image whose user is `user`.
    pub fn add(&self, repository: &str, user: &str) -> ImageRef {
        let layer = layer();
        let size = layer.len();
        let layer = self.put("application/octet-stream", layer);
        let config = serde_json::json!({
            "architecture": "amd64", "os": "linux", "created": "2020-01-01T00:00:00Z",
            "config": { "User": user, "Env": ["PATH=/bin"], "Cmd": ["sh"], "WorkingDir": "/app" },
            "rootfs": { "type": "layers", "diff_ids": [layer.to_string()] },
        });
        let config = config.to_string().into_bytes();
        let config_size = config.len();
        let config = self.put("application/vnd.docker.container.image.v1+json", config);
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": { "mediaType": "application/vnd.docker.container.image.v1+json", "size": config_size, "digest": config.to_string() },
            "layers": [{ "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": size, "digest": layer.to_string() }],
        });
        let digest = self.put("application/vnd.docker.distribution.manifest.v2+json", manifest.to_string().into_bytes());
        ImageRef { repository: repository.into(), digest }
    }
}

fn layer() -> Vec<u8> {
    let busybox = std::fs::read("/bin/busybox").expect("/bin/busybox, from the package busybox-static");
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind: tar::EntryType, mode: u32, data: &[u8], link: Option<&str>| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(10_001);
        header.set_gid(10_001);
        header.set_size(data.len() as u64);
        match link {
            Some(link) => tar.append_link(&mut header, path, link).expect("a link"),
            None => tar.append_data(&mut header, path, data).expect("an entry"),
        }
    };
    use tar::EntryType::{Directory, Regular, Symlink};
    for dir in ["bin/", "tmp/", "app/", "app/.profile.d/"] {
        add(dir, Directory, 0o755, &[], None);
    }
    add("bin/busybox", Regular, 0o755, &busybox, None);
    for program in PROGRAMS {
        add(&format!("bin/{program}"), Symlink, 0o777, &[], Some("busybox"));
    }
    for name in ["probe", "server"] {
        add(&format!("bin/{name}"), Regular, 0o755, &program(name), None);
    }
    add("app/index.html", Regular, 0o644, b"it serves\n", None);
    add("app/.profile.d/set.sh", Regular, 0o644, b"export FROM_PROFILE=\"it's sourced\"\n", None);
    tar.into_inner().expect("a tar")
}

/// A program of this folder that needs nothing else, compiled once.
fn program(name: &'static str) -> Vec<u8> {
    static PROGRAMS: Mutex<BTreeMap<&str, Vec<u8>>> = Mutex::new(BTreeMap::new());
    let compile = || {
        let dir = tempfile::tempdir().expect("a directory");
        let (source, program) = (format!("{}/tests/host/common/{name}.c", env!("CARGO_MANIFEST_DIR")), dir.path().join(name));
        let done = std::process::Command::new("cc").args(["-static", "-O1", "-o"]).arg(&program).arg(source).output().expect("cc");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        std::fs::read(program).expect("the program")
    };
    PROGRAMS.lock().expect("no compiler panics twice").entry(name).or_insert_with(compile).clone()
}

async fn serve(stream: tokio::net::TcpStream, blobs: Blobs) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut first, mut line) = (String::new(), String::new());
        if stream.read_line(&mut first).await? == 0 {
            return Ok(());
        }
        while stream.read_line(&mut line).await? > 2 {
            line.clear();
        }
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let found = blobs.lock().expect("a lock").get(path.rsplit('/').next().unwrap_or_default()).cloned();
        let (status, kind, body) = match found {
            _ if path == "/v2/" => ("200 OK", "application/json", b"{}".to_vec()),
            Some((kind, body)) => ("200 OK", kind, body),
            None => {
                let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
                ("404 Not Found", "application/json", body.to_vec())
            }
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nDocker-Distribution-Api-Version: registry/2.0\r\nDocker-Content-Digest: {}\r\n\r\n",
            body.len(),
            Digest::of(&body)
        );
        stream.write_all(head.as_bytes()).await?;
        if !first.starts_with("HEAD") {
            stream.write_all(&body).await?;
        }
        stream.flush().await?;
    }
}
