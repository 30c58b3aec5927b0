//! A running average of the weights: what a run exports and measures.

use burn::tensor::Tensor;

/// Steps between two updates of the average.
const EVERY: usize = 8;
/// What an old average keeps of itself at an update: a memory of about 700 steps.
const KEEP: f64 = 0.988;

/// Moves `average` towards `weights`, if `step` is one at which it moves.
pub fn follow(average: &mut [Tensor<2>], weights: &[Tensor<2>], step: usize) {
    if !step.is_multiple_of(EVERY) {
        return;
    }
    // Young averages forget faster, so that the random start does not linger.
    let n = (step / EVERY) as f64;
    let keep = KEEP.min(n / (n + 10.0));
    for (a, w) in average.iter_mut().zip(weights) {
        a.inplace(|a| a.mul_scalar(keep) + w.clone().mul_scalar(1.0 - keep));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{download, matrix};
    use burn::tensor::Device;

    #[test]
    fn a_young_average_forgets_faster_than_an_old_one() {
        let device = Device::flex();
        let weights = [matrix(vec![1.0, 2.0], [1, 2], &device)];
        for (step, moved) in [(7, 0.0), (8, 10.0 / 11.0), (80, 0.5), (80_000, 0.012)] {
            let mut average = [matrix(vec![0.0, 0.0], [1, 2], &device)];
            follow(&mut average, &weights, step);
            let got = download(&average[0]);
            let expected = [moved, 2.0 * moved];
            let near = got.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-5);
            assert!(near, "after step {step}: {got:?} for {expected:?}");
        }
    }
}
