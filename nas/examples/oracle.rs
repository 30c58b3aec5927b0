//! Seconds for a trace, and for the latency of a thousand random architectures of the paper's CIFAR model:
//! `cargo run --release --manifest-path nas/Cargo.toml --example oracle`.

use std::time::Instant;

use sotto_models::{
    Arch, Calibration, Private, Weights,
    arch::{Activation, Attention},
    private::Options,
};
use sotto_nas::{
    Error,
    search::{
        latency::Oracle as _,
        simulator::{Objective, Simulator, calibration_of_all_kinds},
    },
};
use sotto_netsim::{Machine, Machines, Network};

/// Ranges of a model with random weights.
fn calibrated(base: &Arch) -> Calibration {
    let pixels = base.channels * base.image * base.image;
    // A pattern without a direction of its own: products of small primes.
    let image = (0..pixels).map(|i| ((i * i * 31 + i * 7) % 257) as f32 / 75.0 - 1.7).collect();
    calibration_of_all_kinds(base, &Weights::random(base, 7), &[image])
}

fn main() -> Result<(), Error> {
    let base = Arch::vit_cifar();
    let calibration = calibrated(&base);
    for (name, arch, calibration) in [
        ("CIFAR", &base, &calibration),
        ("Tiny-ImageNet", &Arch::vit_tiny(), &calibrated(&Arch::vit_tiny())),
    ] {
        let start = Instant::now();
        let private = Private::new(arch, calibration, 1, Options::default())
            .map_err(|e| Error::Arch(e.to_string()))?;
        let (took, gates) = (start.elapsed().as_secs_f64() * 1e3, private.plan.nodes.len());
        println!("trace of the {name} model, {gates} gates: {took:.1} ms");
    }
    let machines = Machines::alike(&Machine::reference());
    let network = Network::preset("wan").map_err(|e| Error::Usage(e.to_string()))?;
    let oracle = Simulator::new(&base, &calibration, &network, &machines, Objective::Total);
    let mut state = 1u64;
    let mut next = |n: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % n
    };
    let activations = [Activation::Gelu, Activation::Relu, Activation::None];
    for round in ["first", "second"] {
        let mut range = (f64::INFINITY, 0f64);
        let start = Instant::now();
        for _ in 0..1000 {
            let mut arch = base.clone();
            for layer in 0..arch.layers {
                arch.activation[layer] = activations[next(3)];
                arch.attention[layer].fill_with(|| Attention::ALL[next(3)]);
            }
            let seconds = oracle.latency(&arch)?;
            range = (range.0.min(seconds), range.1.max(seconds));
        }
        let took = start.elapsed().as_secs_f64();
        println!("{round} thousand: {took:.3} s; latencies {:.2} to {:.2} s", range.0, range.1);
    }
    Ok(())
}
