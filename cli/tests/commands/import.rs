//! `sotto import`, `calibrate` and `check` on a tiny sentence encoder under its hub names (`tests/tiny`).

use std::{fs, path::Path};

use serde_json::Value;

use crate::sotto;

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tiny");

/// Texts of the tokenizer's words, each another one.
fn texts(count: usize) -> String {
    let words =
        "a the dealer server client sees neither picture nor weight share is one of two numbers";
    let words: Vec<&str> = words.split(' ').collect();
    let text = |i: usize| {
        (0..3 + i % 9).map(|j| words[(i * 5 + j * (1 + i % 3)) % 16]).collect::<Vec<_>>()
    };
    (0..count).map(|i| text(i).join(" ") + "\n").collect()
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

#[test]
fn a_folder_becomes_a_model_that_is_calibrated_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    let done = sotto(dir.path(), &["import", TINY, "--out", "model"]);
    assert_eq!(done.code, 0, "{}", done.errors);
    for part in [
        "model: tiny, of the family bert: 2 layers, 2 heads, width 16, MLP 24; 0.0 M parameters as f16",
        "input: texts of 1 to 16 tokens, 40 words; the table of words is public",
        "output: an embedding of 16 numbers, the mean of the rows, of length 1",
        "skipped, 272 numbers: pooler.dense.bias, pooler.dense.weight",
        "note: texts have at most 16 words",
    ] {
        assert!(done.output.contains(part), "{}", done.output);
    }
    write(dir.path(), "texts.txt", &texts(100));
    let calibrated = sotto(dir.path(), &["calibrate", "model", "--text", "texts.txt"]);
    assert_eq!((calibrated.code, &calibrated.errors[..]), (0, ""), "{}", calibrated.output);
    assert!(calibrated.output.contains("ranges of 100 texts"), "{}", calibrated.output);
    assert!(calibrated.output.contains("16 tokens: "), "{}", calibrated.output);

    write(dir.path(), "others.txt", "The mask is public.\nNeither server nor client waits long\n");
    let checked = sotto(dir.path(), &["check", "model", "--text", "others.txt", "--json"]);
    assert_eq!(checked.code, 0, "{}", checked.errors);
    let report: Value = serde_json::from_str(&checked.output).unwrap();
    assert_eq!(
        (&report["calibrated_on"], &report["outside"]),
        (&100.into(), &Value::Array(vec![]))
    );
    let samples = report["samples"].as_array().unwrap();
    assert_eq!((samples.len(), &samples[0]["rows"]), (2, &7.into()));
    for sample in samples {
        assert!(sample["cosine"].as_f64().unwrap() > 0.999, "{sample}");
        assert!(sample["error"].as_f64().unwrap() > 0.0, "rounding shows: {sample}");
    }
}

#[test]
fn few_texts_long_texts_and_others_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(sotto(dir.path(), &["import", TINY, "--out", "model"]).code, 0);
    let refused = |args: &[&str], code: i32, parts: &[&str]| {
        let ran = sotto(dir.path(), args);
        assert_eq!(ran.code, code, "{}", ran.errors);
        assert!(parts.iter().all(|p| ran.errors.contains(p)), "{}", ran.errors);
    };
    write(dir.path(), "few.txt", &texts(15));
    let few = ["calibrate", "model", "--text", "few.txt"];
    refused(&few, 3, &["15 texts are too few", "give 100 texts or more, or --force"]);
    let thin = sotto(dir.path(), &[&few[..], &["--force"]].concat());
    assert!(
        thin.code == 0 && thin.errors.contains("on 15 texts, where 100 texts or more are wanted")
    );
    write(dir.path(), "long.txt", &format!("a\n{}\n", "the ".repeat(20)));
    let long = ["check", "model", "--text", "long.txt"];
    refused(&long, 3, &["text 2: ", "of 22 tokens: the model takes 16", "--truncate"]);
    assert_ne!(sotto(dir.path(), &[&long[..], &["--truncate"]].concat()).code, 3);
    refused(&["check", "model", "--text", "few.txt", "--pairs"], 2, &["line 1 has no tab"]);
    refused(
        &["check", "model", "--images", "few.txt"],
        3,
        &["`tiny` takes texts", "hint: give texts"],
    );
    refused(&["check", "model"], 2, &["`tiny` takes texts: give --text FILE"]);
    refused(&["check", "model", "--images", "a", "--text", "b"], 2, &["cannot be used with"]);
    write(dir.path(), "empty.txt", "\n \n");
    refused(&["calibrate", "model", "--text", "empty.txt"], 2, &["holds no text"]);
}

#[test]
fn what_cannot_be_imported_is_said_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |args: &[&str], code: i32, part: &str| {
        let ran = sotto(dir.path(), args);
        assert_eq!(ran.code, code, "{}", ran.errors);
        assert!(ran.errors.contains(part), "{}", ran.errors);
    };
    refused(&["import", "nothing", "--out", "model"], 2, "nothing: ");
    fs::create_dir(dir.path().join("t5")).unwrap();
    write(dir.path(), "t5/config.json", r#"{"model_type": "t5"}"#);
    write(dir.path(), "t5/pytorch_model.bin", "x");
    refused(&["import", "t5", "--out", "model"], 3, "pytorch_model.bin: is a pickle");
    fs::copy(Path::new(TINY).join("model.safetensors"), dir.path().join("t5/model.safetensors"))
        .unwrap();
    refused(
        &["import", "t5", "--out", "model"],
        3,
        "`model_type` = \"t5\"; accepted: bert, roberta",
    );
    assert!(!dir.path().join("model").exists() && !dir.path().join("model.part").exists());
    let done =
        sotto(dir.path(), &["import", TINY, "--out", "model", "--embedding", "first", "--json"]);
    let said: Value = serde_json::from_str(&done.output).unwrap();
    assert_eq!(
        (&said["family"], &said["output"]["embedding"]["pool"]),
        (&"bert".into(), &"first".into())
    );
    refused(&["import", TINY, "--out", "model"], 3, "model: is there and not empty");
}
