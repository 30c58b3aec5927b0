//! The last word of a search: small changes of a found architecture, judged with the shared weights.
//!
//! Those weights were trained under every kind at random, so that they serve any architecture. One
//! or two layers at a time get another composition; the change stays if the budget still holds and
//! the mean cross entropy of the same training images is lower.

use std::collections::BTreeSet;

use burn::tensor::Tensor;
use sotto_models::Arch;

use crate::Error;
use crate::augment::Rng;
use crate::data::Split;
use crate::engine::Engine;
use crate::search::latency::{Latencies, Oracle};
use crate::search::space::Space;

/// Changes that are drawn for each one that is evaluated, at most.
const DRAWS: usize = 200;

/// Tries `trials` changes of `start` within `budget` seconds; returns the best architecture, its
/// latency, and the cross entropies of `start` and of it.
///
/// Cost: `trials + 1` passes over `images`.
///
/// # Errors
/// As the oracle.
pub fn polish(
    (space, start, budget): (&Space, &Arch, f64),
    (latencies, oracle): (&Latencies, &dyn Oracle),
    (engine, weights, images): (&Engine, &[Tensor<2>], &Split),
    (trials, seed): (usize, u64),
) -> Result<(Arch, f64, [f64; 2]), Error> {
    let mut rng = Rng::new(&[seed, 9]);
    let judge = |arch: &Arch| engine.cross_entropy_of(arch, weights, images);
    let first = judge(start);
    let mut best = (start.clone(), oracle.latency(start)?, first);
    let mut seen: BTreeSet<Vec<usize>> = [space.choices(start)].into();
    for trial in 0..trials {
        let mut change = || {
            let mut arch = best.0.clone();
            for _ in 0..=rng.below(2) {
                let layer = rng.below(arch.layers);
                let other = space.draw(&arch, &mut rng);
                arch.attention[layer].clone_from(&other.attention[layer]);
                if rng.below(2) == 0 {
                    arch.activation[layer] = other.activation[layer];
                }
            }
            arch
        };
        let fits = |arch: &Arch| latencies.of(arch) <= budget;
        let fresh = |arch: &Arch, seen: &BTreeSet<_>| !seen.contains(&space.choices(arch));
        let found = (0..DRAWS).map(|_| change()).find(|arch| fits(arch) && fresh(arch, &seen));
        let Some(arch) = found else { break };
        seen.insert(space.choices(&arch));
        let latency = oracle.latency(&arch)?;
        if latency > budget {
            continue;
        }
        let entropy = judge(&arch);
        if entropy < best.2 {
            best = (arch, latency, entropy);
        }
        let (all, last) = (trials, best.2);
        eprint!("\rpolishing {}/{all}: cross entropy {first:.4} -> {last:.4}   ", trial + 1);
    }
    eprintln!();
    Ok((best.0, best.1, [first, best.2]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::latency::standin::Standin;
    use crate::vit::Precision;
    use crate::weights::{initial, upload};
    use burn::tensor::Device;

    #[test]
    fn a_polished_architecture_is_no_worse_and_keeps_to_the_budget() {
        let (space, base) = (Space::default(), Arch::vit(2, 2, 16, 32, 32, 8, 10));
        let latencies = Latencies::new(&space, &base, &Standin).unwrap();
        let engine = Engine {
            arch: base.clone(),
            precision: Precision::F32,
            teacher: None,
            device: Device::flex(),
            micro: 10,
            workers: 2,
        };
        let mut values = initial(&base, 3);
        values.iter_mut().flatten().for_each(|v| *v *= 2.0);
        let weights = upload(&base, &values, &Device::flex());
        let images = Split::synthetic(20);
        let (low, high) = latencies.range();
        let budget = low + 0.6 * (high - low);
        let start = space.build(&base, &[2, 2, 2, 2, 2, 2]);
        let run = || {
            let what = (&space, &start, budget);
            let costs: (&Latencies, &dyn Oracle) = (&latencies, &Standin);
            polish(what, costs, (&engine, &weights, &images), (20, 1)).unwrap()
        };
        let (arch, latency, [before, after]) = run();
        assert!(after < before && arch != start, "{before} {after}");
        assert_eq!(latency, Standin.latency(&arch).unwrap());
        assert!(latency <= budget);
        assert!((engine.cross_entropy_of(&arch, &weights, &images) - after).abs() < 1e-9);
        assert_eq!(run().0, arch);
    }
}
