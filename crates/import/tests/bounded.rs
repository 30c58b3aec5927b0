//! The worst that a tokenizer's file may ask for is bounded in memory: whoever claims more ends this program.

use std::{alloc::System, fmt::Write as _, time::Instant};

use cap::Cap;
use serde_json::{Value, json};
use sotto_import::{
    Tokenizer,
    tokenizer::{Long, MAX_FILE, MAX_TEXT},
};
use sotto_models::{
    Model,
    arch::{Activation, Attention},
    model::{Input, Output, Place, Pool, Stack, Table, Words},
};

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 3 << 29);

fn model() -> Model {
    let words = Words {
        vocabulary: 1 << 18,
        positions: 512,
        kinds: 0,
        width: 8,
        norm: true,
        table: Table::Public,
    };
    let stack = Stack {
        layers: 1,
        heads: 1,
        width: 8,
        hidden: 8,
        place: Place::After,
        eps: 1e-12,
        qkv_bias: true,
        shared: false,
        attention: vec![vec![Attention::Softmax]],
        activation: vec![Activation::Gelu],
    };
    let output = Output::Embedding { pool: Pool::Mean, normalise: false };
    Model { name: "words".into(), labels: Vec::new(), input: Input::Words(words), stack, output }
}

/// What is done within so many MiB more than there are.
fn within<T>(mebibytes: usize, what: &str, work: impl FnOnce() -> T) -> T {
    MEMORY.set_limit(MEMORY.allocated() + (mebibytes << 20)).unwrap();
    let start = Instant::now();
    let done = work();
    println!("{what}: {:.1} s", start.elapsed().as_secs_f64());
    MEMORY.set_limit(3 << 29).unwrap();
    done
}

/// As many words as there may be, of as many bytes, with as little in common as can be.
fn words(kind: &str) -> String {
    let mut all = String::with_capacity(MAX_FILE);
    for i in 0..1u32 << 18 {
        let word =
            format!("{:05x}{:07x}", i.reverse_bits() >> 14, i.wrapping_mul(0x9e37_79b9) >> 4);
        let comma = if i == 0 { "" } else { "," };
        match kind {
            "Unigram" => write!(all, "{comma}[\"{word}\",-1.5]"),
            _ => write!(all, "{comma}\"{word}\":{i}"),
        }
        .unwrap();
    }
    match kind {
        "Unigram" => format!("{{\"model\":{{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[{all}]}}}}"),
        _ => format!(
            "{{\"model\":{{\"type\":\"{kind}\",\"unk_token\":\"a\",\"continuing_subword_prefix\":\"##\",
            \"max_input_chars_per_word\":100,\"vocab\":{{{all}}}}}}}"
        ),
    }
}

/// A file of rules around few words.
fn rules(normalizer: Value, pre_tokenizer: Value, model: Value) -> Tokenizer {
    let file = json!({"normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "model": model});
    Tokenizer::from_bytes(file.to_string().as_bytes(), &self::model()).unwrap()
}

/// Numbers a text of far more words than the model takes.
fn numbers(what: &str, with: &Tokenizer, text: &str) {
    let done = within(1024, what, || with.encode(text, None, Long::Refuse));
    let said = done.err().unwrap().to_string();
    assert!(said.contains("tokens: the model takes 512"), "{said}");
}

#[test]
fn a_tokenizer_s_file_takes_bounded_memory() {
    let model = model();
    for kind in ["Unigram", "WordPiece"] {
        let file = words(kind);
        let read = || Tokenizer::from_bytes(file.as_bytes(), &model);
        assert!(within(1400, kind, read).is_ok());
    }
    // Of no use to us, and as large as a file may be: it is not kept.
    let unused = format!("{{\"decoder\":[{}0],\"model\":3}}", "0,".repeat(MAX_FILE / 2 - 64));
    assert!(within(16, "unused", || Tokenizer::from_bytes(unused.as_bytes(), &model)).is_err());
    // As many rules as a file may hold, in sequences within sequences.
    let eight = |part: String, list: &str| {
        let parts = vec![part; 8].join(",");
        format!("{{\"type\":\"Sequence\",\"{list}\":[{parts}]}}")
    };
    let parts = (0..6).fold("{\"type\":\"NFC\"}".to_owned(), |part, _| eight(part, "normalizers"));
    let all = vec![parts; 4].join(",");
    let nested = format!(
        "{{\"normalizer\":{{\"type\":\"Sequence\",\"normalizers\":[{all}]}},\"model\":{{\"vocab\":{{}}}}}}"
    );
    assert!(nested.len() < MAX_FILE);
    let said =
        within(1400, "many rules", || Tokenizer::from_bytes(nested.as_bytes(), &model).err());
    assert!(said.unwrap().to_string().contains("sequences within sequences have 1198373 parts"));
    let small = json!({"type": "WordLevel", "unk_token": "u", "vocab": {"u": 0, "a": 1}});
    // Each byte of the text becomes four words.
    let four = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "a,a,"});
    let many = rules(four.clone(), json!({"type": "Punctuation", "behavior": "Isolated"}), small);
    let text = "a".repeat(MAX_TEXT);
    numbers("words of a byte", &many, &text);
    // Each word is as long as it may be, and cut into pieces of a byte: of the longest time.
    let pieces = json!({"type": "WordPiece", "unk_token": "u", "continuing_subword_prefix": "",
        "max_input_chars_per_word": 200, "vocab": {"u": 0, "a": 1}});
    let four = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aaaa"});
    let deep = rules(four, json!({"type": "WhitespaceSplit"}), pieces);
    let text = format!("{} ", "a".repeat(50)).repeat(MAX_TEXT / 51);
    numbers("pieces of a byte", &deep, &text);
    // Each place begins words of every length.
    let all: Vec<Value> = (1..=128).map(|n| json!(["a".repeat(n), -1.5])).collect();
    let unigram =
        rules(Value::Null, Value::Null, json!({"type": "Unigram", "unk_id": 0, "vocab": all}));
    let text = "a".repeat(MAX_TEXT);
    numbers("words within words", &unigram, &text);
    // One word of the whole text, merged again and again.
    let vocab: serde_json::Map<String, Value> =
        (0..8u32).map(|i| ("a".repeat(1 << i), json!(i))).collect();
    let merges: Vec<String> = (0..7)
        .map(|i| {
            let half = "a".repeat(1 << i);
            format!("{half} {half}")
        })
        .collect();
    let pairs =
        rules(Value::Null, Value::Null, json!({"type": "BPE", "vocab": vocab, "merges": merges}));
    numbers("merges", &pairs, &text);
    // An added token at every other place, with the spaces around it.
    let file = json!({"added_tokens": [{"id": 1, "content": "a", "single_word": true, "lstrip": true,
        "rstrip": true, "normalized": false, "special": true}],
        "model": {"type": "WordLevel", "unk_token": "u", "vocab": {"u": 0, "a": 1}}});
    let added = Tokenizer::from_bytes(file.to_string().as_bytes(), &self::model()).unwrap();
    let text = "a ".repeat(MAX_TEXT / 2);
    numbers("added tokens", &added, &text);
}
