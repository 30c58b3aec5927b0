//! Whole models without any dealer: every correlation is made by the two parties, those of matrices by encryption.

use sotto_crypto::Seed;
use sotto_models::{
    Arch, Calibration, Private, Weights,
    arch::{Activation, Attention},
    float::{NoProbe, forward},
    private::Options,
};
use sotto_protocols::{
    local::Local,
    spec::Role,
    testing::{Bench, made::whole_batches},
};

/// Largest distance of the logits from the float reference. What was made is held against dealing's relations on the way,
/// and what crossed against the recipe.
fn error(arch: &Arch) -> f64 {
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
    let batches =
        whole_batches(&private.plan, 0, &seeds, &matrices, &mut ()).expect("all can be made");
    let input = private.encode(&all[..1]);
    let [server, client] = local.evaluate(batches, [&[], &input]).expect("the plan's own");
    let online = private.plan.online();
    assert_eq!([server.traffic, client.traffic], [online; 2], "the online phase is the same");
    let truth = forward(arch, &weights, &all[0], &mut NoProbe);
    let logits = private.decode(&client.outputs[0]);
    let far = |(a, b): (&f32, &f64)| (f64::from(*a) - b).abs();
    truth.iter().zip(&logits[0]).map(far).fold(0.0, f64::max)
}

#[test]
fn two_parties_alone_are_as_close_as_with_a_dealer() {
    // Wide enough that norms go by encryption.
    let small = Arch::vit(2, 4, 64, 48, 16, 4, 5);
    for (kind, activation) in [
        (Attention::Softmax, Activation::Gelu),
        (Attention::Relu, Activation::Relu),
        (Attention::Linear, Activation::Gelu),
    ] {
        let arch = small.clone().with_attention(kind).with_activation(activation);
        let error = error(&arch);
        println!("{} {activation:?}: {error:.5}", kind.name());
        assert!(error < 1e-2, "{error}");
    }
}
