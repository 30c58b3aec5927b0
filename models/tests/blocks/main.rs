//! The blocks of BERT and of ViT: float against a second implementation, private against simulator (exactly) and float
//! (bound), every output, every length.

mod heads;
mod hidden;
mod public_max;
mod reference;

use std::collections::BTreeMap;

use sotto_models::{
    Calibration, Model, Private, Weights,
    arch::{Activation, Attention},
    float::{NoProbe, Tensor, forward},
    model::{Classes, Hidden, Input, Output, Pixels, Place, Pool, Stack, Table, Words},
    owner,
    private::{MaxKind, Options, Reveal},
    probe::HeadPart,
    text::{self, Text},
};
use sotto_protocols::testing::Bench;

fn stack(place: Place, activation: Activation) -> Stack {
    Stack {
        layers: 2,
        heads: 4,
        width: 32,
        hidden: 48,
        place,
        eps: 1e-12,
        qkv_bias: true,
        shared: false,
        attention: vec![vec![Attention::Softmax; 4]; 2],
        activation: vec![activation; 2],
    }
}

fn classes(count: usize, pool: Pool, hidden: Option<Activation>) -> Output {
    let hidden = hidden.map(|activation| Hidden { width: 20, activation });
    Output::Classes(Classes { classes: count, pool, hidden })
}

/// BERT with its norms after each step.
fn bert(output: Output) -> Model {
    let table = Table::Public;
    Model {
        name: "bert".into(),
        labels: Vec::new(),
        input: Input::Words(Words {
            vocabulary: 60,
            positions: 20,
            kinds: 2,
            width: 32,
            norm: true,
            table,
        }),
        stack: stack(Place::After, Activation::Gelu),
        output,
    }
}

/// ViT with a class token and a second leading row.
fn vit(output: Output) -> Model {
    let (mean, std) = ([0.5; 3], [0.25; 3]);
    Model {
        name: "vit".into(),
        labels: Vec::new(),
        input: Input::Pixels(Pixels { image: 16, channels: 3, patch: 4, mean, std, lead: 2 }),
        stack: Stack { eps: 1e-6, ..stack(Place::Before, Activation::GeluTanh) },
        output,
    }
}

fn texts(model: &Model, lengths: &[usize], bench: &mut Bench) -> Vec<Text> {
    let Input::Words(words) = &model.input else { panic!("a text's model") };
    let mut up_to = |n: usize| (bench.unit() * n as f64) as u32;
    let mut text = |&length: &usize| Text {
        words: (0..length).map(|_| up_to(words.vocabulary)).collect(),
        kinds: (0..length).map(|i| u32::from(2 * i > length && words.kinds > 1)).collect(),
    };
    lengths.iter().map(&mut text).collect()
}

fn pictures(count: usize, bench: &mut Bench) -> Vec<Vec<f32>> {
    let mut one = || {
        let light = bench.unit();
        (0..3 * 16 * 16).map(|_| ((bench.unit() + light) * 2.0 - 2.0) as f32).collect()
    };
    (0..count).map(|_| one()).collect()
}

fn close(got: &[f32], expected: &[f64], bound: f64) {
    assert_eq!(got.len(), expected.len());
    for (g, e) in got.iter().zip(expected) {
        assert!((f64::from(*g) - e).abs() <= bound * (1.0 + e.abs()), "{g} is not {e}");
    }
}

/// Every output of texts, with the activations and tables of every family.
fn text_models() -> Vec<Model> {
    let mean = || Output::Embedding { pool: Pool::Mean, normalise: true };
    let mut albert = bert(classes(2, Pool::First, Some(Activation::Tanh)));
    albert.stack.shared = true;
    albert.stack.activation = vec![Activation::GeluTanh; 2];
    let Input::Words(words) = &mut albert.input else { unreachable!("it reads texts") };
    words.width = 16;
    let mut distil = bert(classes(3, Pool::First, Some(Activation::Relu)));
    let Input::Words(words) = &mut distil.input else { unreachable!("it reads texts") };
    words.kinds = 0;
    let mut before = bert(Output::Tokens { classes: 3 });
    before.stack.place = Place::Before;
    let mut quick = bert(classes(4, Pool::Mean, None));
    quick.stack.activation = vec![Activation::Silu, Activation::QuickGelu];
    vec![
        bert(mean()),
        bert(Output::Embedding { pool: Pool::First, normalise: false }),
        bert(Output::Tokens { classes: 5 }),
        bert(classes(1, Pool::First, None)),
        albert,
        distil,
        before,
        quick,
    ]
}

fn picture_models() -> Vec<Model> {
    let mut plain = vit(classes(3, Pool::Mean, None));
    let Input::Pixels(pixels) = &mut plain.input else { unreachable!("it reads pictures") };
    pixels.lead = 0;
    vec![
        vit(classes(5, Pool::First, None)),
        vit(classes(5, Pool::FirstTwo, None)),
        vit(classes(5, Pool::FirstAndMean, None)),
        vit(Output::Embedding { pool: Pool::First, normalise: false }),
        plain,
    ]
}

#[test]
fn floats_are_those_of_a_second_implementation() {
    for (seed, model) in (1..).zip(text_models()) {
        let weights = Weights::random(&model, seed);
        let tables = weights.public(&model);
        for text in texts(&model, &[1, 7, 20], &mut Bench::new(seed)) {
            let rows = text::rows(&model, &tables, &text).unwrap();
            let got = forward(&model, &weights, &rows, &mut NoProbe);
            if model.stack.place == Place::After {
                close(&got, &reference::bert(&model, &weights, &text), 2e-5);
            }
        }
    }
    for (seed, model) in (1..).zip(picture_models()) {
        let weights = Weights::random(&model, seed);
        for image in pictures(2, &mut Bench::new(seed)) {
            let got = forward(&model, &weights, &image, &mut NoProbe);
            close(&got, &reference::vit(&model, &weights, &image), 2e-5);
        }
    }
}

/// Runs inputs privately: exact against the simulator, within `bound` of the float reference.
fn check(model: &Model, weights: &Weights, inputs: &[Vec<f32>], private: &Private, bound: f64) {
    let mut bench = Bench::new(23);
    let result = bench.run(&private.plan, private.matrices(weights), &private.encode(inputs));
    result.check_exact();
    assert_eq!(result.traffic, [private.plan.online(); 2]);
    let decoded = private.decode(&result.outputs[0]);
    assert_eq!(decoded.len(), inputs.len());
    for (input, got) in inputs.iter().zip(decoded) {
        let truth = forward(model, weights, input, &mut NoProbe);
        assert_eq!(got.len(), truth.len(), "{}", model.name);
        for (a, b) in truth.iter().zip(&got) {
            let error = (f64::from(*a) - b).abs();
            assert!(error <= bound, "{} {:?}: {b} for {a}", model.name, model.output);
        }
    }
}

#[test]
fn texts_of_unlike_lengths_are_private_and_right() {
    for (seed, model) in (1..).zip(text_models()) {
        let weights = Weights::random(&model, seed);
        let tables = weights.public(&model);
        let mut bench = Bench::new(seed);
        let rows = |lengths: &[usize], bench: &mut Bench| -> Vec<Vec<f32>> {
            let texts = texts(&model, lengths, bench);
            texts.iter().map(|text| text::rows(&model, &tables, text).unwrap()).collect()
        };
        let lengths = [5, 9, 5, 1];
        let inputs = rows(&lengths, &mut bench);
        let mut all = rows(&[20; 6], &mut bench);
        all.extend(inputs.iter().cloned());
        let calibration = Calibration::record(&model, &weights, &all, |_| ());
        let of = |lengths: &[usize]| {
            Private::of_lengths(&model, &calibration, lengths, Options::default()).unwrap()
        };
        let mixed = of(&lengths);
        check(&model, &weights, &inputs, &mixed, 1.5e-2);
        let one = of(&[9]);
        check(&model, &weights, &inputs[1..2], &one, 1.5e-2);
        // A batch costs the flights of its deepest part, and the same matrices.
        assert_eq!(mixed.plan.online().flights, one.plan.online().flights);
        assert_eq!(mixed.plan.weights, one.plan.weights);
        assert!(one.plan.online().from_server < mixed.plan.online().from_server);
    }
}

#[test]
fn pictures_are_private_and_right() {
    for (seed, model) in (1..).zip(picture_models()) {
        let weights = Weights::random(&model, seed);
        let all = pictures(8, &mut Bench::new(seed));
        let calibration = Calibration::record(&model, &weights, &all, |_| ());
        let private = Private::new(&model, &calibration, 2, Options::default()).unwrap();
        check(&model, &weights, &all[..2], &private, 1.5e-2);
    }
}

#[test]
fn the_class_alone_and_a_public_maximum() {
    let options = Options { max: MaxKind::Public, reveal: Reveal::Class, ..Options::default() };
    let model = bert(classes(4, Pool::Mean, None));
    let weights = Weights::random(&model, 3);
    let tables = weights.public(&model);
    let texts = texts(&model, &[6, 4, 6, 9, 12], &mut Bench::new(4));
    let rows: Vec<Vec<f32>> =
        texts.iter().map(|text| text::rows(&model, &tables, text).unwrap()).collect();
    let calibration = Calibration::record(&model, &weights, &rows, |_| ());
    let private = Private::of_lengths(&model, &calibration, &[6, 4], options).unwrap();
    let matrices = private.matrices(&weights);
    let result = Bench::new(5).run(&private.plan, matrices, &private.encode(&rows[..2]));
    result.check_exact();
    for (row, hot) in rows.iter().zip(private.decode(&result.outputs[0])) {
        let truth = forward(&model, &weights, row, &mut NoProbe);
        let best = truth.iter().copied().fold(f32::MIN, f32::max);
        let chosen = hot.iter().position(|&h| h == 1.0).expect("one class");
        assert_eq!(hot.iter().filter(|&&h| h != 0.0).count(), 1);
        assert!(best - truth[chosen] < 2e-2, "class {chosen} of {truth:?}");
    }
    let embedding = bert(Output::Embedding { pool: Pool::Mean, normalise: true });
    let calibration = Calibration::record(&embedding, &weights_like(&embedding), &rows, |_| ());
    let refused = Private::of_lengths(&embedding, &calibration, &[6], options);
    let said = refused.err().expect("it has no classes").to_string();
    assert!(said.contains("no classes"), "{said}");
}

fn weights_like(model: &Model) -> Weights {
    Weights::random(model, 3)
}

#[test]
fn lengths_that_the_model_does_not_take_are_refused() {
    let model = bert(classes(2, Pool::First, None));
    let weights = Weights::random(&model, 3);
    let texts = texts(&model, &[6; 3], &mut Bench::new(4));
    let rows: Vec<Vec<f32>> =
        texts.iter().map(|text| text::rows(&model, &weights, text).unwrap()).collect();
    let calibration = Calibration::record(&model, &weights, &rows, |_| ());
    for (lengths, part) in [
        (vec![21], "an input of 21 rows; the model takes 1 to 20"),
        (vec![4, 0], "an input of 0 rows"),
        (vec![], "a batch of 0"),
        (vec![4; 65], "a batch of 65"),
    ] {
        let refused = Private::of_lengths(&model, &calibration, &lengths, Options::default());
        let said = refused.err().expect("refused").to_string();
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn words_that_do_not_exist_are_refused() {
    let model = bert(classes(2, Pool::First, None));
    let weights = Weights::random(&model, 3);
    let text = |words: &[u32], kinds: &[u32]| Text { words: words.into(), kinds: kinds.into() };
    for (text, part) in [
        (text(&[], &[]), "has 0 words; the model takes 1 to 20"),
        (text(&[1; 21], &[]), "has 21 words"),
        (text(&[1, 2, 60], &[]), "word 2 is not among the 60 of the vocabulary"),
        (text(&[1, 2], &[0]), "has 2 words and 1 kinds"),
        (text(&[1, 2], &[0, 2]), "word 1 is of a kind beyond the model's 2"),
    ] {
        let said = text::rows(&model, &weights, &text).unwrap_err().to_string();
        assert!(said.contains(part), "{said}");
    }
    let picture = vit(classes(2, Pool::First, None));
    let tables = Weights::random(&picture, 3);
    let said = text::rows(&picture, &tables, &text(&[1], &[])).unwrap_err().to_string();
    assert!(said.contains("takes pictures"), "{said}");
}

/// Keys with a mean that makes scores of hundreds of powers, as DINOv2's: refused as they are, right once centred.
#[test]
fn keys_with_a_large_mean_are_centred() {
    let model = vit(classes(5, Pool::First, None));
    let mut values: BTreeMap<String, Vec<f32>> = Weights::random(&model, 9)
        .iter()
        .map(|(name, values)| (name.to_owned(), values.to_vec()))
        .collect();
    for layer in 0..2 {
        let bias = values.get_mut(&format!("blocks.{layer}.attn.qkv.bias")).unwrap();
        bias[32..64].fill(60.0);
    }
    let weights = Weights::from_values(&model, values).unwrap();
    let all = pictures(10, &mut Bench::new(6));
    let scores = |calibration: &Calibration| {
        calibration.range(0, Tensor::Head(Attention::Softmax, HeadPart::Scores)).unwrap().size()
    };
    let plain = Calibration::record(&model, &weights, &all, |_| ());
    let said = Private::new(&model, &plain, 1, Options::default()).err().expect("too wide");
    assert!(said.to_string().contains("powers of two"), "{said}");

    let (centred, _) = owner::arranged(&model, &weights, &all, |_| ());
    let calibration = Calibration::record(&model, &centred, &all, |_| ());
    assert!(20.0 * scores(&calibration) < scores(&plain), "{}", scores(&plain));
    for image in &all {
        let [a, b] = [&weights, &centred].map(|w| forward(&model, w, image, &mut NoProbe));
        a.iter().zip(&b).for_each(|(a, b)| assert!((a - b).abs() < 1e-3, "{a} and {b}"));
    }
    let private = Private::new(&model, &calibration, 1, Options::default()).unwrap();
    check(&model, &centred, &all[..1], &private, 1.5e-2);
}

/// A model in which a few hidden channels reach much further than the others.
fn with_wide_channels(model: &Model) -> Weights {
    let random = Weights::random(model, 11);
    let mut values: BTreeMap<String, Vec<f32>> =
        random.iter().map(|(name, values)| (name.to_owned(), values.to_vec())).collect();
    for layer in 0..model.stack.layers {
        let first = values.get_mut(&format!("blocks.{layer}.mlp.fc1.weight")).expect("its own");
        for channel in [3, 17, 40] {
            first[channel * 32..(channel + 1) * 32].iter_mut().for_each(|w| *w *= 6.0);
        }
    }
    Weights::from_values(model, values).expect("the model's own")
}

#[test]
fn channels_of_unlike_range_have_tables_of_their_own() {
    let mut model = bert(classes(5, Pool::First, None));
    model.stack.activation = vec![Activation::Gelu, Activation::Relu];
    let weights = with_wide_channels(&model);
    let mut bench = Bench::new(8);
    let texts = texts(&model, &[9; 10], &mut bench);
    let rows: Vec<Vec<f32>> =
        texts.iter().map(|text| text::rows(&model, &weights, text).unwrap()).collect();
    let mut seen = 0;
    let (sorted, groups) = owner::arranged(&model, &weights, &rows, |done| seen += done);
    assert_eq!(seen, (1..=rows.len()).sum::<usize>());
    for layer in &groups {
        assert!((2..=4).contains(&layer.len()), "{layer:?}");
        assert!(layer.windows(2).all(|pair| pair[0].range.size() < pair[1].range.size()));
        assert!(layer.last().expect("several").channels <= 4, "{layer:?}");
    }
    for row in &rows {
        let [a, b] = [&weights, &sorted].map(|w| forward(&model, w, row, &mut NoProbe));
        a.iter().zip(&b).for_each(|(a, b)| assert!((a - b).abs() < 1e-4, "{a} and {b}"));
    }
    let plain = Calibration::record(&model, &sorted, &rows, |_| ());
    let grouped = Calibration { groups, ..plain.clone() };
    assert_eq!(Calibration::from_toml(&grouped.to_toml()).unwrap(), grouped);
    let traced = |calibration: &Calibration| {
        Private::of_lengths(&model, calibration, &[9, 9], Options::default()).unwrap()
    };
    let [before, after] = [&plain, &grouped].map(traced);
    check(&model, &sorted, &rows[..2], &after, 1.5e-2);
    assert_eq!(before.plan.online().flights, after.plan.online().flights);
    let bytes = [&before, &after].map(|p| p.plan.correction_bytes());
    assert!(bytes[1] * 10 < bytes[0] * 9, "{bytes:?}");
    let told = grouped.told(&model, Options::default());
    assert_eq!(traced(&told).plan.hash(), after.plan.hash());
    assert!(told.groups != grouped.groups && !told.layers[0].contains_key("hidden"), "{told:?}");

    type Spoil = fn(&mut Calibration);
    let bad: [(Spoil, &str); 5] = [
        (|c| c.groups[0][0].channels += 1, "do not make 48 channels"),
        (|c| c.groups[1][0].channels = usize::MAX, "do not make 48 channels"),
        (|c| c.groups[1].clear(), "are 0; accepted: 1 to 16"),
        (|c| drop(c.groups.pop()), "layer 1: `groups` are 0"),
        (|c| c.groups[0][0].range.max = f32::NAN, "have a range that is none"),
    ];
    for (spoil, part) in bad {
        let mut calibration = grouped.clone();
        spoil(&mut calibration);
        let said = Private::new(&model, &calibration, 1, Options::default()).err();
        let said = said.expect("refused").to_string();
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn the_last_layer_computes_the_rows_that_are_read() {
    let mut model = vit(classes(5, Pool::First, None));
    model.stack.attention[1] =
        vec![Attention::Softmax, Attention::Linear, Attention::Relu, Attention::Softmax];
    let weights = Weights::random(&model, 4);
    let all = pictures(6, &mut Bench::new(3));
    let calibration = Calibration::record(&model, &weights, &all, |_| ());
    let pruned = Private::new(&model, &calibration, 2, Options::default()).unwrap();
    check(&model, &weights, &all[..2], &pruned, 1.5e-2);
    let whole = Model { output: classes(5, Pool::Mean, None), ..model };
    let whole = Private::new(&whole, &calibration, 2, Options::default()).unwrap();
    let bytes = [&pruned, &whole].map(|p| p.plan.online().from_server);
    // Of two layers' bytes the last one's are mostly gone.
    assert!(bytes[0] * 10 < bytes[1] * 8, "{bytes:?}");
}
