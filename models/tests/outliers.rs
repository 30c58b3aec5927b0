//! A text model with outliers, as MiniLM's: columns of the stream and hidden channels of 20 to 60 times the others. Its
//! embeddings are right whoever makes the correlations.

use std::collections::BTreeMap;

use sotto_crypto::Seed;
use sotto_models::{
    Calibration, Model, Private, Weights,
    arch::{Activation, Attention},
    float::{NoProbe, forward},
    length::Length,
    model::{Input, Output, Place, Pool, Stack, Table, Words},
    owner,
    private::{Lengths, Options},
    text::{self, Text},
};
use sotto_protocols::{
    local::Local,
    simulate::{Coins, simulate},
    spec::Role,
    testing::{Bench, made::whole_batches},
};

const WIDTH: usize = 64;
const HIDDEN: usize = 96;

/// Most by which a number of an embedding of length 1 may differ; the runs here differ by a half of it.
const BOUND: f64 = 1e-3;

fn model() -> Model {
    let words = Words {
        vocabulary: 60,
        positions: 20,
        kinds: 2,
        width: WIDTH,
        norm: true,
        table: Table::Public,
    };
    Model {
        name: "outliers".into(),
        labels: Vec::new(),
        input: Input::Words(words),
        stack: Stack {
            layers: 2,
            heads: 4,
            width: WIDTH,
            hidden: HIDDEN,
            place: Place::After,
            eps: 1e-12,
            qkv_bias: true,
            shared: false,
            attention: vec![vec![Attention::Softmax; 4]; 2],
            activation: vec![Activation::Gelu; 2],
        },
        output: Output::Embedding { pool: Pool::Mean, normalise: true },
    }
}

/// Random weights, but for a few columns of the stream and hidden channels.
fn with_outliers(model: &Model) -> Weights {
    let random = Weights::random(model, 21);
    let mut values: BTreeMap<String, Vec<f32>> =
        random.iter().map(|(name, values)| (name.to_owned(), values.to_vec())).collect();
    let rows = |values: &mut Vec<f32>, outputs: usize, times: &[(usize, f32)]| {
        let inputs = values.len() / outputs;
        for &(row, by) in times {
            values[row * inputs..(row + 1) * inputs].iter_mut().for_each(|w| *w *= by);
        }
    };
    let columns = [(3, 20.0), (17, 60.0), (40, 35.0)];
    for layer in 0..model.stack.layers {
        let mut scale = |part: &str, outputs, times: &[(usize, f32)]| {
            for kind in ["weight", "bias"] {
                let name = format!("blocks.{layer}.{part}.{kind}");
                rows(values.get_mut(&name).expect("the model's own"), outputs, times);
            }
        };
        scale("attn.proj", WIDTH, &columns);
        scale("mlp.fc1", HIDDEN, &[(5, 6.0), (50, 8.0)]);
        scale("mlp.fc2", WIDTH, &columns);
        // What reads a norm sees the others, too.
        for norm in ["norm1", "norm2"] {
            let name = format!("blocks.{layer}.{norm}.weight");
            let gains = values.get_mut(&name).expect("the model's own");
            columns.iter().for_each(|&(column, by)| gains[column] = 2.0 / by);
        }
    }
    Weights::from_values(model, values).expect("the model's own")
}

fn far(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Texts of every length of a bucket's edges, padded, against the float reference of what they are without.
#[test]
fn embeddings_of_hidden_lengths_are_those_of_the_text_alone() {
    let model = model();
    let weights = with_outliers(&model);
    let mut bench = Bench::new(32);
    let mut rows = |length: usize| {
        let words = (0..length).map(|_| (bench.unit() * 60.0) as u32).collect();
        text::rows(&model, &weights, &Text { words, kinds: Vec::new() }).expect("the model's")
    };
    let all: Vec<Vec<f32>> = (0..40).map(|i| rows(1 + i % 20)).collect();
    let (weights, groups) = owner::arranged(&model, &weights, &all, |_| ());
    let calibration = Calibration { groups, ..Calibration::record(&model, &weights, &all, |_| ()) };
    let options = Options { lengths: Lengths::Hidden, ..Options::default() };
    for (bucket, own) in [(16, [1, 2, 9, 15, 16]), (20, [17, 18, 18, 19, 20])] {
        let length = (Length::Hidden(bucket), own.len());
        let private = Private::of_texts(&model, &calibration, length, options).expect("a format");
        let inputs = own.map(|own| all[own - 1].clone());
        let given = private.encode(&inputs);
        let result = bench.run(&private.plan, private.matrices(&weights), &given);
        result.check_exact();
        for (input, got) in inputs.iter().zip(private.decode_rows(&result.outputs[0], &own)) {
            let truth = forward(&model, &weights, input, &mut NoProbe);
            // Both have length 1.
            let cosine: f64 = truth.iter().zip(&got).map(|(&a, b)| f64::from(a) * b).sum();
            println!("{} of {bucket} rows: cosine {cosine:.6}", model.rows_of(input));
            assert!(cosine >= 0.9999, "{} of {bucket} rows: {cosine}", model.rows_of(input));
        }
    }
}

#[test]
fn outliers_are_right_with_and_without_a_dealer() {
    let model = model();
    let weights = with_outliers(&model);
    let mut bench = Bench::new(31);
    let mut rows = || {
        let words = (0..9).map(|_| (bench.unit() * 60.0) as u32).collect();
        let text = Text { words, kinds: vec![0; 9] };
        text::rows(&model, &weights, &text).expect("a text of the model")
    };
    let all: Vec<Vec<f32>> = (0..12).map(|_| rows()).collect();
    let (weights, groups) = owner::arranged(&model, &weights, &all, |_| ());
    let calibration = Calibration { groups, ..Calibration::record(&model, &weights, &all, |_| ()) };
    let private = Private::of_lengths(&model, &calibration, &[9], Options::default());
    let private = private.expect("a format");
    let (plan, matrices) = (&private.plan, private.matrices(&weights));
    let range = |name| calibration.named(1, name).expect("recorded").size();
    let (stream, read) = (range("ln1.centred"), range("ln1.out"));
    assert!(stream > 30.0 && read < 1.5, "{stream} {read}");

    for (number, input) in (0..).zip(&all[..3]) {
        let given = private.encode(std::slice::from_ref(input));
        let mut coins = Coins::Fair(Box::new(Seed::from_bytes([0; 32]).stream(number)));
        let simulated = simulate(plan, &matrices, &given, &mut coins);
        let simulated = private.decode(&simulated[plan.outputs[0].index()]).concat();
        let truth: Vec<f64> =
            forward(&model, &weights, input, &mut NoProbe).iter().map(|&x| f64::from(x)).collect();

        // All but the matrices' is made by the two.
        let [dealt, made] = bench.run_sources(plan, matrices.clone(), &given);
        dealt.check_exact();
        // All is, matrices and norms by encryption.
        let seed = Seed::from_bytes([3; 32]);
        let local = Local::without_masks(plan, matrices.clone(), &seed).expect("they fit");
        let seeds = local.seeds(number, Role::Server);
        let batches = whole_batches(plan, number, &seeds, &matrices, &mut ());
        let batches = batches.expect("all can be made");
        let [_, whole] = local.evaluate(batches, [&[], &given]).expect("the plan's own");
        for (source, output) in
            [("dealt", &dealt.outputs), ("made", &made.outputs), ("whole", &whole.outputs)]
        {
            let got = private.decode(&output[0]).concat();
            let errors = [far(&got, &simulated), far(&got, &truth)];
            println!("text {number}, {source}: {errors:.5?} from simulator and float");
            assert!(errors.into_iter().all(|e| e < BOUND), "text {number}, {source}: {errors:?}");
        }
    }
}
