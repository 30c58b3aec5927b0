//! Texts of hidden lengths: what is opened is uniform whatever is padded, and random models are exact.

use sotto_crypto::{Seed, Stream};
use sotto_models::{
    Calibration, Error, Model, Private, Weights,
    arch::{Activation, Attention},
    calibration::Range,
    float::{NoProbe, forward},
    length::Length,
    model::{Classes, Input, Output, Place, Pool, Stack, Table, Words},
    private::{Lengths, MaxKind, Options, Reveal},
    text::{self, Text},
};
use sotto_protocols::testing::Bench;

use crate::{
    gate_plans::{Case, Secrets},
    statistics::MOST,
    uniformity::judge,
};

/// Words of the longest text.
const LONGEST: usize = 20;

/// Largest difference between private and float results, and of those that are rounded to eight bits.
const FLOAT: [f64; 2] = [1e-2, 0.2];

/// A small model of texts with what an evaluation needs.
struct Specimen {
    model: Model,
    weights: Weights,
    calibration: Calibration,
    stream: Stream,
}

impl Specimen {
    fn new(model: Model, seed: u64) -> Self {
        let weights = Weights::random(&model, seed);
        let mut stream = Seed::from_bytes([0x3c; 32]).stream(seed);
        let all: Vec<Vec<f32>> =
            (1..=LONGEST).map(|words| rows(&model, &weights, words, &mut stream)).collect();
        let calibration = Calibration::record(&model, &weights, &all, |_| ());
        Self { model, weights, calibration, stream }
    }

    fn text(&mut self, words: usize) -> Vec<f32> {
        rows(&self.model, &self.weights, words, &mut self.stream)
    }

    fn private(&self, bucket: u32, batch: usize, options: Options) -> Private {
        let (options, length) =
            (Options { lengths: Lengths::Hidden, ..options }, Length::Hidden(bucket));
        let private = Private::of_texts(&self.model, &self.calibration, (length, batch), options);
        private.unwrap_or_else(|e| panic!("{:?}: {e}", self.model))
    }
}

fn rows(model: &Model, weights: &Weights, words: usize, stream: &mut Stream) -> Vec<f32> {
    let words = (0..words).map(|_| (stream.word() % 50) as u32).collect();
    text::rows(model, weights, &Text { words, kinds: Vec::new() }).expect("the model's own")
}

fn encoder(heads: usize, width: usize, output: Output) -> Model {
    let words = Words {
        vocabulary: 50,
        positions: LONGEST,
        kinds: 0,
        width,
        norm: true,
        table: Table::Public,
    };
    Model {
        name: "encoder".into(),
        labels: Vec::new(),
        input: Input::Words(words),
        stack: Stack {
            layers: 1,
            heads,
            width,
            hidden: 12,
            place: Place::After,
            eps: 1e-6,
            qkv_bias: true,
            shared: false,
            attention: vec![vec![Attention::Softmax; heads]],
            activation: vec![Activation::Gelu],
        },
        output,
    }
}

fn classes(pool: Pool) -> Output {
    Output::Classes(Classes { classes: 3, pool, hidden: None })
}

/// Random sizes, kinds, places of norms and outputs; the same for the same seed.
fn random(seed: u64) -> (Model, Options) {
    let mut stream = Seed::from_bytes([0xa7; 32]).stream(seed);
    let mut up_to = |n: u64| (stream.word() % n) as usize;
    let heads = 1 + up_to(4);
    let output = [
        Output::Embedding { pool: Pool::Mean, normalise: true },
        Output::Embedding { pool: Pool::First, normalise: false },
        Output::Tokens { classes: 2 },
        classes(Pool::Mean),
        classes(Pool::First),
    ];
    let mut model = encoder(heads, heads * (4 + 4 * up_to(3)), output[up_to(5)].clone());
    let layers = 1 + up_to(2);
    let mut kind = |_| [Attention::Softmax, Attention::Relu][up_to(2)];
    let attention = (0..layers).map(|_| (0..heads).map(&mut kind).collect()).collect();
    let activations = [Activation::Gelu, Activation::Relu, Activation::Silu];
    model.stack = Stack {
        layers,
        attention,
        activation: (0..layers).map(|_| activations[up_to(3)]).collect(),
        place: [Place::After, Place::Before][up_to(2)],
        hidden: 8 + up_to(17),
        ..model.stack
    };
    // A rounded mean is off by a unit of the calibrated range, whatever its own length, by which the client may divide.
    let reveal = match model.output {
        Output::Tokens { .. } | Output::Embedding { normalise: true, .. } => Reveal::Logits,
        _ => [Reveal::Logits, Reveal::Rounded][up_to(2)],
    };
    (model, Options { reveal, ..Options::default() })
}

#[test]
fn random_models_of_hidden_lengths_are_exact() {
    let mut far = [0f64; 2];
    for seed in 0..24 {
        let (model, options) = random(seed);
        let mut specimen = Specimen::new(model, seed);
        let mut lengths = Seed::from_bytes([0xa8; 32]).stream(seed);
        let bucket = [16, LONGEST as u32][(lengths.word() % 2) as usize];
        let any = 1 + (lengths.word() % u64::from(bucket)) as usize;
        // The edges, and one between.
        let own = [1, bucket as usize - 1, bucket as usize, any];
        let inputs = own.map(|words| specimen.text(words));
        let private = specimen.private(bucket, own.len(), options);
        let (plan, given) = (&private.plan, private.encode(&inputs));
        let result = Bench::new(seed).run(plan, private.matrices(&specimen.weights), &given);
        result.check_exact();
        assert_eq!(result.traffic, [plan.online(); 2], "measured, planned");
        assert_eq!(result.correction_bytes, plan.correction_bytes());
        let kind = usize::from(options.reveal == Reveal::Rounded);
        for (input, got) in inputs.iter().zip(private.decode_rows(&result.outputs[0], &own)) {
            let truth = forward(&specimen.model, &specimen.weights, input, &mut NoProbe);
            assert_eq!(truth.len(), got.len());
            for (a, b) in truth.iter().zip(&got) {
                let (error, rows) = ((f64::from(*a) - b).abs(), specimen.model.rows_of(input));
                far[kind] = far[kind].max(error);
                assert!(error <= FLOAT[kind], "seed {seed}, {rows} rows: {b} for {a}");
            }
        }
    }
    println!("largest distances to float: {far:.5?}");
}

/// Whatever a card says of its ranges: a plan, or an error that names what is too wide.
#[test]
fn every_range_is_a_plan_with_room_or_an_error() {
    let mut model = encoder(2, 8, classes(Pool::Mean));
    model.stack.attention = vec![vec![Attention::Relu, Attention::Softmax]];
    let specimen = Specimen::new(model, 3);
    let options = Options { lengths: Lengths::Hidden, ..Options::default() };
    let (mut plans, mut errors) = (0, 0);
    for (layer, tensors) in specimen.calibration.layers.iter().enumerate() {
        for name in tensors.keys() {
            for size in (-20..=60).step_by(4).map(|power| 2f32.powi(power)) {
                for (min, max) in [(-size, size), (0.0, size), (-size, 0.0)] {
                    let mut told = specimen.calibration.clone();
                    told.layers[layer].insert(name.clone(), Range { min, max });
                    let length = (Length::Hidden(16), 1);
                    match Private::of_texts(&specimen.model, &told, length, options) {
                        Ok(_) => plans += 1,
                        Err(Error::Calibration(_)) => errors += 1,
                        Err(e) => panic!("{name} from {min} to {max}: {e}"),
                    }
                }
            }
        }
    }
    println!("{plans} plans, {errors} errors");
    assert!(plans > 400 && errors > 200, "{plans} plans, {errors} errors");
}

/// One word against a full bucket, under other weights: all that is opened, the row of own rows included, is uniform in both, and
/// the two are alike.
#[test]
fn hidden_lengths_open_uniform_words() {
    let mean = Output::Embedding { pool: Pool::Mean, normalise: true };
    let mut mixed = encoder(2, 8, classes(Pool::Mean));
    mixed.stack.attention = vec![vec![Attention::Relu, Attention::Softmax]];
    let public = Options { max: MaxKind::Public, reveal: Reveal::Class, ..Options::default() };
    let models = [(encoder(1, 8, mean), Options::default()), (mixed, public)];
    let mut count = 0;
    for (seed, (model, options)) in (0..).zip(models) {
        let mut specimen = Specimen::new(model, seed);
        let private = specimen.private(16, 1, options);
        let others = Weights::random(&specimen.model, 1000);
        let texts = [1, 16].map(|words| vec![specimen.text(words)]);
        let secrets = [(&specimen.weights, &texts[0]), (&others, &texts[1])].map(|(w, text)| {
            Secrets { matrices: private.matrices(w), inputs: private.encode(text) }
        });
        let name = format!("hidden lengths, {:?}", specimen.model.output);
        count += judge(&Case { name, plan: private.plan, secrets, runs: 40 });
    }
    assert!(count < MOST / 2, "{count} statistics are too many for the limit");
}
