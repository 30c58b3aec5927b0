//! Whole models on correlations that two parties made without a dealer (those of matrices are dealt): as exact as with one.

use sotto_models::{
    Arch, Calibration, Private, Weights,
    arch::{Activation, Attention},
    float::{NoProbe, forward},
    private::{Options, Reveal},
};
use sotto_protocols::{make::recipe, spec::Role, testing::Bench};

fn images(arch: &Arch, count: usize, bench: &mut Bench) -> Vec<Vec<f32>> {
    let size = arch.channels * arch.image * arch.image;
    let image = |bench: &mut Bench| (0..size).map(|_| (bench.unit() * 2.0 - 1.0) as f32).collect();
    (0..count).map(|_| image(bench)).collect()
}

/// Largest distances from the float reference: with a dealer, without.
fn errors(arch: &Arch, options: Options) -> [f64; 2] {
    let mut bench = Bench::new(17);
    let weights = Weights::random(arch, 5);
    let all = images(arch, 5, &mut bench);
    let calibration = Calibration::record(arch, &weights, &all, |_| ());
    let private = Private::new(arch, &calibration, 1, options).expect("a format");
    let input = private.encode(&all[..1]);
    let truth = forward(arch, &weights, &all[0], &mut NoProbe);
    let outcomes = bench.run_sources(&private.plan, private.matrices(&weights), &input);
    outcomes.map(|result| {
        assert_eq!(result.traffic, [private.plan.online(); 2], "the online phase is the same");
        let logits = private.decode(&result.outputs[0]);
        let far = |(a, b): (&f32, &f64)| (f64::from(*a) - b).abs();
        truth.iter().zip(&logits[0]).map(far).fold(0.0, f64::max)
    })
}

#[test]
fn every_kind_is_as_close_as_with_a_dealer() {
    let small = Arch::vit(2, 4, 32, 48, 16, 4, 5);
    for kind in Attention::ALL {
        for activation in [Activation::Gelu, Activation::Relu] {
            let arch = small.clone().with_attention(kind).with_activation(activation);
            let [dealt, made] = errors(&arch, Options::default());
            println!("{} {activation:?}: {dealt:.5} dealt, {made:.5} made", kind.name());
            assert!(dealt < 1e-2 && made < 1e-2, "{dealt} {made}");
        }
    }
}

#[test]
fn a_recipe_is_known_before_anything_is_made() {
    let arch = Arch::vit(2, 4, 32, 48, 16, 4, 5);
    let weights = Weights::random(&arch, 5);
    let all = images(&arch, 5, &mut Bench::new(1));
    let calibration = Calibration::record(&arch, &weights, &all, |_| ());
    let options = Options { reveal: Reveal::Class, ..Options::default() };
    let private = Private::new(&arch, &calibration, 1, options).expect("a format");
    let recipe = recipe(&private.plan).expect("all gates can be made");
    let traffic = recipe.traffic();
    let cots = [Role::Server, Role::Client].map(|role| recipe.cots(role));
    println!("{traffic:?}, COTs {cots:?}");
    assert!(traffic.flights < 60, "{}", traffic.flights);
}
