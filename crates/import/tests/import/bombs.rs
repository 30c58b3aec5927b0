//! Tokenizers that somebody wrote to harm whoever reads them, and the shapes of those that people have.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Value, json};
use sotto_import::{
    Choices, Tokenizer,
    tokenizer::{Long, MAX_TEXT},
};
use sotto_models::{Model, model::Input};

use crate::hub::{Case, import, tokenizer};

fn model() -> Model {
    let case = Case::read("bert_classes").folder();
    let mut model = import(&case.path(), &Choices::default()).unwrap().model;
    let Input::Words(words) = &mut model.input else { panic!("words") };
    words.vocabulary = 1 << 18;
    model
}

fn read(file: &Value, model: &Model) -> Result<Tokenizer, String> {
    Tokenizer::from_bytes(file.to_string().as_bytes(), model).map_err(|e| e.to_string())
}

fn numbers(file: &Value, text: &str) -> Vec<u32> {
    read(file, &model()).unwrap().encode(text, None, Long::Refuse).unwrap().words
}

/// SentencePiece's table of characters: no character is in the trie, and these are the replacements.
fn charsmap(replacements: &str) -> String {
    let trie = [0; 1024];
    base64::encode([&1024u32.to_le_bytes(), &trie[..], replacements.as_bytes()].concat())
}

fn sequence(list: &str, parts: Value) -> Value {
    json!({ "type": "Sequence", list: parts })
}

fn replace(pattern: Value, content: &str) -> Value {
    json!({"type": "Replace", "pattern": pattern, "content": content})
}

/// One field of a good file replaced.
fn with(field: &str, value: Value) -> Value {
    let mut file = tokenizer(40);
    file[field] = value;
    file
}

#[test]
fn what_asks_for_any_memory_or_time_is_refused() {
    let words: BTreeMap<String, u32> = (0..3).map(|i| (format!("w{i}"), i)).collect();
    let piece = json!({"type": "WordPiece", "unk_token": "w1", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 1u64 << 60, "vocab": words});
    let long = json!({"String": "a"});
    let sixteen = || replace(json!({"String": "a"}), &"a".repeat(16));
    let text = json!({"Sequence": {"id": "A", "type_id": 0}});
    let special = json!({"id": "w2", "ids": vec![2; 17], "tokens": vec!["w2"; 17]});
    let template = |single: Value, special: Value| json!({"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": special});
    let added = |content: &str, lstrip: bool| {
        json!({"id": 5, "content": content, "single_word": false, "lstrip": lstrip, "rstrip": false,
            "normalized": true, "special": false})
    };
    let bpe =
        |dropout: f64| json!({"type": "BPE", "vocab": words, "merges": [], "dropout": dropout});
    let split = json!({"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated",
        "invert": false});
    for (field, value, why) in [
        ("model", piece, "`max_input_chars_per_word` = 1152921504606846976; accepted: at most 200"),
        ("normalizer", replace(long.clone(), &"a".repeat(2 << 20)), "a text of at most 16 bytes"),
        (
            "normalizer",
            sequence(
                "normalizers",
                json!([sequence("normalizers", json!([replace(long, &"a".repeat(17))]))]),
            ),
            "a text of at most 16 bytes",
        ),
        ("normalizer", json!({"type": "Prepend", "prepend": "a".repeat(17)}), "at most 16 bytes"),
        (
            "normalizer",
            sequence("normalizers", (0..4).map(|_| sixteen()).collect()),
            "may make a text 65536 times as long; accepted: 4096",
        ),
        (
            "normalizer",
            sequence("normalizers", (0..9).map(|_| sixteen()).collect()),
            "at most 8 entries",
        ),
        ("normalizer", replace(json!({"String": ""}), "a"), "a `pattern` is none that is accepted"),
        (
            "normalizer",
            replace(json!({"Regex": "(a|aa)+\\1{5}$"}), "a"),
            "a Regex of ` {2,}`, ` +`",
        ),
        ("pre_tokenizer", split, "a Regex of ` {2,}`, ` +`"),
        ("pre_tokenizer", json!({"type": "FixedLength"}), "unknown variant `FixedLength`"),
        ("pre_tokenizer", json!({"type": "Whitespace", "pad": [1, 2]}), "unknown field `pad`"),
        (
            "normalizer",
            json!({"type": "Precompiled", "precompiled_charsmap": "/////w=="}),
            "`precompiled_charsmap` is not as long as it says",
        ),
        (
            "normalizer",
            json!({"type": "Precompiled", "precompiled_charsmap": charsmap(&"a".repeat(65))}),
            "has a replacement of 65 bytes; accepted: 64",
        ),
        ("post_processor", template(json!([text, text]), json!({})), "a template repeats a text"),
        (
            "post_processor",
            sequence("processors", json!([template(json!([text, text]), json!({}))])),
            "a template repeats a text",
        ),
        (
            "pre_tokenizer",
            (0..16).fold(json!({"type": "Whitespace"}), |part, _| {
                sequence("pretokenizers", json!([part]))
            }),
            "sequences within sequences have 17 parts; accepted: 16",
        ),
        (
            "post_processor",
            template((0..17).map(|_| text.clone()).collect(), json!({})),
            "at most 16 entries",
        ),
        ("post_processor", template(json!([text]), json!({"w2": special})), "at most 16 entries"),
        (
            "added_tokens",
            json!([added("\t", true)]),
            "an added token of spaces is `lstrip` or `rstrip`",
        ),
        ("added_tokens", json!([added(&"e".repeat(257), false)]), "a text of at most 256 bytes"),
        ("added_tokens", vec![added("e", false); 4097].into(), "at most 4096 entries"),
        ("model", bpe(0.5), "`dropout` = 0.5 numbers words by chance; accepted: null"),
    ] {
        let said = read(&with(field, value), &model()).map(|_| ()).unwrap_err();
        assert!(
            said.starts_with("tokenizer.json: is no tokenizer") && said.contains(why),
            "{said}"
        );
    }
}

/// Added tokens are normalised when the file is read.
#[test]
fn added_tokens_do_not_grow_either() {
    let parts = (0..3).map(|_| replace(json!({"String": "a"}), &"a".repeat(16))).collect();
    let mut file = with("normalizer", sequence("normalizers", parts));
    let added = |i: usize| {
        json!({"id": i, "content": format!("{i:03}{}", "a".repeat(253)), "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": true, "special": false})
    };
    file["added_tokens"] = (0..4).map(added).collect();
    let said = read(&file, &model()).map(|_| ()).unwrap_err();
    assert!(said.contains("may make 4194304 bytes of the added tokens"), "{said}");
}

#[test]
fn words_are_counted_while_they_are_read() {
    let model = model();
    let vocabulary = |words: usize, length: usize| {
        let mut list = String::new();
        for i in 0..words {
            write!(list, "{}[\"{i:0length$}\",-1]", if i == 0 { "" } else { "," }).unwrap();
        }
        let file =
            format!("{{\"model\":{{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[{list}]}}}}");
        Tokenizer::from_bytes(file.as_bytes(), &model).map_err(|e| e.to_string())
    };
    let said = vocabulary((1 << 18) + 1, 6).err().unwrap();
    assert!(said.contains("expected at most 262144 entries"), "{said}");
    let said = vocabulary(1 << 17, 25).err().unwrap();
    assert!(said.contains("`vocab` has 3276800 bytes of words; accepted: 3145728"), "{said}");
    let said = vocabulary(1, 257).err().unwrap();
    assert!(said.contains("a word of at most 256 bytes"), "{said}");
    let said = vocabulary(1, 129).err().unwrap();
    assert!(said.contains("a scored word of 129 bytes; accepted: 128"), "{said}");
    assert!(vocabulary(1000, 10).is_ok());
}

/// By what the file's rules make of it on the way, not by what they might.
#[test]
fn a_text_that_grows_too_long_is_refused() {
    let longer = replace(json!({"String": "a"}), &"b ".repeat(8));
    let shorter = replace(json!({"String": "b b b b "}), "");
    let file = with("normalizer", sequence("normalizers", json!([longer, shorter])));
    let tokenizer = read(&file, &model()).unwrap();
    let said =
        |text: &str, pair| tokenizer.encode(text, pair, Long::Truncate).map(|t| t.words.len());
    let (grows, stays) = ("a".repeat(MAX_TEXT / 2), "é".repeat(MAX_TEXT / 2));
    for (text, pair) in [(&grows[..], None), ("", Some(&grows[..]))] {
        let why = said(text, pair).unwrap_err().to_string();
        assert!(why.contains("becomes more than 1048576 bytes by the rules"), "{why}");
    }
    assert_eq!(said(&stays, None).unwrap(), 3);
    assert_eq!(said(&"a".repeat(4096), None).unwrap(), 2);
}

/// Shapes of bert-base-uncased's, roberta-base's, xlm-roberta-base's and albert-base-v2's files.
#[test]
fn the_families_tokenizers_are_accepted() {
    let cls = |cls: &str, sep: &str| {
        let token = |id: &str| json!({"SpecialToken": {"id": id, "type_id": 0}});
        let special = |id: &str, n: u32| json!({"id": id, "ids": [n], "tokens": [id]});
        let text = |id: &str| json!({"Sequence": {"id": id, "type_id": 0}});
        json!({"type": "TemplateProcessing", "single": [token(cls), text("A"), token(sep)],
            "pair": [token(cls), text("A"), token(sep), token(sep), text("B"), token(sep)],
            "special_tokens": {cls: special(cls, 0), sep: special(sep, 2)}})
    };
    let mask = |n: u32, content: &str| {
        json!({"id": n, "content": content, "single_word": false, "lstrip": true, "rstrip": false,
            "normalized": false, "special": true})
    };
    // Old files do not say what the model is.
    let bert = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [mask(1, "[MASK]")],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": cls("[CLS]", "[SEP]"),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {"[CLS]": 0, "[MASK]": 1, "[SEP]": 2, "[UNK]": 3, "cafe": 4, "##s": 5, ",": 6}},
    });
    assert_eq!(numbers(&bert, "Cafés, [MASK]x"), [0, 4, 5, 6, 1, 3, 2]);
    let roberta = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [mask(1, "<mask>")],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
        "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0],
            "trim_offsets": true, "add_prefix_space": false},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true},
        "model": {"dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false,
            "vocab": {"<s>": 0, "<mask>": 1, "</s>": 2, "a": 3, "b": 4, "ab": 5, "Ġ": 6, "Ġa": 7},
            "merges": ["a b", "Ġ a"]},
    });
    assert_eq!(numbers(&roberta, "ab a <mask>"), [0, 5, 7, 1, 2]);
    let spaces = || replace(json!({"Regex": " {2,}"}), " ");
    let map = || json!({"type": "Precompiled", "precompiled_charsmap": charsmap("a\0b\0")});
    let pieces = json!({"type": "Unigram", "unk_id": 3, "vocab": [["<s>", 0.0], ["<pad>", 0.0],
        ["</s>", 0.0], ["<unk>", 0.0], ["▁a", -1.5], ["b", -2], ["▁", -3]]});
    let space = json!({"type": "Metaspace", "replacement": "▁", "add_prefix_space": true,
        "str_rep": "▁", "prepend_scheme": "always", "split": true});
    let mut xlm = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [mask(6, "<mask>")],
        "normalizer": sequence("normalizers", json!([map(), spaces()])),
        "pre_tokenizer": sequence("pretokenizers", json!([{"type": "WhitespaceSplit"}, space])),
        "post_processor": cls("<s>", "</s>"),
        "decoder": {"type": "Metaspace", "replacement": "▁", "add_prefix_space": true},
        "model": pieces,
    });
    assert_eq!(numbers(&xlm, "ab  a"), [0, 4, 5, 4, 2]);
    let quotes = |from: &str| replace(json!({"String": from}), "\"");
    let all = json!([quotes("``"), quotes("''"), {"type": "NFKD"}, {"type": "StripAccents"},
        {"type": "Lowercase"}, map(), spaces()]);
    xlm["normalizer"] = sequence("normalizers", all);
    assert_eq!(numbers(&xlm, "Áb  A"), [0, 4, 5, 4, 2]);
}
