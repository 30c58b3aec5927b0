//! `sotto train` and `sotto search`: the program `sotto-nas`, which is built apart because what trains is heavy.
//! It is found and started as cargo does with its subcommands.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use crate::error::Error;

/// The variable that tells `sotto-nas` which `sotto` started it.
pub const SOTTO: &str = "SOTTO";

/// What to do where the program is not found.
const MISSING: &str = "\
the training program `sotto-nas` is not here: `sotto` looks beside itself, in nas/target/release of its checkout, and \
in PATH. It is built apart from `sotto`, in a checkout, with
    cargo build --release --manifest-path nas/Cargo.toml
nas/README.md has the features for libtorch (fast on a CPU) and a GPU";

/// Becomes `sotto-nas SUBCOMMAND ARGUMENTS`, whose signals and exit code are then this process's (elsewhere than on
/// Unix: waits for it and ends as it does). Returns only where that program does not start: [`Error::Config`] with the
/// command that builds it, or [`Error::Io`].
pub fn become_it(subcommand: &str, arguments: &[OsString]) -> Error {
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(e) => return Error::io(Path::new("sotto"))(e),
    };
    let Some(program) = find(&own) else { return Error::Config(MISSING.into()) };
    let mut command = Command::new(&program);
    command.arg(subcommand).args(arguments).env(SOTTO, &own);
    Error::io(&program)(replace(command))
}

#[cfg(unix)]
fn replace(mut command: Command) -> std::io::Error {
    std::os::unix::process::CommandExt::exec(&mut command)
}

#[cfg(not(unix))]
fn replace(mut command: Command) -> std::io::Error {
    // Ctrl-C reaches both; what follows is the program's to choose.
    drop(ctrlc::set_handler(|| {}));
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    }
}

/// The first `sotto-nas` beside `own`, in its checkout, or in `PATH`. Not in the current folder: who can write to that is
/// not who installed us.
fn find(own: &Path) -> Option<PathBuf> {
    let built = Path::new("nas/target/release");
    let folder = own.parent();
    // checkout/target/release/sotto
    let checkout = folder.and_then(|f| f.ancestors().nth(2));
    let near = [folder.map(Path::to_path_buf), checkout.map(|c| c.join(built))];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let name = format!("sotto-nas{}", std::env::consts::EXE_SUFFIX);
    near.into_iter()
        .flatten()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(&name))
        .find(|program| program.is_file())
}
