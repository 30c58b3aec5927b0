//! The last step of a search before training: small changes of the found architecture, or of a plain one where that
//! is better, judged with the shared weights.
//!
//! Those weights were trained under every kind at random, so that they serve any architecture. One
//! or two layers at a time get another composition; the change stays if the latency's limit still
//! holds and the mean cross entropy of the same training images is lower.

use std::collections::BTreeSet;

use burn::tensor::Tensor;
use sotto_models::Arch;
use sotto_models::arch::Attention;

use crate::Error;
use crate::augment::Rng;
use crate::data::Split;
use crate::engine::Engine;
use crate::search::latency::{Latencies, Oracle};
use crate::search::space::Space;

/// Changes that are drawn for each one that is evaluated, at most.
const DRAWS: usize = 200;

/// The best of `found`, which the shares chose, and of `trials` changes within `limit` seconds; with its latency, and the
/// cross entropies of `found` and of it. What is changed is the best so far within the limit, `plain` included; these are
/// trained in any case, and the result is none of them.
///
/// Cost: `trials` passes over `images`, and one for each start.
///
/// # Errors
/// As the oracle.
pub fn polish(
    (space, found, plain, limit): (&Space, &Arch, &[Arch], f64),
    (latencies, oracle): (&Latencies, &dyn Oracle),
    (engine, weights, images): (&Engine, &[Tensor<2>], &Split),
    (trials, seed): (usize, u64),
) -> Result<(Arch, f64, [f64; 2]), Error> {
    let mut rng = Rng::new(&[seed, 9]);
    let judge = |arch: &Arch| engine.cross_entropy_of(arch, weights, images);
    let within = |arch: &Arch| -> Result<Option<(Arch, f64, f64)>, Error> {
        let latency = oracle.latency(arch)?;
        Ok((latency <= limit).then(|| (arch.clone(), latency, judge(arch))))
    };
    let mut own = (found.clone(), oracle.latency(found)?, judge(found));
    let first = own.2;
    let mut best = own.clone();
    for plain in plain {
        best = within(plain)?.filter(|plain| plain.2 < best.2).unwrap_or(best);
    }
    // A plain architecture that the shares chose gives way to anything else.
    if plain.contains(found) {
        own.2 = f64::INFINITY;
    }
    let starts = plain.iter().chain([found]);
    let mut seen: BTreeSet<Vec<usize>> = starts.map(|s| space.choices(s)).collect();
    for trial in 0..trials {
        let mut change = || {
            let mut arch = best.0.clone();
            for _ in 0..=rng.below(2) {
                let layer = rng.below(arch.layers);
                arch.attention[layer] = row(space, arch.heads, &mut rng);
                if rng.below(2) == 0 {
                    arch.activation[layer] = space.activations[rng.below(space.activations.len())];
                }
            }
            arch
        };
        let fits = |arch: &Arch| latencies.of(arch) <= limit;
        let fresh = |arch: &Arch, seen: &BTreeSet<_>| !seen.contains(&space.choices(arch));
        let found = (0..DRAWS).map(|_| change()).find(|arch| fits(arch) && fresh(arch, &seen));
        let Some(arch) = found else { break };
        seen.insert(space.choices(&arch));
        let Some(changed) = within(&arch)? else { continue };
        if changed.2 < own.2 {
            own = changed.clone();
        }
        if changed.2 < best.2 {
            best = changed;
        }
        let (all, last) = (trials, own.2.min(first));
        eprint!("\rpolishing {}/{all}: cross entropy {first:.4} -> {last:.4}   ", trial + 1);
    }
    eprintln!();
    let (arch, latency, entropy) = own;
    Ok((arch, latency, [first, if entropy.is_finite() { entropy } else { first }]))
}

/// A layer's kinds: some of all kinds, then each head one of those. The presence of a kind costs flights, so layers of
/// few kinds are the ones to try.
fn row(space: &Space, heads: usize, rng: &mut Rng) -> Vec<Attention> {
    let some = 1 + rng.below((1 << space.kinds.len()) - 1);
    let kinds = space.kinds.iter().enumerate().filter(|(i, _)| some >> i & 1 == 1);
    let kinds: Vec<Attention> = kinds.map(|(_, kind)| *kind).collect();
    (0..heads).map(|_| kinds[rng.below(kinds.len())]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::latency::standin::Standin;
    use crate::vit::Precision;
    use crate::weights::{initial, upload};
    use burn::tensor::Device;

    #[test]
    fn layers_of_every_set_of_kinds_are_tried() {
        let (space, mut rng) = (Space::default(), Rng::new(&[4]));
        let mut pure = [0; 3];
        for _ in 0..700 {
            let row = row(&space, 4, &mut rng);
            let kinds: BTreeSet<usize> =
                row.iter().map(|k| space.kinds.iter().position(|o| o == k).unwrap()).collect();
            if kinds.len() == 1 {
                pure[*kinds.first().unwrap()] += 1;
            }
        }
        // One of seven sets each, and some of the larger sets' draws.
        assert!(pure.iter().all(|n| (90..170).contains(n)), "{pure:?}");
    }

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
        let judge = |arch: &Arch| engine.cross_entropy_of(arch, &weights, &images);
        let run = |found: &Arch, plain: &[Arch], trials, limit| {
            let what = (&space, found, plain, limit);
            let costs: (&Latencies, &dyn Oracle) = (&latencies, &Standin);
            polish(what, costs, (&engine, &weights, &images), (trials, 1)).unwrap()
        };
        let (arch, latency, [before, after]) = run(&start, &[], 20, budget);
        assert!(after < before && arch != start, "{before} {after}");
        assert_eq!(latency, Standin.latency(&arch).unwrap());
        assert!(latency <= budget);
        assert!((judge(&arch) - after).abs() < 1e-9);
        assert_eq!(run(&start, &[], 20, budget).0, arch);
        assert_eq!(run(&start, &[], 20, low).0, start);
        // A better plain one is changed, but not the result.
        let plain = [arch.clone()];
        assert_eq!(run(&start, &plain, 0, budget).0, start);
        let own = run(&start, &plain, 20, budget);
        assert!(own.0 != arch && own.1 <= budget && own.2[1] <= before, "{own:?}");
        // Where the shares chose a plain one, the best of its changes is the result, also where it is worse.
        let own = run(&arch, &plain, 20, budget);
        assert!(own.0 != arch && own.2[0] == after, "{own:?}");
        assert_eq!(run(&arch, &plain, 0, budget).0, arch);
    }
}
