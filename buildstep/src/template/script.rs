//! The build script of a run: the template's script with the values of this build.
//!
//! Every value is quoted for the shell by the renderer itself, so that nothing from a repository can become code that the
//! template did not write. Must never run anything.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;
use tera::{Context, Tera};

use crate::template::definition::{Template, TemplateError};

/// Longest script: what the kernel takes as one argument, with room to spare.
const MAX_SCRIPT: usize = 100 * 1024;

/// What a script may ask for.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Values {
    /// The template's name.
    pub template: String,
    /// Chosen versions by tool.
    pub versions: BTreeMap<String, String>,
    /// The digest of what a cached result depends on besides the source's own files.
    pub fingerprint: String,
}

/// Put before each script: strict mode, and the functions that scripts print with.
const PRELUDE: &str = r#"#!/bin/bash
set -euo pipefail
# One stream: output is shown in the order in which it was written.
exec 2>&1
umask 022
step() { printf -- '-----> %s\n' "$*"; }
say() { printf -- '       %s\n' "$*"; }
warn() { printf -- ' !     %s\n' "$*"; }
fail() { printf -- ' !     %s\n' "$@"; exit 1; }
# process TYPE COMMAND: names a default process type of this slug
process() { mkdir -p /app/.slipway; printf '%s: %s\n' "$1" "$2" >> /app/.slipway/processes; }
# counted NUMBER WORD: "1 file", "2 files"
counted() { printf '%s %s' "$1" "$2"; if [ "$1" != 1 ]; then printf s; fi; }
digest_of() { { cat -- "$@" 2>/dev/null; printf '%s' "$SLIPWAY_FINGERPRINT"; } | sha256sum | cut -c1-32; }
cd /app
"#;

/// Around each script: the source comes on standard input, `/app` leaves on standard output, output goes to standard error.
/// The engine's own copying into and out of a container takes as long each as starting it.
const AROUND: &str = r#"
# The stack knows no user of this uid, and some programs ask for its name.
[ ! -w /etc/passwd ] || echo "app:x:$UID:10001::/app:/bin/bash" >> /etc/passwd
/usr/bin/tar --extract --directory=/ --warning=no-timestamp || exit
exec < /dev/null
/bin/bash -c "$1" >&2
status=$?
# What the script left running must not change what is taken.
kill -KILL -- -1 2> /dev/null
[ "$status" = 0 ] || exit "$status"
# Files that their own user can not read are taken all the same.
/usr/bin/find /app -type d ! -perm -0700 -exec /usr/bin/chmod u+rwx {} \; -o -type f ! -perm -0400 -exec /usr/bin/chmod u+r {} + >&2
exec /usr/bin/tar --create --directory=/ app
"#;

/// The command of a container that runs a script. It is an argument, not a file: nothing that the build could change.
pub fn command(script: &str) -> Vec<String> {
    ["/bin/bash", "-c", AROUND, "build", script].map(str::to_owned).into()
}

/// Renders the script of a template.
pub fn render(template: &Template, values: &Values) -> Result<String, TemplateError> {
    let fail = |error: tera::Error| TemplateError { name: template.name().to_string(), why: format!("build.sh.tera: {error}") };
    let mut tera = Tera::new();
    tera.set_escape_fn(quote);
    tera.autoescape_on(["build.sh"]);
    tera.add_raw_template("build.sh", &template.script).map_err(fail)?;
    let context = Context::from_serialize(values).map_err(fail)?;
    let body = tera.render("build.sh", &context).map_err(fail)?;
    let caches: String = template.spec.cache.iter().map(|name| format!(" /cache/{name}")).collect();
    let script = format!("{PRELUDE}mkdir -p \"$HOME\"{caches}\n{body}");
    if script.len() > MAX_SCRIPT {
        let why = format!("build.sh.tera: it is {} bytes long; {MAX_SCRIPT} fit", script.len());
        return Err(TemplateError { name: template.name().to_string(), why });
    }
    Ok(script)
}

/// Writes a value as one word of the shell. The shell knows no NUL: a value with one renders no script.
fn quote(value: &str, out: &mut dyn Write) -> std::io::Result<()> {
    out.write_all(shlex::try_quote(value).map_err(std::io::Error::other)?.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::catalog::Catalog;
    use proptest::prelude::*;

    fn quoted(value: &str) -> String {
        let mut out = Vec::new();
        quote(value, &mut out).expect("memory takes all");
        String::from_utf8(out).expect("text stays text")
    }

    #[test]
    fn every_template_renders_to_a_script_that_bash_reads() {
        for template in Catalog::builtin().expect("built-in templates").iter() {
            let versions = template.spec.tools.iter().map(|tool| (tool.name.clone(), "1.2.3".to_owned())).collect();
            let script = render(template, &Values { versions, ..Values::default() }).expect("it renders");
            let path = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(path.path(), &script).expect("written");
            let check = std::process::Command::new("bash").arg("-n").arg(path.path()).output().expect("bash runs");
            assert!(check.status.success(), "{}: {}", template.name(), String::from_utf8_lossy(&check.stderr));
        }
    }

    proptest! {
        #[test]
        fn a_value_stays_one_word(value in "[^\0]{0,20}") {
            let echoed = std::process::Command::new("sh").arg("-c").arg(format!("printf %s {}", quoted(&value))).output().expect("sh runs");
            prop_assert_eq!(String::from_utf8_lossy(&echoed.stdout), value);
        }
    }
}
