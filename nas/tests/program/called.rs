//! `sotto-nas` as a user, or `sotto`, starts it.

use std::process::{Command, Output};

fn ran(args: &[&str], sotto: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sotto-nas"));
    command.args(args).env_remove("SOTTO").envs(sotto.map(|path| ("SOTTO", path)));
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn help_and_errors_name_the_command_that_was_called() {
    for (sotto, name) in [(None, "sotto-nas"), (Some("/bin/sotto"), "sotto")] {
        for job in ["train", "search"] {
            let help = ran(&[job, "--data", "d", "--help"], sotto);
            let expected = format!("Usage: {name} {job} [OPTIONS] --data <PATH> --out <DIR>");
            assert!(text(&help.stdout).contains(&expected), "{}", text(&help.stdout));
            assert!(help.status.success() && help.stderr.is_empty());
            let wrong = ran(&[job, "--fast", "1"], sotto);
            let said = text(&wrong.stderr);
            assert!(said.starts_with("error: unexpected argument '--fast' found\n"), "{said}");
            assert!(said.contains(&format!("Usage: {name} {job} ")), "{said}");
            assert_eq!(wrong.status.code(), Some(2));
        }
    }
}

#[test]
fn a_missing_file_and_an_unknown_job_are_usage_errors() {
    let missing = ran(&["train", "--data", "nowhere", "--arch", "vit_7_4_32", "--out", "o"], None);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).starts_with("error: nowhere: "), "{}", text(&missing.stderr));
    let other = ran(&["dance"], None);
    assert!(text(&other.stderr).starts_with("error: unrecognized subcommand 'dance'"));
    assert_eq!(other.status.code(), Some(2));
}
