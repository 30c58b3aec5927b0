//! What training said of architectures, against what the shared weights had said: a correction for the next ones.
//!
//! The shared weights are kinder to some options than training is, and spread good and bad further apart. A linear fit of
//! the trained cross entropy on the shared one, on the share of heads of each kind and of MLPs of each activation
//! takes that out. Source: predictors of accuracy in architecture search (Wen et al., ECCV 2020), with a handful of features for
//! the handful of architectures that are trained here.

use sotto_models::Arch;
use sotto_netsim::solve;

use crate::search::space::Space;

/// Weight of the prior, which says that training adds a constant: in trained architectures.
const PRIOR: f64 = 1.0;

/// A fit.
#[derive(Debug, Clone)]
pub struct Correction {
    mean: f64,
    /// Mean, standard deviation and slope of each feature.
    features: Vec<[f64; 3]>,
}

impl Correction {
    /// Fits to architectures with their shared and trained cross entropies.
    pub fn fit(space: &Space, seen: &[(&Arch, f64, f64)]) -> Self {
        let n = seen.len().max(1) as f64;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / n;
        let raw: Vec<Vec<f64>> =
            seen.iter().map(|(arch, shared, _)| features(space, arch, *shared)).collect();
        let trained: Vec<f64> = seen.iter().map(|(.., trained)| *trained).collect();
        let count = space.kinds.len() + space.activations.len() - 1;
        let mut scales: Vec<[f64; 3]> = (0..count)
            .map(|i| {
                let column: Vec<f64> = raw.iter().map(|row| row[i]).collect();
                let middle = mean(&column);
                let squares: Vec<f64> = column.iter().map(|x| (x - middle).powi(2)).collect();
                [middle, mean(&squares).sqrt(), 0.0]
            })
            .collect();
        let rows: Vec<Vec<f64>> = raw.iter().map(|row| scaled(row, &scales)).collect();
        let middle = mean(&trained);
        // By the prior the shared entropy has slope 1, which in units of its deviation is that.
        let prior = scales[0][1];
        let left: Vec<f64> =
            rows.iter().zip(&trained).map(|(row, y)| y - middle - prior * row[0]).collect();
        let products = |i: usize, j: usize| -> f64 { rows.iter().map(|r| r[i] * r[j]).sum() };
        let equations = (0..count).map(|i| {
            let ridge = |j| if i == j { PRIOR } else { 0.0 };
            let right = rows.iter().zip(&left).map(|(r, y)| r[i] * y).sum();
            (0..count).map(|j| products(i, j) + ridge(j)).chain([right]).collect()
        });
        let slopes = solve(equations.collect(), 0.0).expect("the prior lifts every eigenvalue");
        scales.iter_mut().zip(slopes).for_each(|(scale, slope)| scale[2] = slope);
        scales[0][2] += prior;
        Self { mean: middle, features: scales }
    }

    /// The expected cross entropy after training of an architecture of which the shared weights say `shared`.
    pub fn of(&self, space: &Space, arch: &Arch, shared: f64) -> f64 {
        let row = scaled(&features(space, arch, shared), &self.features);
        self.mean + row.iter().zip(&self.features).map(|(x, [.., slope])| x * slope).sum::<f64>()
    }
}

/// The shared entropy, and of every kind and activation but the first the share.
fn features(space: &Space, arch: &Arch, shared: f64) -> Vec<f64> {
    let heads: Vec<_> = arch.attention.iter().flatten().collect();
    let of = |n: usize, all: usize| n as f64 / all as f64;
    let kinds = space.kinds[1..]
        .iter()
        .map(|kind| of(heads.iter().filter(|k| **k == kind).count(), heads.len()));
    let activations = space.activations[1..].iter().map(|activation| {
        of(arch.activation.iter().filter(|a| *a == activation).count(), arch.layers)
    });
    [shared].into_iter().chain(kinds).chain(activations).collect()
}

/// In standard deviations from the mean; what never varied says nothing.
fn scaled(row: &[f64], scales: &[[f64; 3]]) -> Vec<f64> {
    let one = |(x, [mean, deviation, _]): (&f64, &[f64; 3])| {
        if *deviation > 1e-9 { (x - mean) / deviation } else { 0.0 }
    };
    row.iter().zip(scales).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::Rng;
    use sotto_models::arch::{Activation, Attention};

    #[test]
    fn a_bias_of_the_shared_weights_is_found_and_taken_out() {
        let (space, base) = (Space::default(), Arch::vit(4, 4, 16, 32, 32, 8, 10));
        let mut rng = Rng::new(&[3]);
        // Training halves differences, but is harder on layers without activation.
        let none = |arch: &Arch| {
            arch.activation.iter().filter(|a| **a == Activation::None).count() as f64 / 4.0
        };
        let trained = |arch: &Arch, shared: f64| 0.3 + 0.5 * shared + 0.1 * none(arch);
        let seen: Vec<(Arch, f64)> =
            (0..30).map(|_| (space.draw(&base, &mut rng), 0.8 + 0.1 * rng.unit())).collect();
        let data: Vec<(&Arch, f64, f64)> =
            seen.iter().map(|(arch, shared)| (arch, *shared, trained(arch, *shared))).collect();
        let correction = Correction::fit(&space, &data);
        for _ in 0..30 {
            let (arch, shared) = (space.draw(&base, &mut rng), 0.8 + 0.1 * rng.unit());
            let error = correction.of(&space, &arch, shared) - trained(&arch, shared);
            assert!(error.abs() < 0.006, "{error}");
        }
    }

    #[test]
    fn without_evidence_the_order_stays() {
        let (space, base) = (Space::default(), Arch::vit(2, 2, 16, 32, 32, 8, 10));
        let other = base.clone().with_attention(Attention::Linear);
        for seen in [&[(&base, 0.8, 0.7), (&base, 0.9, 0.8)][..], &[(&base, 0.8, 0.7)], &[]] {
            let correction = Correction::fit(&space, seen);
            let of = |arch, shared| correction.of(&space, arch, shared);
            assert!(of(&base, 0.8) <= of(&base, 0.9), "{seen:?}");
            assert_eq!(of(&base, 0.8), of(&other, 0.8));
        }
    }
}
