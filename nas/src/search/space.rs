//! What is searched: a kind of attention for each head, an activation for each MLP, and the shares
//! of all of them while the search has not decided.

use serde::{Deserialize, Serialize};
use sotto_models::Arch;
use sotto_models::arch::{Activation, Attention};

use crate::augment::Rng;

/// The kinds and activations to choose from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Space {
    /// Kinds of attention.
    pub kinds: Vec<Attention>,
    /// Activations.
    pub activations: Vec<Activation>,
}

impl Default for Space {
    /// Everything that can be trained and run privately.
    fn default() -> Self {
        Self {
            kinds: Attention::ALL.to_vec(),
            activations: vec![Activation::Gelu, Activation::Relu, Activation::None],
        }
    }
}

impl Space {
    /// What MPCViT's release searches: ReLU-softmax or linear heads, GELU everywhere.
    pub fn mpcvit() -> Self {
        Self {
            kinds: vec![Attention::Relu, Attention::Linear],
            activations: vec![Activation::Gelu],
        }
    }

    /// An architecture of `base`'s sizes with every choice uniform and independent.
    pub fn draw(&self, base: &Arch, rng: &mut Rng) -> Arch {
        let mut arch = base.clone();
        for kind in arch.attention.iter_mut().flatten() {
            *kind = self.kinds[rng.below(self.kinds.len())];
        }
        for activation in &mut arch.activation {
            *activation = self.activations[rng.below(self.activations.len())];
        }
        arch
    }

    /// The searched sites of an architecture: all heads, then all MLPs.
    pub fn sites(&self, base: &Arch) -> Vec<usize> {
        let heads = std::iter::repeat_n(self.kinds.len(), base.layers * base.heads);
        heads.chain(std::iter::repeat_n(self.activations.len(), base.layers)).collect()
    }

    /// The architecture that chooses option `choice[site]` at every site.
    pub fn build(&self, base: &Arch, choice: &[usize]) -> Arch {
        let (heads, mlps) = choice.split_at(base.layers * base.heads);
        let row = |row: &[usize]| row.iter().map(|&c| self.kinds[c]).collect();
        Arch {
            attention: heads.chunks_exact(base.heads).map(row).collect(),
            activation: mlps.iter().map(|&c| self.activations[c]).collect(),
            ..base.clone()
        }
    }

    /// The choices of an architecture that lies in this space.
    ///
    /// # Panics
    /// When it does not.
    pub fn choices(&self, arch: &Arch) -> Vec<usize> {
        let within = "the architecture lies in the space";
        let kind = |k: &Attention| self.kinds.iter().position(|o| o == k).expect(within);
        let activation =
            |a: &Activation| self.activations.iter().position(|o| o == a).expect(within);
        let heads = arch.attention.iter().flatten().map(kind);
        heads.chain(arch.activation.iter().map(activation)).collect()
    }
}

/// A number for each option of each site.
pub type Table = Vec<Vec<f64>>;

/// How a site's parameters become the shares of its options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relaxation {
    /// Softmax of one parameter an option.
    Softmax,
    /// MPCViT's: the first parameter, kept within 0 and 1, is the first option's share, the rest
    /// the second's.
    Clamped,
}

/// The parameters that the search learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alphas {
    /// How they become shares.
    pub relaxation: Relaxation,
    /// One for each option of each site.
    pub values: Table,
}

impl Alphas {
    /// Even shares, or for [`Relaxation::Clamped`] the first option alone.
    pub fn new(sites: &[usize], relaxation: Relaxation) -> Self {
        let start = |&n: &usize| match relaxation {
            Relaxation::Softmax => vec![0.0; n],
            Relaxation::Clamped => (0..n).map(|i| if i == 0 { 1.0 } else { 0.0 }).collect(),
        };
        Self { relaxation, values: sites.iter().map(start).collect() }
    }

    /// The shares: non-negative, summing to one at every site.
    pub fn shares(&self) -> Table {
        let site = |alpha: &Vec<f64>| match self.relaxation {
            Relaxation::Clamped if alpha.len() == 2 => {
                let first = alpha[0].clamp(0.0, 1.0);
                vec![first, 1.0 - first]
            }
            _ => {
                let top = alpha.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let powers: Vec<f64> = alpha.iter().map(|a| (a - top).exp()).collect();
                let sum: f64 = powers.iter().sum();
                powers.into_iter().map(|p| p / sum).collect()
            }
        };
        self.values.iter().map(site).collect()
    }

    /// The gradient of the parameters from that of the shares.
    pub fn pull_back(&self, shares: &Table, gradient: &Table) -> Table {
        let site = |(p, g): (&Vec<f64>, &Vec<f64>)| match self.relaxation {
            Relaxation::Clamped if p.len() == 2 => vec![g[0] - g[1], 0.0],
            _ => {
                let mean: f64 = p.iter().zip(g).map(|(p, g)| p * g).sum();
                p.iter().zip(g).map(|(p, g)| p * (g - mean)).collect()
            }
        };
        shares.iter().zip(gradient).map(site).collect()
    }

    /// The option with the largest share at every site; of equal ones the last, which is cheapest.
    pub fn best(&self) -> Vec<usize> {
        let best = |p: &Vec<f64>| (0..p.len()).max_by(|&a, &b| p[a].total_cmp(&p[b])).unwrap_or(0);
        self.shares().iter().map(best).collect()
    }
}

/// One option of each site, drawn by the shares.
pub fn draw(shares: &Table, rng: &mut Rng) -> Vec<usize> {
    let site = |p: &Vec<f64>| {
        let mut left = rng.unit();
        p.iter()
            .position(|&share| {
                left -= share;
                left < 0.0
            })
            .unwrap_or(p.len() - 1)
    };
    shares.iter().map(site).collect()
}

/// The shares that say the same as a choice: one and zeros.
pub fn corner(sites: &[usize], choice: &[usize]) -> Table {
    let one = |(&n, &c): (&usize, &usize)| (0..n).map(|i| f64::from(u8::from(i == c))).collect();
    sites.iter().zip(choice).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Arch {
        Arch::vit(2, 3, 12, 24, 32, 8, 10)
    }

    #[test]
    fn architectures_and_choices_are_two_forms_of_one_thing() {
        let space = Space::default();
        let arch = space.draw(&base(), &mut Rng::new(&[1]));
        assert_ne!(arch, space.draw(&base(), &mut Rng::new(&[2])));
        let choice = space.choices(&arch);
        assert_eq!(space.build(&base(), &choice), arch);
        assert_eq!(space.sites(&base()).len(), choice.len());
        let paper = Space::mpcvit();
        let arch = paper.draw(&base(), &mut Rng::new(&[3]));
        assert!(arch.activation.iter().all(|&a| a == Activation::Gelu));
        assert!(!arch.attention.iter().flatten().any(|&k| k == Attention::Softmax));
        assert_eq!(paper.build(&base(), &paper.choices(&arch)), arch);
    }

    #[test]
    fn pulled_back_gradients_are_the_slopes_of_the_shares() {
        let mut alphas = Alphas::new(&[3, 3, 2], Relaxation::Softmax);
        let mut rng = Rng::new(&[4]);
        alphas.values.iter_mut().flatten().for_each(|a| *a = rng.normal());
        let along: Table =
            alphas.values.iter().map(|s| s.iter().map(|_| rng.normal()).collect()).collect();
        let value = |a: &Alphas| -> f64 {
            a.shares().iter().flatten().zip(along.iter().flatten()).map(|(p, g)| p * g).sum()
        };
        let got = alphas.pull_back(&alphas.shares(), &along);
        for site in 0..3 {
            for option in 0..alphas.values[site].len() {
                let mut moved = alphas.clone();
                moved.values[site][option] += 1e-6;
                let slope = (value(&moved) - value(&alphas)) / 1e-6;
                assert!((slope - got[site][option]).abs() < 1e-5, "{slope} {got:?}");
            }
        }
    }

    #[test]
    fn clamped_shares_stay_within_zero_and_one() {
        let mut alphas = Alphas::new(&[2, 1], Relaxation::Clamped);
        assert_eq!(alphas.shares(), [vec![1.0, 0.0], vec![1.0]]);
        alphas.values[0][0] = -0.5;
        assert_eq!(alphas.shares()[0], [0.0, 1.0]);
        assert_eq!(alphas.best(), [1, 0]);
    }

    #[test]
    fn draws_follow_the_shares() {
        let shares = vec![vec![0.7, 0.1, 0.2]];
        let mut rng = Rng::new(&[5]);
        let mut seen = [0usize; 3];
        (0..5000).for_each(|_| seen[draw(&shares, &mut rng)[0]] += 1);
        assert!(seen[0].abs_diff(3500) < 150 && seen[1].abs_diff(500) < 100, "{seen:?}");
        assert_eq!(corner(&[3, 2], &[2, 0]), [vec![0.0, 0.0, 1.0], vec![1.0, 0.0]]);
    }
}
