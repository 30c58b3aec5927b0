//! From shares to an architecture: the likeliest one that a budget allows.
//!
//! Taking every site's largest share would spend more or less than the budget, because shares of a
//! dear kind that lose everywhere still make its presence likely. Instead the product of the shares
//! is maximised over all architectures within the budget, exactly: the best assignment for each
//! split of a layer's heads over the kinds (the kinds' order costs nothing), then the best
//! combination of layers by their fronts of likelihood against latency.

use std::collections::BTreeMap;

use sotto_models::Arch;

use crate::Error;
use crate::search::latency::{Latencies, Oracle};
use crate::search::space::{Space, Table};

/// A share that is taken for zero.
const NOTHING: f64 = 1e-12;

/// A partial architecture: what it costs, how likely it is, what it chooses.
#[derive(Debug, Clone)]
struct Part {
    cost: f64,
    score: f64,
    heads: Vec<usize>,
    mlps: Vec<usize>,
}

/// The likeliest architecture within `budget` seconds, by `latencies` and in the end by `oracle`,
/// whose latency comes with it; none when nothing is that fast.
///
/// # Errors
/// As the oracle.
pub fn within(
    space: &Space,
    base: &Arch,
    shares: &Table,
    (latencies, oracle): (&Latencies, &dyn Oracle),
    budget: f64,
) -> Result<Option<(Arch, f64)>, Error> {
    let mut allowed = budget;
    loop {
        let Some(choice) = best(space, base, shares, latencies, allowed) else {
            return Ok(None);
        };
        let arch = space.build(base, &choice);
        let latency = oracle.latency(&arch)?;
        if latency <= budget {
            return Ok(Some((arch, latency)));
        }
        // Where the tables are not the oracle to the last digit.
        allowed -= (latency - budget).max(1e-9);
    }
}

fn best(
    space: &Space,
    base: &Arch,
    shares: &Table,
    latencies: &Latencies,
    budget: f64,
) -> Option<Vec<usize>> {
    let start = Part { cost: latencies.constant(), score: 0.0, heads: vec![], mlps: vec![] };
    let mut front = vec![start];
    for layer in 0..base.layers {
        let options = of_layer(space, base, shares, latencies, layer);
        let all = front.iter().flat_map(|a| {
            options.iter().map(move |b| Part {
                cost: a.cost + b.cost,
                score: a.score + b.score,
                heads: [a.heads.clone(), b.heads.clone()].concat(),
                mlps: [a.mlps.clone(), b.mlps.clone()].concat(),
            })
        });
        front = pareto(all.collect());
    }
    // The front is sorted by cost, and score grows along it.
    let found = front.into_iter().take_while(|part| part.cost <= budget).last()?;
    Some([found.heads, found.mlps].concat())
}

/// The front of one layer.
fn of_layer(
    space: &Space,
    base: &Arch,
    shares: &Table,
    latencies: &Latencies,
    layer: usize,
) -> Vec<Part> {
    let mut assignments: BTreeMap<Vec<usize>, (f64, Vec<usize>)> =
        [(vec![0; space.kinds.len()], (0.0, Vec::new()))].into();
    for row in &shares[layer * base.heads..(layer + 1) * base.heads] {
        let mut next: BTreeMap<Vec<usize>, (f64, Vec<usize>)> = BTreeMap::new();
        for (counts, (score, chosen)) in &assignments {
            for (k, share) in row.iter().enumerate() {
                let mut counts = counts.clone();
                counts[k] += 1;
                let score = score + share.max(NOTHING).ln();
                let known = next.get(&counts).map_or(f64::NEG_INFINITY, |k| k.0);
                if score > known {
                    next.insert(counts, (score, [chosen.clone(), vec![k]].concat()));
                }
            }
        }
        assignments = next;
    }
    let mlp = &shares[base.layers * base.heads + layer];
    let mut parts = Vec::new();
    for (counts, (score, heads)) in assignments {
        for (a, share) in mlp.iter().enumerate() {
            parts.push(Part {
                cost: latencies.entry(layer, &counts, a),
                score: score + share.max(NOTHING).ln(),
                heads: heads.clone(),
                mlps: vec![a],
            });
        }
    }
    pareto(parts)
}

/// The parts that no cheaper one is as likely as, by rising cost.
fn pareto(mut parts: Vec<Part>) -> Vec<Part> {
    parts.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(b.score.total_cmp(&a.score)));
    let mut best = f64::NEG_INFINITY;
    parts.retain(|part| {
        let better = part.score > best;
        best = best.max(part.score);
        better
    });
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::Rng;
    use crate::search::latency::standin::Standin;
    use crate::search::space::draw;

    #[test]
    fn nothing_within_the_budget_is_likelier() {
        let (space, base) = (Space::default(), Arch::vit(2, 2, 16, 32, 32, 8, 10));
        let latencies = Latencies::new(&space, &base, &Standin).unwrap();
        let mut rng = Rng::new(&[1]);
        let mut site = |n: usize| -> Vec<f64> {
            let raw: Vec<f64> = (0..n).map(|_| rng.unit() + 0.01).collect();
            let sum: f64 = raw.iter().sum();
            raw.into_iter().map(|r| r / sum).collect()
        };
        let shares: Table = space.sites(&base).iter().map(|&n| site(n)).collect();
        let score = |arch: &Arch| -> f64 {
            space.choices(arch).iter().zip(&shares).map(|(&c, s)| s[c].ln()).sum()
        };
        let (low, high) = latencies.range();
        for i in 0..=8 {
            let budget = low + (high - low) * f64::from(i) / 8.0 + 1e-9;
            let setting: (&Latencies, &dyn Oracle) = (&latencies, &Standin);
            let (arch, latency) = within(&space, &base, &shares, setting, budget).unwrap().unwrap();
            assert!(latency <= budget && latency == Standin.latency(&arch).unwrap());
            let even: Table = shares.iter().map(|s| vec![1.0 / s.len() as f64; s.len()]).collect();
            let mut rng = Rng::new(&[2, i as u64]);
            for _ in 0..3000 {
                let other = space.build(&base, &draw(&even, &mut rng));
                let allowed = Standin.latency(&other).unwrap() <= budget - 1e-9;
                assert!(!allowed || score(&other) <= score(&arch) + 1e-9);
            }
        }
        let setting: (&Latencies, &dyn Oracle) = (&latencies, &Standin);
        assert!(within(&space, &base, &shares, setting, low - 1e-3).unwrap().is_none());
    }
}
