//! The commands that need no peer, as a user runs them.

mod import;
mod reference;
mod simulate;
mod trainer;

use std::{path::Path, process::Command};

/// What a run of `sotto` gave.
struct Ran {
    code: i32,
    output: String,
    errors: String,
}

/// Runs `sotto` in `folder`.
fn sotto(folder: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sotto"));
    let done = command.args(args).current_dir(folder).output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints text");
    Ran {
        code: done.status.code().expect("it ends by itself"),
        output: text(done.stdout),
        errors: text(done.stderr),
    }
}
