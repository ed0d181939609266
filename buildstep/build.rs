//! Puts the folders of `templates/` into the program, so that a new template is a folder and no code.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../templates");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut code =
        String::from("/// Folder, file and text of each template file in the program.\nconst BUILTIN: &[(&str, &str, &str)] = &[\n");
    let mut folders: Vec<_> =
        fs::read_dir(&root).expect("templates/ is there").map(|entry| entry.expect("a folder can be read").path()).collect();
    folders.sort();
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        println!("cargo::rerun-if-changed={}", folder.display());
        let mut files: Vec<_> =
            fs::read_dir(folder).expect("a folder can be read").map(|entry| entry.expect("a file can be read").path()).collect();
        files.sort();
        for file in files {
            println!("cargo::rerun-if-changed={}", file.display());
            let name = |path: &Path| path.file_name().expect("it has a name").to_string_lossy().into_owned();
            let absolute = file.canonicalize().expect("it exists");
            writeln!(code, "    ({:?}, {:?}, include_str!({:?})),", name(folder), name(&file), absolute).expect("a string takes all");
        }
    }
    code.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("builtin.rs"), code).expect("OUT_DIR can be written");
}
