//! `sotto train` and `sotto search`, which start another program.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Where a checkout has it.
const BIN: &str = "target/release";

/// A folder with this build's `sotto` in it, where no real `sotto-nas` is near.
struct Installed(tempfile::TempDir);

impl Installed {
    fn new() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let here = Self(folder);
        std::fs::create_dir_all(here.bin()).unwrap();
        std::fs::hard_link(env!("CARGO_BIN_EXE_sotto"), here.bin().join("sotto")).unwrap();
        here
    }

    /// Where `sotto` lies, as in a checkout.
    fn bin(&self) -> PathBuf {
        self.path().join(BIN)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs `sotto` there with this `PATH` alone.
    fn run(&self, args: &[&str], path: &Path) -> Output {
        let mut command = Command::new(self.bin().join("sotto"));
        command.args(args).current_dir(self.path()).env("PATH", path).output().unwrap()
    }

    /// A `sotto-nas` in one of its folders that tells who called it how, and ends with code 7. A shell writes it:
    /// a program cannot be started while another thread of this one forks with the file open for writing.
    fn fake(&self, folder: &str) -> PathBuf {
        let folder = self.path().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        let text = format!(
            "#!/bin/sh\necho {} \"$SOTTO\"\nfor word; do echo \"<$word>\"; done\nexit 7\n",
            folder.display()
        );
        let write = "printf '%s' \"$1\" > \"$0\" && chmod +x \"$0\"";
        let program = folder.join("sotto-nas");
        let done = Command::new("sh").args(["-c", write]).arg(&program).arg(text).status();
        assert!(done.unwrap().success());
        folder
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[cfg(unix)]
#[test]
fn arguments_exit_code_and_sottos_own_path_go_through() {
    let here = Installed::new();
    let beside = here.fake(BIN);
    let nowhere = Path::new("/nonexistent");
    let words = ["search", "--help", "a b", "--", "-x", "--budget=80ms", ""];
    let ran = here.run(&words, nowhere);
    let own = here.bin().join("sotto");
    let expected = format!(
        "{} {}\n<search>\n<--help>\n<a b>\n<-->\n<-x>\n<--budget=80ms>\n<>\n",
        beside.display(),
        own.display()
    );
    assert_eq!((text(&ran.stdout), ran.status.code()), (expected.as_str(), Some(7)));
    let ran = here.run(&["train"], nowhere);
    assert!(text(&ran.stdout).ends_with("\n<train>\n"), "{}", text(&ran.stdout));
}

#[cfg(unix)]
#[test]
fn the_program_is_found_beside_then_in_the_checkout_then_in_path() {
    let here = Installed::new();
    let elsewhere = here.fake("bin");
    let told = |ran: Output| text(&ran.stdout).lines().next().unwrap_or_default().to_owned();
    let first = |folder: &Path| format!("{} ", folder.display());
    assert!(told(here.run(&["train"], &elsewhere)).starts_with(&first(&elsewhere)));
    let built = here.fake("nas/target/release");
    assert!(told(here.run(&["train"], &elsewhere)).contains("nas/target/release"), "{built:?}");
    let beside = here.fake(BIN);
    assert!(told(here.run(&["train"], &elsewhere)).starts_with(&first(&beside)));
}

#[cfg(unix)]
#[test]
fn a_program_in_the_current_folder_is_not_run() {
    let here = Installed::new();
    let other = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let planted = here.fake("planted/nas/target/release");
    std::fs::rename(here.path().join("planted"), other.path().join("planted")).unwrap();
    let mut command = Command::new(here.bin().join("sotto"));
    command.arg("train").current_dir(other.path().join("planted")).env("PATH", "/nonexistent");
    let ran = command.output().unwrap();
    assert_eq!(ran.status.code(), Some(2), "{} ran: {}", planted.display(), text(&ran.stdout));
}

#[test]
fn without_the_program_the_error_says_how_to_build_it() {
    let here = Installed::new();
    for subcommand in ["train", "search"] {
        let ran = here.run(&[subcommand, "--help"], Path::new("/nonexistent"));
        let said = text(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{said}");
        for part in ["cargo build --release --manifest-path nas/Cargo.toml", "nas/README.md"] {
            assert!(said.contains(part), "{said}");
        }
    }
}

#[test]
fn help_and_completions_know_both() {
    let here = Installed::new();
    for args in [&["--help"][..], &["completions", "bash"], &["help", "search"]] {
        let ran = here.run(args, Path::new("/nonexistent"));
        let said = text(&ran.stdout);
        assert!(said.contains("search"), "{said}");
        assert!(args[0] == "help" || said.contains("train"), "{said}");
    }
}
