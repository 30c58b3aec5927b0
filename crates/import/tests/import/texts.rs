//! The tokenizer at the client.

use std::fs::File;

use serde_json::{Value, json};
use sotto_import::{
    Choices, Tokenizer,
    tokenizer::{Long, MAX_FILE, MAX_TEXT},
};
use sotto_models::{Model, model::Input};

use crate::hub::{Case, import, tokenizer};

fn model() -> Model {
    import(&Case::read("bert_classes").folder().path(), &Choices::default()).unwrap().model
}

fn read(file: &Value, model: &Model) -> Result<Tokenizer, String> {
    Tokenizer::from_bytes(&serde_json::to_vec(file).unwrap(), model).map_err(|e| e.to_string())
}

fn encode(tokenizer: &Tokenizer, text: &str, pair: Option<&str>) -> (Vec<u32>, Vec<u32>) {
    let text = tokenizer.encode(text, pair, Long::Refuse).unwrap();
    (text.words, text.kinds)
}

#[test]
fn words_have_special_ones_around_them_and_no_padding() {
    let tokenizer = read(&tokenizer(40), &model()).unwrap();
    // The file itself asks for 4 words at most, padded to 32.
    assert_eq!(encode(&tokenizer, "w9 W10 w11 unknown", None).0, [2, 9, 10, 11, 1, 3]);
    let (words, kinds) = encode(&tokenizer, "w9", Some("w10 w11"));
    assert_eq!((words, kinds), (vec![2, 9, 3, 10, 11, 3], vec![0, 0, 0, 1, 1, 1]));
    assert_eq!(encode(&tokenizer, "", None).0, [2, 3]);
}

#[test]
fn a_model_of_one_kind_gets_none() {
    let mut model = model();
    let Input::Words(words) = &mut model.input else { panic!("words") };
    words.kinds = 1;
    let tokenizer = read(&tokenizer(40), &model).unwrap();
    assert_eq!(encode(&tokenizer, "w9", Some("w10")), (vec![2, 9, 3, 10, 3], vec![]));
}

#[test]
fn long_texts_are_refused_or_cut() {
    let tokenizer = read(&tokenizer(40), &model()).unwrap();
    let long = vec!["w9"; 30].join(" ");
    let refused =
        |text: &str| tokenizer.encode(text, None, Long::Refuse).err().unwrap().to_string();
    let said = refused(&long);
    assert_eq!(said, "text of 32 tokens: the model takes 12; shorten it or pass --truncate");
    let cut = tokenizer.encode(&long, Some("w7 w8"), Long::Truncate).unwrap();
    assert_eq!(cut.words, [2, 9, 9, 9, 9, 9, 9, 9, 3, 7, 8, 3]);
    assert_eq!(tokenizer.encode(&long, None, Long::Truncate).unwrap().words.len(), 12);
    let said = refused(&"x".repeat(MAX_TEXT + 1));
    assert!(said.contains("262145 bytes: at most 262144"), "{said}");
}

#[test]
fn numbers_stay_within_the_vocabulary() {
    let model = model();
    let said = read(&tokenizer(41), &model).unwrap_err();
    assert!(said.contains("numbers words up to 40; the model has 40"), "{said}");
    // A template may hold what the vocabulary does not.
    let mut file = tokenizer(40);
    file["post_processor"]["special_tokens"]["w2"]["ids"] = json!([400]);
    let tokenizer = read(&file, &model).unwrap();
    let said = tokenizer.encode("w9", None, Long::Refuse).err().unwrap().to_string();
    assert!(said.contains("number 0, outside of the model's vocabulary of 40"), "{said}");
    file = self::tokenizer(40);
    file["post_processor"]["single"][0]["SpecialToken"]["type_id"] = json!(7);
    let tokenizer = read(&file, &model).unwrap();
    let said = tokenizer.encode("w9", None, Long::Refuse).err().unwrap().to_string();
    assert!(said.contains("number 0, of a kind beyond the model's 2"), "{said}");
}

#[test]
fn files_are_bounded_and_have_a_hash() {
    let (model, dir) = (model(), tempfile::tempdir().unwrap());
    let path = dir.path().join("tokenizer.json");
    File::create(&path).unwrap().set_len(1 << 30).unwrap();
    let said = Tokenizer::load(&path, &model).unwrap_err().to_string();
    assert_eq!(said, "tokenizer.json: has 1073741824 bytes; at most 25165824 are read");
    let said = Tokenizer::from_bytes(&vec![b' '; MAX_FILE + 1], &model).unwrap_err().to_string();
    assert!(said.contains("25165825 bytes; at most 25165824"), "{said}");
    let said = Tokenizer::from_bytes(b"{\"model\": 3}", &model).unwrap_err().to_string();
    assert!(said.starts_with("tokenizer.json: is no tokenizer"), "{said}");

    let hash = |words: usize| read(&tokenizer(words), &model).unwrap().hash();
    assert_eq!(hash(40), hash(40));
    assert_ne!(hash(40), hash(39));
    let bytes = serde_json::to_vec(&tokenizer(40)).unwrap();
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(Tokenizer::load(&path, &model).unwrap().hash(), hash(40));
    let said = read(&tokenizer(40), &Model::from(&sotto_models::Arch::vit_cifar())).unwrap_err();
    assert!(said.contains("takes pictures"), "{said}");
}

/// No part of a text is in what a tokenizer prints.
#[test]
fn texts_stay_out_of_messages() {
    let mut file = tokenizer(40);
    file["model"]["unk_token"] = json!("secret");
    let tokenizer = read(&file, &model()).unwrap();
    let said = tokenizer.encode("w9 marmalade", None, Long::Refuse).err().unwrap().to_string();
    assert_eq!(said, "text cannot be split into tokens by the model's tokenizer");
    assert_eq!(format!("{tokenizer:?}"), "Tokenizer { 40 words, .. }");
}
