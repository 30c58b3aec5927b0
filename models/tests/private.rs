//! Whole models: private against simulator (exactly) and float reference (bound), every kind.

use safetensors::SafeTensors;
use sotto_models::{
    Arch, Calibration, Private, Weights,
    arch::{Activation, Attention},
    float::{NoProbe, Tensor, forward},
    private::{MaxKind, Options, Reveal, Tables},
    probe::HeadPart,
    weights::Precision,
};
use sotto_protocols::testing::Bench;

fn images(arch: &Arch, count: usize, bench: &mut Bench) -> Vec<Vec<f32>> {
    let size = arch.channels * arch.image * arch.image;
    (0..count)
        .map(|_| {
            let light = bench.unit();
            (0..size).map(|_| ((bench.unit() + light) * 2.0 - 2.0) as f32).collect()
        })
        .collect()
}

fn check(arch: &Arch, batch: usize, options: Options, bound: f64) -> Private {
    check_weights(arch, Weights::random(arch, 5), batch, options, bound)
}

fn check_weights(
    arch: &Arch,
    weights: Weights,
    batch: usize,
    options: Options,
    bound: f64,
) -> Private {
    let mut bench = Bench::new(17);
    let all = images(arch, batch + 8, &mut bench);
    let calibration = Calibration::record(arch, &weights, &all, |_| ());
    let private = Private::new(arch, &calibration, batch, options).expect("a format");
    let input = private.encode(&all[..batch]);
    let result = bench.run(&private.plan, private.matrices(&weights), &input);
    result.check_exact();
    for (image, logits) in all.iter().zip(private.decode(&result.outputs[0])) {
        let truth = forward(arch, &weights, image, &mut NoProbe);
        for (a, b) in truth.iter().zip(&logits) {
            let error = (f64::from(*a) - b).abs();
            assert!(error <= bound, "{}: logit {b} for {a}", arch.name);
        }
    }
    private
}

fn small() -> Arch {
    Arch::vit(2, 4, 32, 48, 16, 4, 5)
}

#[test]
fn every_kind_of_attention() {
    let deep = [Attention::Softmax, Attention::Relu, Attention::Linear]
        .map(|kind| check(&small().with_attention(kind), 1, Options::default(), 1e-2));
    let flights = deep.map(|p| p.plan.online().flights);
    assert_eq!(flights, [46, 42, 36], "flights of two layers");
}

#[test]
fn rows_without_a_positive_score_stay_as_exact_as_others() {
    let arch = Arch::vit(7, 4, 32, 48, 16, 4, 5).with_attention(Attention::Relu);
    let weights = Weights::random(&arch, 5);
    let calibration =
        Calibration::record(&arch, &weights, &images(&arch, 1, &mut Bench::new(5)), |_| ());
    let smallest =
        |l| calibration.range(l, Tensor::Head(Attention::Relu, HeadPart::RowSum)).unwrap().min;
    let smallest = (0..arch.layers).map(smallest).fold(f32::MAX, f32::min);
    assert!(smallest < 0.01, "no row is nearly empty: {smallest}");
    check(&arch, 1, Options::default(), 1e-2);
}

/// Random weights in which the first token of the picture is `factor` times as large as the others, as registers and
/// attention sinks are.
fn with_a_large_token(arch: &Arch, factor: f32) -> Weights {
    let bytes = Weights::random(arch, 5).to_bytes(Precision::F32).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let token = &tensors.tensor("pos_embed").unwrap().data()[4 * arch.dim..8 * arch.dim];
    let start = token.as_ptr() as usize - bytes.as_ptr() as usize;
    let mut larger = bytes.clone();
    for value in larger[start..start + token.len()].chunks_exact_mut(4) {
        let x = f32::from_le_bytes(value.try_into().unwrap());
        value.copy_from_slice(&(x * factor).to_le_bytes());
    }
    Weights::from_bytes(arch, &larger).unwrap()
}

#[test]
fn rows_of_unlike_size_stay_as_exact_as_others() {
    for factor in [3.0, 30.0, 100.0, 1_000.0, 3_000.0] {
        let weights = with_a_large_token(&small(), factor);
        let private = check_weights(&small(), weights, 2, Options::default(), 1e-2);
        let bands = private.format.sublayers[0].norm.expect("it has one").bands;
        assert_eq!(bands.is_some(), factor > 10.0, "{factor}: {bands:?}");
    }
    // Beyond what any format holds it is refused, and the norm is named.
    let arch = small();
    let weights = with_a_large_token(&arch, 1e7);
    let all = images(&arch, 4, &mut Bench::new(17));
    let calibration = Calibration::record(&arch, &weights, &all, |_| ());
    let refused =
        Private::new(&arch, &calibration, 1, Options::default()).err().unwrap().to_string();
    assert!(refused.contains("layer 0"), "{refused}");
}

#[test]
fn the_papers_models_have_a_format_in_every_kind() {
    for (arch, layers) in [(Arch::vit_cifar(), 2), (Arch::vit_tiny(), 1)] {
        for kind in Attention::ALL {
            let mut arch = arch.clone().with_attention(kind);
            arch.layers = layers;
            arch.attention.truncate(layers);
            arch.activation.truncate(layers);
            let weights = Weights::random(&arch, 7);
            let all = images(&arch, 2, &mut Bench::new(3));
            let calibration = Calibration::record(&arch, &weights, &all, |_| ());
            let private = Private::new(&arch, &calibration, 1, Options::default());
            private.unwrap_or_else(|e| panic!("{}, {}: {e}", arch.name, kind.name()));
        }
    }
}

#[test]
fn mixed_kinds_share_flights_and_batches_cost_no_more() {
    let mut arch = small();
    arch.attention[0] =
        vec![Attention::Linear, Attention::Softmax, Attention::Relu, Attention::Softmax];
    arch.attention[1] =
        vec![Attention::Relu, Attention::Relu, Attention::Linear, Attention::Linear];
    arch.activation = vec![Activation::Relu, Activation::None];
    let one = check(&arch, 1, Options::default(), 1e-2);
    let three = check(&arch, 3, Options::default(), 1e-2);
    assert_eq!(one.plan.online().flights, three.plan.online().flights);
    assert!(one.plan.hash() != three.plan.hash());
}

#[test]
fn an_mlp_without_an_activation_is_one_product() {
    let relu = check(&small().with_activation(Activation::Relu), 1, Options::default(), 1e-2);
    let none = check(&small().with_activation(Activation::None), 1, Options::default(), 1e-2);
    // Embedding and head, and in each layer three matrices instead of four.
    assert_eq!((relu.plan.weights.len(), none.plan.weights.len()), (10, 8));
    let flights = [&relu, &none].map(|p| p.plan.online().flights);
    let products =
        |p: &Private| -> usize { p.plan.weights.iter().map(|w| w.outputs * w.inputs).sum() };
    assert!(flights[1] + 2 <= flights[0], "{flights:?}");
    assert!(products(&none) < products(&relu));
}

#[test]
fn linear_attention_in_both_orders() {
    // Head dim 32 with 5 tokens: scores first.
    let arch = Arch::vit(1, 1, 32, 32, 8, 4, 3).with_attention(Attention::Linear);
    check(&arch, 1, Options::default(), 1e-2);
}

#[test]
fn row_tables_save_a_flight_an_activation() {
    let options = Options { tables: Tables::Rows, ..Options::default() };
    let rows = check(&small(), 1, options, 1e-2);
    assert_eq!(rows.plan.online().flights, 44);
}

#[test]
fn public_maximum_and_class_only() {
    let options = Options { max: MaxKind::Public, ..Options::default() };
    // Its rows' maxima lie too far apart for one, and are counted.
    let public = check(&small(), 1, options, 1e-2);
    assert_eq!(public.plan.online().flights, 46);

    let arch = small();
    let mut bench = Bench::new(3);
    let weights = Weights::random(&arch, 5);
    let all = images(&arch, 6, &mut bench);
    let calibration = Calibration::record(&arch, &weights, &all, |_| ());
    let options = Options { reveal: Reveal::Class, ..Options::default() };
    let private = Private::new(&arch, &calibration, 6, options).expect("a format");
    let input = private.encode(&all);
    let result = bench.run(&private.plan, private.matrices(&weights), &input);
    result.check_exact();
    for (image, hot) in all.iter().zip(private.decode(&result.outputs[0])) {
        let truth = forward(&arch, &weights, image, &mut NoProbe);
        let best = truth.iter().copied().fold(f32::MIN, f32::max);
        let chosen = hot.iter().position(|&h| h != 0.0).expect("one class");
        assert_eq!(hot.iter().filter(|&&h| h != 0.0).count(), 1);
        assert!(best - truth[chosen] < 2e-2, "class {chosen} of {truth:?}");
    }
}

#[test]
fn rounded_logits_are_eight_bits_and_half_a_unit_and_a_coin_off() {
    let arch = small();
    let mut bench = Bench::new(4);
    let weights = Weights::random(&arch, 5);
    let all = images(&arch, 6, &mut bench);
    let calibration = Calibration::record(&arch, &weights, &all, |_| ());
    let revealed = |reveal| {
        let options = Options { reveal, ..Options::default() };
        let private = Private::new(&arch, &calibration, 6, options).expect("a format");
        let bits = private.plan.revealed_bits() as usize;
        (private, bits)
    };
    let (exact, bits) = revealed(Reveal::Logits);
    assert!(bits > 6 * 8 * arch.classes);
    assert_eq!(revealed(Reveal::Class).1, 6 * arch.classes);
    let (private, bits) = revealed(Reveal::Rounded);
    assert_eq!(bits, 6 * 8 * arch.classes);
    let input = private.encode(&all);
    let result = bench.run(&private.plan, private.matrices(&weights), &input);
    result.check_exact();
    // The calibrated range and its margin are 256 units.
    let unit = f64::from(exact.format.head.logit_width).exp2() / 4096.0 / 256.0;
    for (image, rounded) in all.iter().zip(private.decode(&result.outputs[0])) {
        let truth = forward(&arch, &weights, image, &mut NoProbe);
        for (a, b) in truth.iter().zip(rounded) {
            assert!((f64::from(*a) - b).abs() <= unit + 2e-2, "{a} and {b}, unit {unit}");
        }
    }
}

#[test]
fn inputs_outside_of_the_calibrated_range_are_refused() {
    let private = check(&small(), 1, Options::default(), 1e-2);
    let size = 3 * 16 * 16;
    assert!(private.check_input(&vec![1.5; size]).is_ok());
    let mut bright = vec![1.5; size];
    bright[7] = 40.0;
    let message = private.check_input(&bright).expect_err("out of range").to_string();
    assert!(message.contains("calibrate"), "{message}");
}
