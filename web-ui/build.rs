//! Embeds `docs/errors/*.md` where they are: each code's page is the text that the documentation has.

use std::fmt::Write as _;
use std::path::Path;

fn main() {
    let manifest = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let docs = Path::new(&manifest).join("../docs/errors");
    println!("cargo:rerun-if-changed={}", docs.display());
    println!("cargo:rerun-if-changed=build.rs");
    let mut pages: Vec<_> = std::fs::read_dir(&docs)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    let mut code = String::from("/// Code and Markdown of each page.\npub(crate) const ERROR_PAGES: &[(&str, &str)] = &[\n");
    for page in pages {
        let name = page.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let path = page.canonicalize().unwrap_or(page.clone());
        writeln!(code, "    ({name:?}, include_str!({:?})),", path.display().to_string()).expect("writing to a string");
    }
    code.push_str("];\n");
    let out = std::env::var("OUT_DIR").expect("cargo sets it");
    std::fs::write(Path::new(&out).join("error_pages.rs"), code).expect("the output directory can be written");
}
