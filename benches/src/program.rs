//! Finding the `sotto` program that is measured, and building it when cargo runs us.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::error::Error;

/// The `sotto` program beside ours. Under `cargo run` it is built first, in the same profile and
/// folder: `cargo run -p sotto-bench` builds its library alone, and a stale program would be measured.
///
/// # Errors
/// [`Error::Program`] when it neither is there nor can be built.
pub fn find() -> Result<PathBuf, Error> {
    let own = env::current_exe().map_err(Error::io(Path::new("sotto-bench")))?;
    let folder = own.parent().unwrap_or(Path::new("."));
    if let Some(cargo) = env::var_os("CARGO") {
        build(Path::new(&cargo), folder)?;
    }
    let program = folder.join(format!("sotto{}", env::consts::EXE_SUFFIX));
    if program.is_file() {
        return Ok(program);
    }
    Err(Error::Program(format!("no program {}", program.display())))
}

fn build(cargo: &Path, folder: &Path) -> Result<(), Error> {
    let Some(args) = arguments(folder) else {
        return Err(Error::Program(format!("{} is not a folder of cargo's", folder.display())));
    };
    let mut command = Command::new(cargo);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null());
    // What cargo told us of our own package would make build scripts that watch it run anew each time.
    let ours = env::vars_os().map(|(name, _)| name).filter(|name| is_of_a_package(name));
    ours.for_each(|name| {
        command.env_remove(name);
    });
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error::Program(format!("building sotto failed: {status}"))),
        Err(e) => Err(Error::Program(format!("building sotto failed: {e}"))),
    }
}

/// Whether cargo sets this variable for one package.
fn is_of_a_package(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix))
}

/// Cargo's arguments for the target folder and profile whose programs lie in `folder`.
fn arguments(folder: &Path) -> Option<Vec<String>> {
    let profile = match folder.file_name()?.to_str()? {
        "debug" => "dev",
        other => other,
    };
    let target = folder.parent()?.to_str()?;
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let args = [
        "build",
        "-p",
        "sotto",
        "--bin",
        "sotto",
        "--profile",
        profile,
        "--target-dir",
        target,
        "--manifest-path",
        manifest,
    ];
    Some(args.map(str::to_owned).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_into_the_same_folder() {
        let args = arguments(Path::new("/t/release")).expect("a folder of cargo's").join(" ");
        assert!(args.contains("--profile release --target-dir /t --manifest-path"), "{args}");
        let args = arguments(Path::new("/t/debug")).expect("a folder of cargo's").join(" ");
        assert!(args.contains("--profile dev --target-dir /t "), "{args}");
        assert_eq!(arguments(Path::new("/")), None);
    }

    #[test]
    fn settings_of_the_user_stay() {
        assert!(is_of_a_package(OsStr::new("CARGO_PKG_NAME")));
        assert!(is_of_a_package(OsStr::new("CARGO_MANIFEST_DIR")));
        assert!(!is_of_a_package(OsStr::new("CARGO_HOME")));
        assert!(!is_of_a_package(OsStr::new("CARGO_BUILD_JOBS")));
    }
}
