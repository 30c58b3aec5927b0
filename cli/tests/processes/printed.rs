//! What every command does when its output is closed, or the disk is full.

use std::{
    fs::{self, File},
    io,
    process::{Command, Stdio},
};

use sotto_models::Arch;

use crate::parties::{Parties, program, tiny};

/// Every command that ends by itself and prints something.
fn commands(parties: &Parties) -> Vec<Vec<String>> {
    let lines = [
        "plan demo",
        "plan demo --json",
        "simulate demo",
        "simulate demo --json",
        "completions bash",
        "demo --limit 1 --model MODEL",
        "demo --limit 1 --model MODEL --json",
        "keygen fresh --out KEYS",
        "calibrate MODEL --images IMAGES",
        "--help",
        "help infer",
        "--version",
    ];
    let words = |line: &str| {
        let word = |word: &str| match word {
            "MODEL" => parties.text("model"),
            "KEYS" => parties.text("keys"),
            "IMAGES" => parties.text("images.bin"),
            word => word.to_owned(),
        };
        line.split(' ').map(word).collect()
    };
    lines.into_iter().map(words).collect()
}

/// Runs a command with its output there; gives its exit code and messages.
fn run(args: &[String], out: impl Into<Stdio>) -> (i32, String) {
    let mut command: Command = program();
    let done = command.args(args).stdout(out).stderr(Stdio::piped()).output().unwrap();
    let err = String::from_utf8(done.stderr).unwrap();
    assert!(!err.contains("panicked"), "{args:?}: {err}");
    (done.status.code().unwrap(), err)
}

/// A pipe that nobody reads.
fn closed() -> io::PipeWriter {
    io::pipe().unwrap().1
}

#[test]
fn a_closed_pipe_is_a_quiet_end_and_a_full_disk_one_line() {
    let parties = Parties::new();
    for args in commands(&parties) {
        // Of the parser's own.
        let is_help = ["--help", "help", "--version"].contains(&&args[0][..]);
        drop(fs::remove_dir_all(parties.path("keys")));
        let (code, err) = run(&args, closed());
        assert!(code == 141 || is_help && code == 0, "{args:?}: {code}: {err}");
        assert!(!err.contains("error"), "{args:?}: {err}");
        drop(fs::remove_dir_all(parties.path("keys")));
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (code, err) = run(&args, full);
        assert!(code == 2 || is_help && code == 0, "{args:?}: {code}: {err}");
        let lines: Vec<_> = err.lines().filter(|l| l.starts_with("error: ")).collect();
        assert!(is_help || lines.len() == 1 && lines[0].contains("No space left"), "{err}");
    }
}

#[test]
fn a_client_whose_output_is_closed_ends_and_leaves_the_server_well() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (_server, server) = parties.server("", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    let images = parties.text("images.bin");
    for form in ["--json", "--json-lines", "--resize"] {
        let args = ["infer", "--config", &config, form, "--limit", "2", &images];
        let args = args.map(str::to_owned);
        let (code, err) = run(&args, closed());
        assert_eq!(code, 141, "{form}: {err}");
        assert!(!err.contains("error"), "{form}: {err}");
    }
    parties.works(&config);
}

#[test]
fn messages_that_nobody_can_read_change_nothing() {
    let parties = Parties::new();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for (args, code) in [(&["plan", "nothing"][..], 2), (&["plan", "demo", "--batch", "x"], 2)] {
        let done = program().args(args).stderr(full()).stdout(Stdio::null()).status().unwrap();
        assert_eq!(done.code(), Some(code), "{args:?}");
    }
    let nobody = crate::parties::LOCAL;
    let config = parties.client_config("client", "", [nobody, nobody]);
    let images = parties.text("images.bin");
    let mut command = program();
    let infer = command.args(["infer", "--config", &config, &images]).env("SOTTO_LOG", "debug");
    let done = infer.stderr(full()).stdout(Stdio::null()).status().unwrap();
    assert_eq!(done.code(), Some(4));
}

#[test]
fn a_batch_that_no_server_runs_is_refused_everywhere() {
    let parties = Parties::new();
    for batch in ["0", "65", "18446744073709551615"] {
        for command in ["plan", "simulate"] {
            let refused = parties.sotto(&[command, "demo", "--batch", batch]);
            refused.failed(2, &[&format!("a batch of {batch} images"), "1 to 64"]);
        }
        parties.sotto(&["demo", "--batch", batch]).failed(2, &[batch, "1 to 64"]);
    }
}

#[test]
fn names_of_classes_that_a_server_made_up_steer_no_terminal() {
    let parties = Parties::new();
    let labels = (0..10).map(|i| format!("\u{202e}gnp.{i}\u{2066}\u{200b}é")).collect();
    let arch = Arch { labels, ..tiny() };
    parties.write("model/arch.toml", arch.to_toml().as_bytes());
    let images = parties.text("images.bin");
    let again = parties.sotto(&["calibrate", &parties.text("model"), "--images", &images]);
    assert_eq!(again.code, 0, "{}", again.err);
    let (_dealer, dealer) = parties.dealer("", None);
    let (_server, server) = parties.server("", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    for form in ["--resize", "--json", "--json-lines"] {
        let args = ["infer", "--config", &config, form, "--limit", "1", &images];
        let done = parties.sotto(&args);
        assert_eq!(done.code, 0, "{form}: {}", done.err);
        assert!(done.out.contains("u{202e}gnp.") && done.out.contains("u{200b}é"), "{}", done.out);
        assert!(!done.out.contains(['\u{202e}', '\u{2066}', '\u{200b}']), "{form}: {}", done.out);
    }
}
