//! The disk of the platform fills up. Pushes are refused with the reason, what runs serves on, and room is all that it takes to go on.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use anyhow::{Context, Result};
use tests::{Ground, Platform, Pushed, Repository, SmallDisk, wait_for};

const DEV: &str = "hello-dev.acme.localhost";
const MB: u64 = 1_000_000;
/// What the platform of this test keeps free.
const RESERVE_MB: u64 = 100;
/// An answer that does not come within this is taken for none.
const BOUND: Duration = Duration::from_secs(120);

#[test]
fn a_full_disk_stops_pushes_and_nothing_else() -> Result<()> {
    let disk = SmallDisk::new(1_200)?;
    let settings = format!("[disk]\nreserve_mb = {RESERVE_MB}\n");
    let platform = Platform::start_on(Ground { data: Some(disk.path().join("data")), settings, ..Ground::default() })?;
    let repository = Repository::example(&platform, "hello-python", "hello")?;
    let first = repository.push("acme/hello/dev")?;
    assert!(first.ok && first.said.contains("is live"), "{}", first.said);
    let good = repository.git(&["rev-parse", "HEAD"])?;

    disk.fill_but(0)?;
    repository.write("note.txt", "pushed to a full disk\n")?;
    repository.commit("A note")?;
    let refused = repository.push("acme/hello/dev")?;
    is_refused_for_the_disk(&refused);
    serves(&platform)?;
    nothing_moved(&platform, &repository, &good)?;

    // Enough to begin with, and too little for what comes.
    disk.fill_but((RESERVE_MB + 20) * MB)?;
    let mut noise = vec![0; 300 * MB as usize];
    File::open("/dev/urandom")?.read_exact(&mut noise)?;
    repository.write_bytes("noise.bin", &noise)?;
    repository.commit("More than there is room for")?;
    is_refused_for_the_disk(&repository.push("acme/hello/dev")?);
    serves(&platform)?;
    nothing_moved(&platform, &repository, &good)?;
    repository.git(&["reset", "-q", "--hard", "HEAD~1"])?;

    // Nothing is left at all, and the database has to write.
    disk.fill_but(0)?;
    let refused = (0..600).find_map(|n| {
        let value = format!("BIG={n}{}", "x".repeat(60_000));
        platform.slipway(&["config:set", &value, "-a", "acme/hello", "-e", "prod"]).err()
    });
    let refused = refused.context("the database never ran out of room")?.to_string();
    assert!(["[SW-S102]", "[SW-S103]"].iter().any(|code| refused.contains(code)), "{}", &refused[refused.len().saturating_sub(800)..]);
    serves(&platform)?;

    disk.clear()?;
    wait_for("the database after there is room again", BOUND, || {
        Ok(platform.json(&["releases", "-a", "acme/hello", "-e", "dev"]).ok().map(drop))
    })?;
    let pushed = repository.push("acme/hello/dev")?;
    assert!(pushed.ok && pushed.said.contains("is live"), "the platform did not recover:\n{}", pushed.said);
    serves(&platform)
}

fn is_refused_for_the_disk(pushed: &Pushed) {
    assert!(!pushed.ok, "a push was accepted on a full disk:\n{}", pushed.said);
    for part in ["full", "[SW-S103]", "what runs keeps running", "→ sudo slipway doctor"] {
        assert!(pushed.said.contains(part), "the refusal does not say {part:?}:\n{}", pushed.said);
    }
    assert_eq!(pushed.said.matches("SW-S103").count(), pushed.said.matches("[SW-").count(), "another code:\n{}", pushed.said);
}

fn serves(platform: &Platform) -> Result<()> {
    let answer = platform.get(DEV, "/")?;
    assert!(answer.status == 200 && answer.body.contains("Hello from"), "{answer:?}");
    Ok(())
}

fn nothing_moved(platform: &Platform, repository: &Repository<'_>, good: &str) -> Result<()> {
    let remote = repository.git(&["ls-remote", &platform.remote("acme/hello/dev"), "main"])?;
    assert!(remote.starts_with(good), "the ref moved: {remote}, not {good}");
    let releases = platform.json(&["releases", "-a", "acme/hello", "-e", "dev"])?;
    assert_eq!(releases.as_array().context("releases")?.len(), 1, "{releases}");
    Ok(())
}
