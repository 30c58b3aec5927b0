//! Tokenizers of the shapes that real families have, byte-level BPE and SentencePiece's unigrams: an imported folder numbers
//! words as the packages `tokenizers` and `sentencepiece` do (`tokenizers/make.py`).

use serde::Deserialize;
use serde_json::Value;
use sotto_import::{Choices, Tokenizer, tokenizer::Long};
use sotto_models::model::Input;

use crate::hub::{Case, import};

/// What the script wrote.
#[derive(Deserialize)]
struct Numbered {
    /// Most words of a text.
    length: usize,
    tokenizer: Value,
    cases: Vec<Texts>,
}

/// One text or a pair, and its words.
#[derive(Deserialize)]
struct Texts {
    texts: Vec<String>,
    words: Vec<u32>,
    kinds: Vec<u32>,
    /// The same of at most `length` words, where there are more.
    cut: Option<Vec<u32>>,
    cut_kinds: Option<Vec<u32>>,
}

const FILES: [(&str, &str, &str); 3] = [
    ("roberta_classes", "BPE", include_str!("../tokenizers/roberta.json")),
    ("xlm_roberta_tokens", "Unigram", include_str!("../tokenizers/xlm_roberta.json")),
    ("albert_classes", "Unigram", include_str!("../tokenizers/albert.json")),
];

/// A folder's tokenizer after the folder was imported and saved, beside what it was made of.
fn imported(family: &str, file: &str) -> (Tokenizer, Numbered, usize) {
    let numbered: Numbered = serde_json::from_str(file).unwrap();
    let all = numbered.tokenizer["model"]["vocab"].as_object().map_or_else(
        || numbered.tokenizer["model"]["vocab"].as_array().unwrap().len(),
        |words| words.len(),
    );
    // The mask may be beyond the vocabulary.
    let case = Case::read(family).resized(all + 1, numbered.length);
    let hub = case.folder();
    hub.json("tokenizer.json", &numbered.tokenizer);
    let imported = import(&hub.path(), &Choices::default()).unwrap();
    let Input::Words(words) = &imported.model.input else { panic!("words") };
    assert_eq!(words.positions, numbered.length);
    let kinds = words.kinds;
    let out = hub.path().join("saved");
    imported.save(&out).unwrap();
    let read = Tokenizer::load(&out.join("tokenizer.json"), &imported.model).unwrap();
    (read, numbered, kinds)
}

#[test]
fn words_are_numbered_as_the_reference_numbers_them() {
    for (family, kind, file) in FILES {
        let (tokenizer, numbered, kinds) = imported(family, file);
        assert_eq!(numbered.tokenizer["model"]["type"], kind);
        let (mut pairs, mut long, mut empty) = (0, 0, 0);
        for case in &numbered.cases {
            let (text, pair) = (&case.texts[0][..], case.texts.get(1).map(|pair| &pair[..]));
            let encode = |long| tokenizer.encode(text, pair, long);
            let check = |words: &[u32], own: &[u32], long| {
                let got = encode(long).unwrap();
                assert_eq!(got.words, words, "{family}: {:?}", case.texts);
                // A model of one kind gets none.
                let own = if kinds > 1 { own } else { &[] };
                assert_eq!(got.kinds, own, "{family}: {:?}", case.texts);
            };
            match (&case.cut, &case.cut_kinds) {
                (Some(cut), Some(cut_kinds)) => {
                    let said = encode(Long::Refuse).err().unwrap().to_string();
                    let tokens = format!("of {} tokens: the model takes 24", case.words.len());
                    assert!(said.contains(&tokens), "{family}: {said}");
                    check(cut, cut_kinds, Long::Truncate);
                    long += 1;
                }
                _ => check(&case.words, &case.kinds, Long::Refuse),
            }
            pairs += usize::from(pair.is_some());
            empty += usize::from(case.texts.iter().any(String::is_empty));
        }
        assert!(pairs >= 4 && long >= 4 && empty >= 3, "{family}: {pairs}, {long}, {empty}");
    }
}

/// Special words in a text are those words, as the library has it; the rest of a text never is.
#[test]
fn masks_and_special_words_are_found() {
    for (family, _, file) in FILES {
        let (tokenizer, numbered, _) = imported(family, file);
        let name = if family == "albert_classes" { "[MASK]" } else { "<mask>" };
        let added = numbered.tokenizer["added_tokens"].as_array().unwrap();
        let number = added.iter().find(|word| word["content"] == name).unwrap()["id"].as_u64();
        let count = |text: &str| {
            let words = tokenizer.encode(text, None, Long::Refuse).unwrap().words;
            words.iter().filter(|&&word| Some(u64::from(word)) == number).count()
        };
        assert_eq!(count(&format!("a {name} b{name}")), 2, "{family}");
        assert_eq!(count("a mask b"), 0, "{family}");
    }
}
