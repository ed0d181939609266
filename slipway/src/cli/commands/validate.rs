//! `slipway validate`: app.yaml and Procfile, offline.

use std::io::Read;
use std::path::Path;

use model::{Code, Manifest, UserError, procfile};

use crate::cli::console::Console;

/// Largest file that is read, in bytes; what is larger is refused by whoever reads its meaning.
const READ: u64 = 1024 * 1024;
/// The templates that every server has; an operator may add others.
const BUILT_IN: [&str; 5] = ["go", "node", "procfile", "python", "static"];

/// Checks a folder; says what it found.
pub fn run(output: &Console, dir: &Path) -> Result<(), UserError> {
    match std::fs::metadata(dir) {
        Ok(about) if about.is_dir() => {}
        Ok(_) => return Err(UserError::new(Code::BadRequest, format!("{} is not a folder", dir.display())).next(again())),
        Err(error) => {
            return Err(UserError::new(Code::NotFound, format!("could not look into {}", dir.display())).why(why(&error)).next(again()));
        }
    }
    let wrong = |text: String| UserError::new(Code::BadManifest, text).next(format!("mend it, then: {}", again()));
    let manifest = match read(dir, "app.yaml")? {
        Some(text) => Some(Manifest::parse(&text).map_err(|error| wrong(error.to_string()))?),
        None => None,
    };
    let root = manifest.as_ref().and_then(|manifest| manifest.root.clone());
    if let Some(root) = &root
        && !dir.join(root).is_dir()
    {
        return Err(wrong(format!("app.yaml: the folder `{root}` of `root` is not there")));
    }
    let mut warnings = Vec::new();
    if let Some(template) = manifest.as_ref().and_then(|manifest| manifest.template.as_ref()) {
        warnings.extend(check_template(template.as_str()).map_err(wrong)?);
    }
    let procfile = root.map_or_else(|| "Procfile".to_owned(), |root| format!("{root}/Procfile"));
    let processes = match read(dir, &procfile)? {
        Some(text) => Some(procfile::parse(&text).map_err(|error| wrong(error.to_string()))?),
        None => None,
    };
    output.answer(&serde_json::json!({ "manifest": manifest, "procfile": processes, "warnings": warnings }), |output| {
        match &manifest {
            Some(manifest) => {
                let names: Vec<&str> = manifest.processes.keys().map(|name| name.as_str()).collect();
                let names = if names.is_empty() { "no processes of its own".to_owned() } else { names.join(", ") };
                output.line(format!("app.yaml   ok: {names}"));
            }
            None => output.line("app.yaml   none (it is optional): slipway init writes one"),
        }
        match &processes {
            Some(processes) => {
                let names: Vec<&str> = processes.keys().map(|name| name.as_str()).collect();
                output.line(format!("Procfile   ok: {}", names.join(", ")));
            }
            None => output.line("Procfile   none (it is optional)"),
        }
        for warning in &warnings {
            output.note(model::push_output::warn(warning));
        }
    });
    Ok(())
}

fn again() -> &'static str {
    "slipway validate <folder>   # the folder with app.yaml; this one when left out"
}

fn why(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "There is nothing of that name.".into(),
        _ => format!("{error}."),
    }
}

/// The text of a file, if there is one. What is no file is not opened: reading a pipe would wait for a writer.
fn read(dir: &Path, name: &str) -> Result<Option<String>, UserError> {
    let path = dir.join(name);
    let wrong =
        |what: &str| UserError::new(Code::BadManifest, format!("{name} {what}")).next(format!("look at it: file {}", path.display()));
    match std::fs::metadata(&path) {
        Ok(about) if about.is_file() => {}
        Ok(_) => return Err(wrong("is not a file")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong("can not be read").why(why(&error))),
    }
    let mut bytes = Vec::new();
    std::fs::File::open(&path)
        .and_then(|file| file.take(READ).read_to_end(&mut bytes))
        .map_err(|error| wrong("can not be read").why(why(&error)))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
            Err(wrong("is not UTF-8 text").why(format!("The first wrong byte is in line {line}.")).next("save it as UTF-8 in your editor"))
        }
    }
}

/// A template that is a slip of the pen away from a built-in one is wrong; any other may be the operator's own.
fn check_template(name: &str) -> Result<Option<String>, String> {
    if BUILT_IN.contains(&name) {
        return Ok(None);
    }
    let near = BUILT_IN.iter().find(|known| strsim::damerau_levenshtein(known, name) == 1);
    match near {
        Some(near) => Err(format!("app.yaml: there is no template `{name}`; did you mean `{near}`?")),
        None => Ok(Some(format!(
            "app.yaml: `{name}` is none of the built-in templates ({}); it builds only where the operator has added it",
            BUILT_IN.join(", ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::console::Std;

    fn refused(files: &[(&str, &[u8])]) -> UserError {
        let dir = tempfile::tempdir().expect("a directory");
        for (name, bytes) in files {
            std::fs::write(dir.path().join(name), bytes).expect("a file");
        }
        run(&Console::new(Box::new(Std), true), dir.path()).expect_err("a refusal")
    }

    #[test]
    fn what_can_not_be_built_is_told() {
        let root = refused(&[("app.yaml", b"root: nodir\n")]);
        assert_eq!(root.what, "app.yaml: the folder `nodir` of `root` is not there");
        let template = refused(&[("app.yaml", b"template: pyton\n")]);
        assert_eq!(template.what, "app.yaml: there is no template `pyton`; did you mean `python`?");
        let bytes = refused(&[("app.yaml", b"app: x\n# \xff\n")]);
        assert_eq!((bytes.what.as_str(), bytes.why.as_str()), ("app.yaml is not UTF-8 text", "The first wrong byte is in line 2."));
        let syntax = refused(&[("Procfile", b"web\n")]);
        for user_error in [root, template, bytes, syntax] {
            assert_eq!(user_error.code, Code::BadManifest);
            assert!(!user_error.next.is_empty(), "{user_error}");
        }
    }

    #[test]
    fn places_without_a_project_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let output = Console::new(Box::new(Std), true);
        let missing = run(&output, &dir.path().join("nowhere")).expect_err("no folder");
        assert_eq!((missing.code, missing.why.as_str()), (Code::NotFound, "There is nothing of that name."));
        std::fs::write(dir.path().join("file"), "").expect("a file");
        assert_eq!(run(&output, &dir.path().join("file")).expect_err("a file").code, Code::BadRequest);
        let pipe = dir.path().join("app.yaml");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
        assert_eq!(run(&output, dir.path()).expect_err("a pipe").what, "app.yaml is not a file");
    }

    #[test]
    fn an_unknown_template_may_be_the_operators() {
        assert!(check_template("elixir").expect("no refusal").expect("a warning").contains("built-in"));
        assert_eq!(check_template("node"), Ok(None));
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates");
        let mut there: Vec<String> = std::fs::read_dir(folder)
            .expect("templates")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        there.sort();
        assert_eq!(there, BUILT_IN);
    }
}
