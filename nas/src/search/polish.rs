//! Small changes of what is known, judged with the shared weights: finalists for every budget.
//!
//! The shared weights were trained under every kind at random, so that they serve any architecture. All budgets of all
//! networks draw on one pool of judged architectures, since the cross entropy of the same images knows no network: for
//! each limit in turn one of the best within it gets another composition of one or two layers. A few images tell which
//! changes are worth a look; what these say best of is judged on all, since the best of many by few images is that by chance.

use std::collections::BTreeSet;

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
    /// Whether an architecture keeps to it, by the tables.
    pub fn holds(&self, arch: &Arch) -> bool {
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
    /// Its cross entropy with the shared weights, corrected by what was trained before it.
    pub entropy: f64,
}

/// What to expect of an architecture: its cross entropy with the shared weights, or what follows from it.
pub type Said<'a> = &'a dyn Fn(&Arch) -> Result<f64, Error>;

struct Judged {
    /// By the second judge.
    entropy: f64,
    /// By the first one.
    rough: f64,
    arch: Arch,
}

/// Judged architectures.
pub struct Pool<'a> {
    space: &'a Space,
    judges: [Said<'a>; 2],
    /// The best first.
    judged: Vec<Judged>,
    seen: BTreeSet<Vec<usize>>,
}

impl<'a> Pool<'a> {
    /// The pool of `starts`. The first of the judges sees every change, the second one the starts, and of the changes what the
    /// first one does not call worse than all that it changes.
    ///
    /// # Errors
    /// As the judges.
    pub fn new(space: &'a Space, judges: [Said<'a>; 2], starts: &[Arch]) -> Result<Self, Error> {
        let mut pool = Self { space, judges, judged: Vec::new(), seen: BTreeSet::new() };
        for start in starts {
            if pool.seen.insert(space.choices(start)) {
                pool.add(start.clone(), judges[0](start)?)?;
            }
        }
        Ok(pool)
    }

    /// Judges up to `trials` small changes for each of `limits`; what is judged for one serves all.
    ///
    /// # Errors
    /// As the judges.
    pub fn grow(&mut self, limits: &[Limit<'_>], trials: usize, seed: u64) -> Result<(), Error> {
        let mut rng = Rng::new(&[seed, 9]);
        for trial in 0..trials {
            for limit in limits {
                let within = self.judged.iter().filter(|one| limit.holds(&one.arch));
                let parents: Vec<&Judged> = within.take(PARENTS).collect();
                if parents.is_empty() {
                    continue;
                }
                let worst = match parents.len() {
                    PARENTS => parents.iter().map(|one| one.rough).fold(f64::MIN, f64::max),
                    _ => f64::INFINITY,
                };
                let parent = parents[rng.below(parents.len())].arch.clone();
                let mut changes = (0..DRAWS).map(|_| change(self.space, &parent, &mut rng));
                let fresh = |arch: &Arch| !self.seen.contains(&self.space.choices(arch));
                if let Some(arch) = changes.find(|arch| limit.holds(arch) && fresh(arch)) {
                    self.seen.insert(self.space.choices(&arch));
                    let rough = self.judges[0](&arch)?;
                    if rough <= worst {
                        self.add(arch, rough)?;
                    }
                }
            }
            let (of, seen, judged) = (trial + 1, self.seen.len(), self.judged.len());
            eprint!(
                "\rpolishing: {of} of {trials} rounds, {seen} architectures, {judged} of them judged twice   "
            );
        }
        eprintln!();
        Ok(())
    }

    /// The best `count` within `limit` that are none of `but` and differ from one another in two layers or more, whatever
    /// the order of the heads.
    ///
    /// # Errors
    /// As the oracle.
    pub fn best(
        &self,
        limit: &Limit<'_>,
        count: usize,
        but: &[Arch],
    ) -> Result<Vec<Finalist>, Error> {
        let mut best: Vec<Finalist> = Vec::new();
        for Judged { entropy, arch, .. } in &self.judged {
            if best.len() == count {
                break;
            }
            let apart = |other: &Finalist| different(&other.arch, arch) >= APART.min(arch.layers);
            if !limit.holds(arch) || but.contains(arch) || !best.iter().all(apart) {
                continue;
            }
            let latency = limit.oracle.latency(arch)?;
            if latency <= limit.seconds {
                best.push(Finalist { arch: arch.clone(), latency, entropy: *entropy });
            }
        }
        Ok(best)
    }

    /// What the second judge said of an architecture of the pool.
    pub fn entropy(&self, arch: &Arch) -> Option<f64> {
        self.judged.iter().find(|one| one.arch == *arch).map(|one| one.entropy)
    }

    fn add(&mut self, arch: Arch, rough: f64) -> Result<(), Error> {
        let entropy = self.judges[1](&arch)?;
        let at = self.judged.partition_point(|known| known.entropy <= entropy);
        self.judged.insert(at, Judged { entropy, rough, arch });
        Ok(())
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
    fn rough(arch: &Arch) -> Result<f64, Error> {
        Ok((judge(arch)? / 2.0).floor())
    }

    /// Worse with every head that is not softmax, and with every MLP that is not GELU.
    fn judge(arch: &Arch) -> Result<f64, Error> {
        let heads = arch.attention.iter().flatten().filter(|&&k| k != Attention::Softmax).count();
        let mlps = arch.activation.iter().filter(|&&a| a != Activation::Gelu).count();
        Ok(heads as f64 + 3.0 * mlps as f64)
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
        let mut pool =
            Pool::new(&space, [&rough, &judge], &[start.clone(), start.clone()]).unwrap();
        assert_eq!(pool.judged.len(), 1);
        pool.grow(&limits, 60, 1).unwrap();
        let sorted = pool.judged.windows(2).all(|w| w[0].entropy <= w[1].entropy);
        assert!(sorted && pool.seen.len() > pool.judged.len());
        let mut before = f64::INFINITY;
        for limit in &limits {
            let best = pool.best(limit, 3, &[]).unwrap();
            for (i, one) in best.iter().enumerate() {
                assert!(one.latency <= limit.seconds);
                assert_eq!(one.latency, Standin.latency(&one.arch).unwrap());
                assert_eq!(one.entropy, judge(&one.arch).unwrap());
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
        assert_eq!(pool.entropy(&start), judge(&start).ok());
        // The same seed judges the same.
        let mut again = Pool::new(&space, [&rough, &judge], &[start]).unwrap();
        again.grow(&limits, 60, 1).unwrap();
        assert_eq!(again.seen, pool.seen);
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
