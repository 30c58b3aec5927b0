//! What programs read: every command with `--json` prints JSON, whatever becomes of it, and a log in JSON has no other lines.

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::Value;
use sotto::calibrate::wanted;

use crate::{
    parties::{Parties, program},
    spawned::{Outcome, Process},
};

/// The names of the options in a command's help.
fn options(parties: &Parties, command: &str) -> BTreeSet<String> {
    let help = parties.must(&[command, "--help"]);
    let words = help.lines().filter_map(|line| {
        let line = line.trim_start();
        let line =
            line.split_once(", --").map_or(line, |(_, rest)| &line[line.len() - rest.len() - 2..]);
        line.starts_with("--").then(|| line.split([' ', '=']).next().unwrap().to_owned())
    });
    words.collect()
}

/// All commands, as the help lists them; but for those of another program.
fn commands(parties: &Parties) -> Vec<String> {
    let help = parties.must(&["--help"]);
    let list = help.split("Commands:\n").nth(1).unwrap();
    let names = list.lines().take_while(|line| !line.is_empty());
    let names = names.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.filter(|name| !["help", "train", "search"].contains(&&name[..])).collect()
}

/// What each command refuses, for want of a file, a folder or a device.
const WRONG: [&str; 16] = [
    "demo --model nowhere",
    "emulate --config nowhere.toml",
    "keygen somebody --out /dev/null/keys",
    "fingerprint nowhere.cert",
    "init folder --model nowhere",
    "infer --config nowhere.toml nothing.png",
    "infer --config nowhere.toml nothing.png --json-lines",
    "embed --config nowhere.toml nothing.png",
    "plan nowhere",
    "import nowhere --out folder",
    "lexicon nowhere --out folder",
    "calibrate nowhere --images nothing.png",
    "check nowhere --images nothing.png",
    "check --config nowhere.toml",
    "reference --device nothing",
    "simulate nowhere",
];

fn run(command: &mut Command, words: &str) -> Outcome {
    let json = if words.ends_with("--json-lines") { None } else { Some("--json") };
    Process::start("sotto", command.args(words.split(' ')).args(json)).finish()
}

/// The one object of a command that failed.
fn failure(done: &Outcome, words: &str) -> Value {
    let object: Value = serde_json::from_str(&done.out)
        .unwrap_or_else(|e| panic!("{words}: {e}: {}{}", done.out, done.err));
    assert_eq!(object["exit_code"], done.code, "{words}: {object}");
    assert!(object["error"].as_str().is_some_and(|why| !why.is_empty()), "{words}: {object}");
    object
}

#[test]
fn a_command_that_fails_prints_an_object_and_a_line() {
    let parties = Parties::new();
    let mut tried = BTreeSet::new();
    for words in WRONG {
        let done = run(program().current_dir(parties.path("")), words);
        assert_eq!(done.code, 2, "{words}: {}", done.err);
        let object = failure(&done, words);
        // People read the same.
        let line = format!("error: {}\n", object["error"].as_str().unwrap());
        assert!(done.err.ends_with(&line), "{words}: {object} {}", done.err);
        tried.insert(words.split(' ').next().unwrap());
    }
    for name in commands(&parties) {
        if !options(&parties, &name).contains("--json") {
            continue;
        }
        // It measures before it can fail.
        assert!(tried.contains(&name[..]) || name == "calibrate-machine", "{name} is not tried");
        let done = run(&mut program(), &format!("{name} --no-such-option"));
        assert_eq!(done.code, 2, "{name}: {}", done.err);
        let object = failure(&done, &name);
        assert!(object["error"].as_str().unwrap().contains("--no-such-option"), "{object}");
        assert!(done.err.contains("error: unexpected argument"), "{}", done.err);
    }
    // Nobody asked for an object.
    assert_eq!(parties.sotto(&["plan", "nowhere"]).out, "");
    assert_eq!(parties.sotto(&["fingerprint", "--", "--json"]).out, "");
}

#[test]
fn a_check_that_fails_says_so_in_its_object() {
    let parties = Parties::new();
    let config = parties.client_config("client", "", [crate::parties::LOCAL; 2]);
    fs::remove_file(parties.path("client.key")).unwrap();
    let done = parties.sotto(&["check", "--config", &config, "--json"]);
    assert_eq!(done.code, 1, "{}", done.err);
    let object = failure(&done, "check --config");
    assert!(object["checks"].as_array().unwrap().iter().any(|check| check["ok"] == false));
    assert_eq!(object["party"], "client");
}

#[test]
fn every_line_of_a_log_in_json_is_an_object() {
    let parties = Parties::new();
    let wrong = WRONG.into_iter().chain(["serve --config nowhere.toml", "plan --no-such-option"]);
    for words in wrong {
        // Whatever is logged, what ends a command is said.
        for levels in ["off", "info"] {
            let mut command = program();
            command.current_dir(parties.path("")).args(words.split(' '));
            command.env("SOTTO_LOG_FORMAT", "json").env("SOTTO_LOG", levels);
            let done = Process::start("sotto", &mut command).finish();
            assert_eq!(done.code, 2, "{words}: {}", done.err);
            let lines: Vec<Value> = (done.err.lines())
                .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")))
                .collect();
            let last = lines.last().unwrap_or_else(|| panic!("{words}: nothing is said"));
            assert_eq!(last["level"], "ERROR", "{words}: {last}");
            for field in ["timestamp", "message", "target"] {
                assert!(last[field].as_str().is_some_and(|text| !text.is_empty()), "{last}");
            }
        }
    }
    // Warnings of a command's own, too.
    let (model, images) = (parties.text("model"), parties.text("images.bin"));
    let mut command = program();
    command.args(["calibrate", &model, "--images", &images]).env("SOTTO_LOG_FORMAT", "json");
    let done = Process::start("sotto", &mut command).finish();
    let said: Value = serde_json::from_str(done.err.trim()).unwrap();
    assert_eq!((&said["level"], done.code), (&"WARN".into(), 0), "{}", done.err);
    assert!(said["message"].as_str().unwrap().contains("on 16 images"), "{said}");
}

#[test]
fn what_is_made_is_told_to_programs() {
    let parties = Parties::new();
    let object = |args: &[&str]| -> Value {
        serde_json::from_str(&parties.must(&[args, &["--json"]].concat())).unwrap()
    };
    let keys = parties.text("keys");
    let made = object(&["keygen", "somebody", "--out", &keys]);
    for (field, file) in [("key", "keys/somebody.key"), ("certificate", "keys/somebody.cert")] {
        assert_eq!(made[field], parties.text(file));
        assert!(parties.path(file).is_file());
    }
    let shown = parties.must(&["fingerprint", made["certificate"].as_str().unwrap()]);
    assert_eq!(made["fingerprint"], shown.trim());

    let texts = parties.texts();
    let calibrated = object(&["calibrate", &texts, "--text", &parties.text("samples.txt")]);
    assert_eq!((&calibrated["calibrated_on"], &calibrated["what"]), (&100.into(), &"texts".into()));
    assert_eq!(calibrated["calibration"], parties.text("texts/calibration.toml"));
    assert!(calibrated["difference"].as_f64().unwrap() < 0.05, "{calibrated}");
    let cost = &calibrated["costs"][0];
    let plan = object(&["plan", &texts, "--tokens", "16"]);
    assert_eq!((&cost["tokens"], &cost["flights"]), (&16.into(), &plan["planned"]["flights"]));
    assert_eq!(cost["online_bytes"], plan["planned"]["online_bytes"]);

    let out = parties.text("lexicon");
    let lexicon = object(&["lexicon", &texts, "--out", &out]);
    let said = parties.must(&["lexicon", &texts, "--out", &out]);
    assert_eq!(said.trim(), format!("{out}: {}", lexicon["lexicon_hash"].as_str().unwrap()));
    assert_eq!(lexicon["model"], "tiny");
}

#[test]
fn infer_and_embed_take_the_same_options() {
    let parties = Parties::new();
    let [infer, embed] = ["infer", "embed"].map(|command| options(&parties, command));
    assert_eq!(infer, embed);
    assert!(infer.contains("--fill") && infer.contains("--json-lines"), "{infer:?}");
}

#[test]
fn models_by_name_are_taken_wherever_models_are() {
    let parties = Parties::new();
    for args in [
        &["plan", "demo"][..],
        &["simulate", "demo"],
        &["reference", "demo", "--quick", "--limit", "1"],
        &["check", "demo", "--limit", "1"],
        &["check", "vit_tiny", "--limit", "1", "--images", &parties.text("images.bin"), "--resize"],
    ] {
        parties.must(&[args, &["--json"]].concat());
    }
    let checked = parties.must(&["check", "demo", "--limit", "2", "--json"]);
    let checked: Value = serde_json::from_str(&checked).unwrap();
    assert_eq!(checked["samples"].as_array().unwrap().len(), 2);
    // What would write beside the weights says why it does not.
    let refused = parties.sotto(&["calibrate", "demo", "--images", &parties.text("images.bin")]);
    refused.failed(2, &["`demo` is built in"]);
}

/// As the README, the help and a refusal say it.
#[test]
fn how_much_a_calibration_wants_is_said_one_way() {
    let parties = Parties::new();
    let help = parties.must(&["calibrate", "--help"]);
    let readme = include_str!("../../../README.md");
    assert!(readme.contains(&wanted("texts")), "README.md: {}", wanted("texts"));
    assert!(help.contains(&wanted("texts")) && help.contains(&wanted("images")), "{help}");
    let few = ["calibrate", &parties.text("model"), "--images", &parties.text("images.bin")];
    let refused = parties.sotto(&[&few[..], &["--count", "3"]].concat());
    refused.failed(3, &[&wanted("images"), "--force"]);
    let thin = parties.sotto(&few);
    assert!(thin.err.contains(&wanted("images")), "{}", thin.err);
}
