//! Files of a folder of Hugging Face, and a tokenizer's file, which a server may send.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use sotto_import::{Choices, Tokenizer, import, tokenizer::Long};
use sotto_models::{Model, model::Input as Given};

use super::{
    hub::{Case, FAMILIES, Hub},
    input::{Input, fuzz},
};

/// A tiny sentence encoder under its hub names.
const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/tests/tiny");

fn file(name: &str) -> Vec<u8> {
    fs::read(Path::new(TINY).join(name)).expect("a file of the tests")
}

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    import(Path::new(TINY), &Choices::default(), &mut |_, _| ()).expect("a good folder").model
});

/// Tokenizers with every kind of part.
const TOKENIZERS: [&str; 4] = [
    r###"{"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,
"lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":{"type":"BertProcessing","sep":["b",1],
"cls":["a",0]},"model":{"type":"WordPiece","unk_token":"a","continuing_subword_prefix":"##",
"max_input_chars_per_word":100,"vocab":{"a":0,"b":1,"s":2,"##e":3,"##r":4}}}"###,
    r###"{"added_tokens":[{"id":3,"content":"<mask>","single_word":false,"lstrip":true,"rstrip":false,
"normalized":false,"special":true}],"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,
"trim_offsets":true},"post_processor":{"type":"RobertaProcessing","sep":["b",1],"cls":["a",0],
"trim_offsets":true,"add_prefix_space":false},"model":{"type":"BPE","dropout":null,"unk_token":null,
"fuse_unk":false,"vocab":{"a":0,"b":1,"ab":2,"<mask>":3,"e":4},"merges":["a b"]}}"###,
    r###"{"normalizer":{"type":"Sequence","normalizers":[{"type":"NFKD"},{"type":"StripAccents"},
{"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "},{"type":"Prepend","prepend":"e"},
{"type":"Replace","pattern":{"String":"e"},"content":"b e"}]},
"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},{"type":"Metaspace",
"replacement":"_","prepend_scheme":"always","split":true},{"type":"Digits","individual_digits":true}]},
"model":{"type":"Unigram","unk_id":0,"vocab":[["a",0.0],["b",-1.5],["e",-2],["_",-3]]}}"###,
    r###"{"normalizer":{"type":"Precompiled","precompiled_charsmap":"BAAAAAAAAABhAGIA"},
"pre_tokenizer":{"type":"Split","pattern":{"String":"e"},"behavior":"Isolated","invert":false},
"model":{"type":"WordLevel","unk_token":"a","vocab":{"a":0,"b":1,"e":2}}}"###,
];

#[test]
fn tokenizer() {
    let mut valid = vec![file("tokenizer.json")];
    valid.extend(TOKENIZERS.map(|file| lines(file.as_bytes())));
    for file in &valid {
        Tokenizer::from_bytes(file, &MODEL).expect("it is accepted as it is");
    }
    let Given::Words(words) = &MODEL.input else { panic!("it reads words") };
    let long = "The server sees two numbers. ".repeat(2000);
    fuzz!(|input: &Input| {
        let Ok(read) = Tokenizer::from_bytes(&input.bytes(&valid), &MODEL) else { return };
        let texts =
            [("The server sees two numbers.", None), ("a", Some("b \u{301} 東京")), (&long, None)];
        for (text, pair) in texts {
            for long in [Long::Refuse, Long::Truncate] {
                let Ok(text) = read.encode(text, pair, long) else { continue };
                assert!((1..=words.positions).contains(&text.words.len()));
                assert!(text.words.iter().all(|&w| (w as usize) < words.vocabulary));
                assert!(text.kinds.iter().all(|&k| (k as usize) < words.kinds));
            }
        }
    });
}

/// A JSON file with a field on each line, as changes want it; another file as it is.
fn lines(file: &[u8]) -> Vec<u8> {
    let json = serde_json::from_slice::<serde_json::Value>(file);
    json.and_then(|json| serde_json::to_vec_pretty(&json)).unwrap_or_else(|_| file.to_vec())
}

/// A folder of each family, and what one file of it is.
struct Seed {
    hub: Hub,
    path: PathBuf,
    valid: Vec<u8>,
}

/// Folders of which one file is hostile: those of all families that have it.
fn folders(hostile: &str) {
    let seeds: Vec<Seed> = FAMILIES
        .iter()
        .filter_map(|(name, _)| {
            let hub = Case::read(name).folder();
            let path = hub.path().join(hostile);
            let valid = lines(&fs::read(&path).ok()?);
            Some(Seed { hub, path, valid })
        })
        .collect();
    let valid: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.valid.clone()).collect();
    fuzz!(|input: &Input| {
        let seed = &seeds[input.which(seeds.len())];
        fs::write(&seed.path, input.bytes(&valid)).expect("a file");
        if let Ok(imported) = import(&seed.hub.path(), &Choices::default(), &mut |_, _| ()) {
            assert!(imported.model.validate().is_ok());
            assert_eq!(imported.weights.parameters(), imported.model.parameters());
        }
        fs::write(&seed.path, &seed.valid).expect("a file");
    });
}

#[test]
fn checkpoint() {
    folders("model.safetensors");
}

#[test]
fn config() {
    folders("config.json");
}

#[test]
fn preprocessor() {
    folders("preprocessor_config.json");
}

#[test]
fn modules() {
    folders("modules.json");
}

#[test]
fn pooling() {
    folders("1_Pooling/config.json");
}
