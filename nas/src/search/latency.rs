//! Private latency as a smooth function of the shares, equal to the simulated one at every corner.
//!
//! Heads of one kind share their flights, so a head has no price of its own: the first ReLU head of
//! a layer brings its whole chain of comparisons, the next ones only bytes. What a layer costs is a
//! function of how many heads of each kind it has and of its activation, and layers follow one
//! another: latency is a constant plus one table entry a layer. The oracle fills the tables. With
//! independent choices of shares p, a layer's expected entry is a sum over head counts of their
//! probability (a small convolution) times the entry: multilinear in p, exact where p is 0 or 1.

mod counts;
#[cfg(test)]
pub(crate) mod standin;

use sotto_models::Arch;

use crate::Error;
use crate::augment::Rng;
use crate::search::latency::counts::{distribution, place, splits};
use crate::search::space::{Space, Table, corner};

/// Predicts private latency.
pub trait Oracle {
    /// Seconds for one image of this architecture.
    ///
    /// # Errors
    /// [`Error::Arch`] for an architecture that it cannot price.
    fn latency(&self, arch: &Arch) -> Result<f64, Error>;
}

/// The latency of every architecture of a space, layer by layer.
#[derive(Debug, Clone)]
pub struct Latencies {
    space: Space,
    base: Arch,
    constant: f64,
    /// For each layer, by head counts and activation.
    entries: Vec<Vec<f64>>,
}

impl Latencies {
    /// Asks `oracle` for every layer's entries: about layers x splits x activations questions.
    ///
    /// # Errors
    /// As the oracle.
    pub fn new(space: &Space, base: &Arch, oracle: &dyn Oracle) -> Result<Self, Error> {
        let (heads, kinds) = (base.heads, space.kinds.len());
        let base =
            base.clone().with_attention(space.kinds[0]).with_activation(space.activations[0]);
        let constant = oracle.latency(&base)?;
        let all = splits(heads, kinds);
        let options = space.activations.len();
        let size = (heads + 1).pow(kinds as u32 - 1) * options;
        let mut entries = vec![vec![0.0; size]; base.layers];
        for (layer, entries) in entries.iter_mut().enumerate() {
            for counts in &all {
                for (a, &activation) in space.activations.iter().enumerate() {
                    let mut arch = base.clone();
                    let row = space.kinds.iter().zip(counts);
                    arch.attention[layer] =
                        row.flat_map(|(&k, &n)| std::iter::repeat_n(k, n)).collect();
                    arch.activation[layer] = activation;
                    let at = place(counts, heads) * options + a;
                    entries[at] = oracle.latency(&arch)? - constant;
                }
            }
        }
        Ok(Self { space: space.clone(), base, constant, entries })
    }

    /// Expected latency under independent choices with these shares, and its gradient.
    pub fn expected(&self, shares: &Table) -> (f64, Table) {
        let (heads, kinds) = (self.base.heads, self.space.kinds.len());
        let options = self.space.activations.len();
        let of_heads = self.base.layers * heads;
        let mut value = self.constant;
        let mut gradient: Table = shares.iter().map(|s| vec![0.0; s.len()]).collect();
        for (layer, entries) in self.entries.iter().enumerate() {
            let rows = &shares[layer * heads..(layer + 1) * heads];
            let mlp = &shares[of_heads + layer];
            // What the layer costs with given counts, over activations; and with a given
            // activation, over counts.
            let over_mlp = |at: usize| -> f64 {
                (0..options).map(|a| mlp[a] * entries[at * options + a]).sum()
            };
            for (counts, probability) in distribution(rows, kinds) {
                let at = place(&counts, heads);
                value += probability * over_mlp(at);
                for a in 0..options {
                    gradient[of_heads + layer][a] += probability * entries[at * options + a];
                }
            }
            for h in 0..heads {
                let others: Vec<&Vec<f64>> =
                    (0..heads).filter(|&o| o != h).map(|o| &rows[o]).collect();
                for (mut counts, probability) in distribution(others, kinds) {
                    for k in 0..kinds {
                        counts[k] += 1;
                        gradient[layer * heads + h][k] +=
                            probability * over_mlp(place(&counts, heads));
                        counts[k] -= 1;
                    }
                }
            }
        }
        (value, gradient)
    }

    /// Expected latency and its gradient, exact at the corners even where the oracle's latency is
    /// not a sum over layers: what the tables miss at the nearest corner is added as a constant.
    ///
    /// # Errors
    /// As the oracle.
    pub fn relaxed(&self, shares: &Table, oracle: &dyn Oracle) -> Result<(f64, Table), Error> {
        let best = |p: &Vec<f64>| (0..p.len()).max_by(|&a, &b| p[a].total_cmp(&p[b])).unwrap_or(0);
        let nearest: Vec<usize> = shares.iter().map(best).collect();
        let arch = self.space.build(&self.base, &nearest);
        let (expected, gradient) = self.expected(shares);
        Ok((expected + (oracle.latency(&arch)? - self.of(&arch)), gradient))
    }

    /// The latency of an architecture of the space, from the tables.
    pub fn of(&self, arch: &Arch) -> f64 {
        let choice = self.space.choices(arch);
        self.expected(&corner(&self.space.sites(&self.base), &choice)).0
    }

    /// The largest relative differences from the oracle at the corners of `count` random
    /// architectures: of the relaxed latency, and of the tables alone.
    ///
    /// # Errors
    /// As the oracle.
    pub fn differences(&self, oracle: &dyn Oracle, count: u64) -> Result<[f64; 2], Error> {
        let sites = self.space.sites(&self.base);
        let mut worst = [0f64; 2];
        for i in 0..count {
            let arch = self.space.draw(&self.base, &mut Rng::new(&[8, i]));
            let truth = oracle.latency(&arch)?;
            let shares = corner(&sites, &self.space.choices(&arch));
            let got = [self.relaxed(&shares, oracle)?.0, self.of(&arch)];
            for (worst, got) in worst.iter_mut().zip(got) {
                *worst = worst.max((got - truth).abs() / truth);
            }
        }
        Ok(worst)
    }

    /// What all architectures share.
    pub(crate) fn constant(&self) -> f64 {
        self.constant
    }

    /// What a layer with these head counts and activation adds.
    pub(crate) fn entry(&self, layer: usize, counts: &[usize], activation: usize) -> f64 {
        let at = place(counts, self.base.heads);
        self.entries[layer][at * self.space.activations.len() + activation]
    }

    /// Every composition of a layer: head counts, activation, and what they add.
    fn offers(&self, layer: usize) -> impl Iterator<Item = (Vec<usize>, usize, f64)> {
        let counts = splits(self.base.heads, self.space.kinds.len()).into_iter();
        counts.flat_map(move |counts| {
            (0..self.space.activations.len()).map(move |activation| {
                let cost = self.entry(layer, &counts, activation);
                (counts.clone(), activation, cost)
            })
        })
    }

    /// The architecture with the least latency that the space offers.
    pub fn cheapest(&self) -> Arch {
        let mut arch = self.base.clone();
        for layer in 0..arch.layers {
            let least = self.offers(layer).min_by(|a, b| a.2.total_cmp(&b.2));
            let (counts, activation, _) = least.expect("a space offers something");
            let row = self.space.kinds.iter().zip(&counts);
            arch.attention[layer] = row.flat_map(|(&k, &n)| std::iter::repeat_n(k, n)).collect();
            arch.activation[layer] = self.space.activations[activation];
        }
        arch
    }

    /// The least and the largest latency that the space offers.
    pub fn range(&self) -> (f64, f64) {
        let mut range = (self.constant, self.constant);
        for layer in 0..self.base.layers {
            let costs = self.offers(layer).map(|(_, _, cost)| cost);
            let (low, high) =
                costs.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), e| (l.min(e), h.max(e)));
            range = (range.0 + low, range.1 + high);
        }
        range
    }
}

#[cfg(test)]
mod tests {
    use super::standin::Standin;
    use super::*;

    fn setting() -> (Space, Arch, Latencies) {
        let (space, base) = (Space::default(), Arch::vit(3, 4, 16, 32, 32, 8, 10));
        let latencies = Latencies::new(&space, &base, &Standin).unwrap();
        (space, base, latencies)
    }

    #[test]
    fn corners_are_the_oracles_latency() {
        let (space, base, latencies) = setting();
        let mut rng = Rng::new(&[1]);
        let (low, high) = latencies.range();
        assert!((latencies.of(&latencies.cheapest()) - low).abs() < 1e-12);
        for _ in 0..30 {
            let arch = space.draw(&base, &mut rng);
            let (got, expected) = (latencies.of(&arch), Standin.latency(&arch).unwrap());
            assert!((got - expected).abs() < 1e-12, "{got} for {expected}");
            assert!(got >= low - 1e-12 && got <= high + 1e-12);
        }
    }

    /// A latency that is no sum over layers.
    struct Crossed;

    impl Oracle for Crossed {
        fn latency(&self, arch: &Arch) -> Result<f64, Error> {
            let first = arch.attention[0][0] == sotto_models::arch::Attention::Linear;
            let last = arch.attention[2][3] == sotto_models::arch::Attention::Linear;
            Ok(Standin.latency(arch)? + if first && last { 0.03 } else { 0.0 })
        }
    }

    #[test]
    fn what_tables_miss_is_made_good_at_the_corners() {
        let (space, base, _) = setting();
        let latencies = Latencies::new(&space, &base, &Crossed).unwrap();
        let [relaxed, tables] = latencies.differences(&Crossed, 60).unwrap();
        assert!(relaxed < 1e-12 && tables > 0.01, "{relaxed} {tables}");
    }

    #[test]
    fn between_corners_it_is_the_mean_over_draws() {
        let (space, base, latencies) = setting();
        let sites = space.sites(&base);
        let mut rng = Rng::new(&[2]);
        let shares: Table = sites
            .iter()
            .map(|&n| {
                let raw: Vec<f64> = (0..n).map(|_| rng.unit() + 0.05).collect();
                let sum: f64 = raw.iter().sum();
                raw.into_iter().map(|r| r / sum).collect()
            })
            .collect();
        let (value, gradient) = latencies.expected(&shares);
        let draws = 20_000;
        let mean = (0..draws)
            .map(|_| {
                let choice = crate::search::space::draw(&shares, &mut rng);
                Standin.latency(&space.build(&base, &choice)).unwrap()
            })
            .sum::<f64>()
            / f64::from(draws);
        assert!((mean - value).abs() < 2e-3, "{mean} and {value}");
        // Multilinear: one share moved by any amount moves the value by the gradient times it.
        for site in 0..sites.len() {
            for option in 0..sites[site] {
                let mut moved = shares.clone();
                moved[site][option] += 0.25;
                let slope = (latencies.expected(&moved).0 - value) / 0.25;
                assert!((slope - gradient[site][option]).abs() < 1e-9, "{site} {option}");
            }
        }
    }
}
