//! Calibrates a model of texts on some of a file's lines and runs others through the simulator, each in its own length:
//! `cargo run --release -p sotto-models --example texts -- FOLDER LINES CALIBRATED RUN`. The folder holds `arch.toml`
//! and `weights.safetensors`; a line of the file is a text's numbers. Prints the agreement of private with float, and bytes.

use std::{fs, path::Path};

use sotto_crypto::Seed;
use sotto_models::{
    Calibration, Model, Private, Weights,
    float::{NoProbe, forward},
    owner,
    private::Options,
    text::{self, Text},
};
use sotto_protocols::simulate::{Coins, simulate};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let folder = Path::new(&args[1]);
    let number = |i: usize| args[i].parse::<usize>().expect("a number");
    let (calibrated, run) = (number(3), number(4));
    let arch = fs::read_to_string(folder.join("arch.toml")).expect("arch.toml");
    let model = Model::from_toml(&arch).expect("a description");
    let weights = Weights::load(&folder.join("weights.safetensors"), &model).expect("weights");
    let rows = |line: &str| {
        let words = line.split_whitespace().map(|w| w.parse().expect("a number")).collect();
        text::rows(&model, &weights, &Text { words, kinds: Vec::new() }).expect("a text")
    };
    let file = fs::read_to_string(&args[2]).expect("a file of texts");
    let texts: Vec<Vec<f32>> = file.lines().take(calibrated + run).map(rows).collect();
    let (known, unseen) = texts.split_at(calibrated);
    let (weights, groups) = owner::arranged(&model, &weights, known, |_| ());
    let calibration =
        Calibration { groups, ..Calibration::record(&model, &weights, known, |_| ()) };
    let length = |x: &[f32]| x.len() / model.stack.width;
    for tokens in [16, 32, 128].into_iter().filter(|&n| n <= model.tokens()) {
        let options = Options::default();
        let private = Private::of_lengths(&model, &calibration, &[tokens], options);
        let plan = private.expect("a format").plan;
        let online = plan.online();
        println!(
            "{tokens} words: flights {}, online {:.1} MB, offline {:.1} MB, setup {:.1} MB",
            online.flights,
            (online.from_server + online.from_client) as f64 / 1e6,
            plan.correction_bytes() as f64 / 1e6,
            plan.setup_bytes() as f64 / 1e6
        );
    }
    let mut cosines = Vec::new();
    let mut worst = 0f64;
    let mut matrices = None;
    for (i, input) in unseen.iter().enumerate() {
        let options = Options::default();
        let private = Private::of_lengths(&model, &calibration, &[length(input)], options);
        let private = private.expect("a format");
        let matrices = &*matrices.get_or_insert_with(|| private.matrices(&weights));
        let mut coins = Coins::Fair(Box::new(Seed::from_bytes([7; 32]).stream(i as u64)));
        let inputs = private.encode(std::slice::from_ref(input));
        let values = simulate(&private.plan, matrices, &inputs, &mut coins);
        let got = &private.decode(&values[private.plan.outputs[0].index()])[0];
        let truth = forward(&model, &weights, input, &mut NoProbe);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let truth: Vec<f64> = truth.into_iter().map(f64::from).collect();
        cosines.push(dot(&truth, got) / (dot(&truth, &truth) * dot(got, got)).sqrt());
        worst = truth.iter().zip(got).map(|(a, b)| (a - b).abs()).fold(worst, f64::max);
    }
    cosines.sort_unstable_by(f64::total_cmp);
    println!(
        "{run} texts: cosine of private and float {:.6} at least, {:.6} in the middle; largest error {worst:.4}",
        cosines[0],
        cosines[cosines.len() / 2]
    );
}
