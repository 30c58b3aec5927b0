//! Whole models without any dealer: every correlation is made by the two parties, those of matrices by encryption.

use sotto_crypto::Seed;
use sotto_models::{
    Arch, Calibration, Private, Weights,
    arch::{Activation, Attention},
    float::{NoProbe, forward},
    private::Options,
};
use sotto_ot::softspoken::K;
use sotto_protocols::{
    local::Local,
    make::{Recipe, in_waves, whole_recipe},
    plan::Plan,
    spec::Role,
    testing::{Bench, made::batches_of},
};

/// Largest distance of the logits from the float reference. What was made is held against dealing's relations on the way,
/// and what crossed against the recipe.
fn error(arch: &Arch, recipe: impl Fn(&Plan) -> Recipe) -> f64 {
    let mut bench = Bench::new(17);
    let weights = Weights::random(arch, 5);
    let size = arch.channels * arch.image * arch.image;
    let mut image = || (0..size).map(|_| (bench.unit() * 2.0 - 1.0) as f32).collect();
    let all: Vec<Vec<f32>> = (0..5).map(|_| image()).collect();
    let calibration = Calibration::record(arch, &weights, &all, |_| ());
    let private = Private::new(arch, &calibration, 1, Options::default()).expect("a format");
    let matrices = private.matrices(&weights);
    let seed = Seed::from_bytes([3; 32]);
    let local = Local::without_masks(&private.plan, matrices.clone(), &seed).expect("they fit");
    let seeds = local.seeds(0, Role::Server);
    let recipe = recipe(&private.plan);
    let batches = batches_of(&recipe, (&private.plan, 0), &seeds, &matrices, &mut ());
    let batches = batches.expect("all can be made");
    let input = private.encode(&all[..1]);
    let [server, client] = local.evaluate(batches, [&[], &input]).expect("the plan's own");
    let online = private.plan.online();
    assert_eq!([server.traffic, client.traffic], [online; 2], "the online phase is the same");
    let truth = forward(arch, &weights, &all[0], &mut NoProbe);
    let logits = private.decode(&client.outputs[0]);
    let far = |(a, b): (&f32, &f64)| (f64::from(*a) - b).abs();
    truth.iter().zip(&logits[0]).map(far).fold(0.0, f64::max)
}

/// Wide enough that norms go by encryption.
fn small(kind: Attention, activation: Activation) -> Arch {
    Arch::vit(2, 4, 64, 48, 16, 4, 5).with_attention(kind).with_activation(activation)
}

/// Bytes of the largest message.
fn largest(recipe: &Recipe) -> usize {
    let roles = [Role::Server, Role::Client];
    let messages = (0..recipe.depth()).flat_map(|l| roles.map(|r| recipe.message_bytes(K, l, r)));
    messages.max().unwrap_or(0)
}

#[test]
fn two_parties_alone_are_as_close_as_with_a_dealer() {
    for (kind, activation) in [
        (Attention::Softmax, Activation::Gelu),
        (Attention::Relu, Activation::Relu),
        (Attention::Linear, Activation::Gelu),
    ] {
        let error = error(&small(kind, activation), |plan| whole_recipe(plan).expect("all gates"));
        println!("{} {activation:?}: {error:.5}", kind.name());
        assert!(error < 1e-2, "{error}");
    }
}

#[test]
fn waves_make_the_same_with_smaller_messages() {
    let kinds = [Attention::Softmax, Attention::Relu, Attention::Linear];
    for (kind, cots) in kinds.into_iter().zip([1, 50_000, 200_000]) {
        let waved = |plan: &Plan| {
            let [whole, waved] = [usize::MAX, cots].map(|c| in_waves(plan, c).expect("all gates"));
            let roles = [Role::Server, Role::Client];
            assert_eq!(roles.map(|r| whole.cots(r)), roles.map(|r| waved.cots(r)));
            let [one, more] = [&whole, &waved].map(|recipe| recipe.traffic(K));
            assert!(more.flights >= 2 * one.flights, "{cots}: {more:?}, {one:?}");
            // An extension's head, and the last bits of each, are there more often.
            let bytes = [one, more].map(|t| t.from_server + t.from_client);
            assert!(bytes[1] - bytes[0] < bytes[0] / 50, "{cots}: {bytes:?}");
            assert!(2 * largest(&waved) <= largest(&whole), "{cots}: {}", largest(&waved));
            waved
        };
        let error = error(&small(kind, Activation::Gelu), waved);
        assert!(error < 1e-2, "{error}");
    }
}

#[test]
fn however_large_a_model_its_messages_are_not() {
    let recipe = |arch: &Arch| {
        let weights = Weights::random(arch, 5);
        let image = vec![0.5; arch.channels * arch.image * arch.image];
        let calibration = Calibration::record(arch, &weights, &[image], |_| ());
        let private = Private::new(arch, &calibration, 1, Options::default()).expect("a format");
        whole_recipe(&private.plan).expect("all gates")
    };
    let [cifar, tiny] = [Arch::vit_cifar(), Arch::vit_tiny()].map(|arch| recipe(&arch));
    let flights = [&cifar, &tiny].map(|r| r.traffic(K).flights);
    assert!(flights[0] < 40, "one wave: {flights:?}");
    let [cifar, tiny] = [&cifar, &tiny].map(largest);
    assert!(tiny < 4 * cifar && tiny < 100 << 20, "{cifar} and {tiny} bytes");
}
