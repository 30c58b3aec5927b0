//! Files of a folder of Hugging Face, and a tokenizer's file, which a server may send.

use std::{fs, path::Path, sync::LazyLock};

use sotto_import::{Choices, Tokenizer, import, tokenizer::Long};
use sotto_models::{Model, model::Input as Given};

use super::input::{Input, fuzz};

/// A tiny sentence encoder under its hub names.
const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/tests/tiny");

fn file(name: &str) -> Vec<u8> {
    fs::read(Path::new(TINY).join(name)).expect("a file of the tests")
}

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    import(Path::new(TINY), &Choices::default(), &mut |_, _| ()).expect("a good folder").model
});

#[test]
fn tokenizer() {
    let valid = [file("tokenizer.json")];
    let Given::Words(words) = &MODEL.input else { panic!("it reads words") };
    fuzz!(|input: &Input| {
        let Ok(read) = Tokenizer::from_bytes(&input.bytes(&valid), &MODEL) else { return };
        for (text, pair) in [("The server sees two numbers.", None), ("a", Some("b \u{301} 東京"))]
        {
            for long in [Long::Refuse, Long::Truncate] {
                let Ok(text) = read.encode(text, pair, long) else { continue };
                assert!((1..=words.positions).contains(&text.words.len()));
                assert!(text.words.iter().all(|&w| (w as usize) < words.vocabulary));
                assert!(text.kinds.iter().all(|&k| (k as usize) < words.kinds));
            }
        }
    });
}

/// A folder of which one file is hostile.
fn folder(hostile: &str) {
    let dir = tempfile::tempdir().expect("a folder of our own");
    let names = ["config.json", "model.safetensors", "modules.json", "tokenizer.json"];
    for name in names.into_iter().chain(["1_Pooling/config.json", "sentence_bert_config.json"]) {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder");
        fs::write(path, file(name)).expect("a file");
    }
    let valid = [file(hostile)];
    fuzz!(|input: &Input| {
        fs::write(dir.path().join(hostile), input.bytes(&valid)).expect("a file");
        if let Ok(imported) = import(dir.path(), &Choices::default(), &mut |_, _| ()) {
            assert!(imported.model.validate().is_ok());
            assert_eq!(imported.weights.parameters(), imported.model.parameters());
        }
    });
}

#[test]
fn checkpoint() {
    folder("model.safetensors");
}

#[test]
fn config() {
    folder("config.json");
}

#[test]
fn modules() {
    folder("modules.json");
}
