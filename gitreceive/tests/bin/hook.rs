//! The hook program of the tests: what the shipped binary does when git starts it under the name of a hook.

use std::process::ExitCode;

use gitreceive::hooks::{self, HookKind};

fn main() -> ExitCode {
    match std::env::args_os().next().as_deref().and_then(HookKind::from_program) {
        Some(kind) => hooks::main(kind),
        None => ExitCode::from(2),
    }
}
