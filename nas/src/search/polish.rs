//! The last step of a search before training: small changes of what is known, judged with the shared weights.
//!
//! Those weights were trained under every kind at random, so that they serve any architecture. All budgets of all
//! networks draw on one pool of judged architectures, since the cross entropy of the same images knows no network: for
//! each limit in turn one of the best within it gets another composition of one or two layers. Few images tell the good
//! from the bad; among the best of the pool more images decide, and then training: what the shared weights say of an
//! architecture is biased, for a layer with ReLU or without activation too kindly.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sotto_models::Arch;
use sotto_models::arch::Attention;

use crate::Error;
use crate::augment::Rng;
use crate::search::latency::{Latencies, Oracle};
use crate::search::space::Space;

/// Changes that are drawn for each one that is judged, at most.
const DRAWS: usize = 200;
/// The best within a limit, of which one is changed.
const PARENTS: usize = 5;
/// The best within a limit by the first judge, between which the second one decides.
const CONTENDERS: usize = 12;
/// Layers in which two finalists of one budget differ at least.
const APART: usize = 2;

/// A latency that is not to be exceeded.
pub struct Limit<'a> {
    /// Predicts it.
    pub oracle: &'a dyn Oracle,
    /// The same as tables.
    pub latencies: &'a Latencies,
    /// Seconds.
    pub seconds: f64,
}

impl Limit<'_> {
    fn holds(&self, arch: &Arch) -> bool {
        self.latencies.of(arch) <= self.seconds
    }
}

/// An architecture that is worth training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finalist {
    /// The architecture.
    pub arch: Arch,
    /// Its latency by the oracle, seconds.
    pub latency: f64,
    /// Its cross entropy with the shared weights, by the second judge.
    pub entropy: f64,
}

/// The cross entropy of an architecture with the shared weights.
pub type Judge<'a> = &'a dyn Fn(&Arch) -> f64;

/// Judged architectures, the best first.
pub struct Pool<'a> {
    space: &'a Space,
    judges: [Judge<'a>; 2],
    judged: Vec<(f64, Arch)>,
    seen: BTreeSet<Vec<usize>>,
    /// What the second judge said.
    again: BTreeMap<Vec<usize>, f64>,
}

impl<'a> Pool<'a> {
    /// The pool of `starts`; the first of the judges sees all, the second one the best.
    pub fn new(space: &'a Space, judges: [Judge<'a>; 2], starts: &[Arch]) -> Self {
        let (judged, seen, again) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
        let mut pool = Self { space, judges, judged, seen, again };
        for start in starts {
            if !pool.seen.contains(&space.choices(start)) {
                pool.add(start.clone());
            }
        }
        pool
    }

    /// Judges up to `trials` small changes for each of `limits`; what is judged for one serves all.
    pub fn grow(&mut self, limits: &[Limit<'_>], trials: usize, seed: u64) {
        let mut rng = Rng::new(&[seed, 9]);
        for trial in 0..trials {
            for limit in limits {
                let within = self.judged.iter().map(|(_, arch)| arch).filter(|a| limit.holds(a));
                let parents: Vec<&Arch> = within.take(PARENTS).collect();
                if parents.is_empty() {
                    continue;
                }
                let parent = parents[rng.below(parents.len())].clone();
                let mut changes = (0..DRAWS).map(|_| change(self.space, &parent, &mut rng));
                let fresh = |arch: &Arch| !self.seen.contains(&self.space.choices(arch));
                if let Some(arch) = changes.find(|arch| limit.holds(arch) && fresh(arch)) {
                    self.add(arch);
                }
            }
            let (of, judged) = (trial + 1, self.judged.len());
            eprint!("\rpolishing: {of} of {trials} rounds, {judged} architectures judged   ");
        }
        eprintln!();
    }

    /// The best `count` within `limit` that are none of `but` and differ from one another in two layers or more, whatever
    /// the order of the heads.
    ///
    /// # Errors
    /// As the oracle.
    pub fn best(
        &mut self,
        limit: &Limit<'_>,
        count: usize,
        but: &[Arch],
    ) -> Result<Vec<Finalist>, Error> {
        let within = self.judged.iter().map(|(_, arch)| arch).filter(|arch| limit.holds(arch));
        let contenders: Vec<Arch> =
            within.filter(|arch| !but.contains(arch)).take(CONTENDERS).cloned().collect();
        let mut ranked: Vec<(f64, Arch)> =
            contenders.into_iter().map(|arch| (self.entropy(&arch), arch)).collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut best: Vec<Finalist> = Vec::new();
        for (entropy, arch) in ranked {
            let apart = |other: &Finalist| different(&other.arch, &arch) >= APART.min(arch.layers);
            if best.len() == count || !best.iter().all(apart) {
                continue;
            }
            let latency = limit.oracle.latency(&arch)?;
            if latency <= limit.seconds {
                best.push(Finalist { arch, latency, entropy });
            }
        }
        Ok(best)
    }

    /// What the second judge says of an architecture.
    pub fn entropy(&mut self, arch: &Arch) -> f64 {
        let judge = self.judges[1];
        *self.again.entry(self.space.choices(arch)).or_insert_with(|| judge(arch))
    }

    fn add(&mut self, arch: Arch) {
        let entropy = self.judges[0](&arch);
        self.seen.insert(self.space.choices(&arch));
        let at = self.judged.partition_point(|(known, _)| *known <= entropy);
        self.judged.insert(at, (entropy, arch));
    }
}

/// One or two layers get other kinds, and every other time another activation.
fn change(space: &Space, arch: &Arch, rng: &mut Rng) -> Arch {
    let mut arch = arch.clone();
    for _ in 0..=rng.below(2) {
        let layer = rng.below(arch.layers);
        arch.attention[layer] = row(space, arch.heads, rng);
        if rng.below(2) == 0 {
            arch.activation[layer] = space.activations[rng.below(space.activations.len())];
        }
    }
    arch
}

/// A layer's kinds: some of all kinds, then each head one of those. The presence of a kind costs flights, so layers of
/// few kinds are the ones to try.
fn row(space: &Space, heads: usize, rng: &mut Rng) -> Vec<Attention> {
    let some = 1 + rng.below((1 << space.kinds.len()) - 1);
    let kinds = space.kinds.iter().enumerate().filter(|(i, _)| some >> i & 1 == 1);
    let kinds: Vec<Attention> = kinds.map(|(_, kind)| *kind).collect();
    (0..heads).map(|_| kinds[rng.below(kinds.len())]).collect()
}

/// The layers in which the number of heads of a kind, or the activation, is not the same.
fn different(a: &Arch, b: &Arch) -> usize {
    let layer = |arch: &Arch, i: usize| {
        let count = |kind: &Attention| arch.attention[i].iter().filter(|k| *k == kind).count();
        (Attention::ALL.each_ref().map(count), arch.activation[i])
    };
    (0..a.layers).filter(|&i| layer(a, i) != layer(b, i)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::latency::standin::Standin;
    use sotto_models::arch::Activation;

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

    /// As [`judge`], less exactly.
    fn rough(arch: &Arch) -> f64 {
        (judge(arch) / 2.0).floor()
    }

    /// Worse with every head that is not softmax, and with every MLP that is not GELU.
    fn judge(arch: &Arch) -> f64 {
        let heads = arch.attention.iter().flatten().filter(|&&k| k != Attention::Softmax).count();
        let mlps = arch.activation.iter().filter(|&&a| a != Activation::Gelu).count();
        heads as f64 + 3.0 * mlps as f64
    }

    #[test]
    fn finalists_keep_to_their_limits_and_get_better() {
        let (space, base) = (Space::default(), Arch::vit(3, 3, 12, 24, 32, 8, 10));
        let latencies = Latencies::new(&space, &base, &Standin).unwrap();
        let (low, high) = latencies.range();
        let limit = |share: f64| Limit {
            oracle: &Standin,
            latencies: &latencies,
            seconds: low + share * (high - low),
        };
        let limits = [limit(0.0), limit(0.3), limit(0.6)];
        let start = latencies.cheapest();
        let mut pool = Pool::new(&space, [&rough, &judge], &[start.clone(), start.clone()]);
        assert_eq!(pool.judged.len(), 1);
        pool.grow(&limits, 60, 1);
        let sorted = pool.judged.windows(2).all(|w| w[0].0 <= w[1].0);
        assert!(sorted && pool.seen.len() == pool.judged.len());
        let mut before = f64::INFINITY;
        for limit in &limits {
            let best = pool.best(limit, 3, &[]).unwrap();
            for (i, one) in best.iter().enumerate() {
                assert!(one.latency <= limit.seconds);
                assert_eq!(one.latency, Standin.latency(&one.arch).unwrap());
                assert_eq!(one.entropy, judge(&one.arch));
                assert!(best[..i].iter().all(|other| different(&other.arch, &one.arch) >= 2));
                assert!(best[..i].iter().all(|other| other.entropy <= one.entropy));
            }
            assert!(best[0].entropy < before || best[0].arch == start, "{best:?}");
            before = best[0].entropy;
            // What is trained in any case is no finalist.
            let but = [best[0].arch.clone()];
            assert!(pool.best(limit, 3, &but).unwrap().iter().all(|one| one.arch != but[0]));
        }
        assert_eq!(pool.best(&limits[2], 3, &[]).unwrap().len(), 3);
        assert_eq!(pool.entropy(&start), judge(&start));
        // The same seed judges the same.
        let mut again = Pool::new(&space, [&rough, &judge], &[start]);
        again.grow(&limits, 60, 1);
        assert_eq!(again.judged, pool.judged);
    }

    #[test]
    fn heads_in_another_order_make_no_other_layer() {
        let base = Arch::vit(2, 2, 8, 16, 32, 8, 10);
        let mut a = base.clone();
        a.attention[0] = vec![Attention::Relu, Attention::Linear];
        let mut b = a.clone();
        b.attention[0].reverse();
        assert_eq!(different(&a, &b), 0);
        b.activation[1] = Activation::None;
        assert_eq!((different(&a, &b), different(&base, &b)), (1, 2));
    }
}
