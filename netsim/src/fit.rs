//! Least squares with coefficients that are not negative.

use crate::linear;

/// Features of a step: 1, its multiply-adds, its elements, its bytes of correlations.
pub(crate) const FEATURES: usize = 4;

/// A measured step: features and seconds.
pub(crate) type Sample = ([f64; FEATURES], f64);

/// Seconds below which a difference is the clock's.
const FLOOR: f64 = 2e-6;

/// The coefficients, none negative, that fit `samples` best.
///
/// A sample counts by the inverse of its seconds: neither the many small steps nor the few large
/// ones alone decide. With four features all sixteen sets of coefficients that are not zero are tried.
pub(crate) fn fit(samples: &[Sample]) -> [f64; FEATURES] {
    let mut best = ([0.0; FEATURES], f64::INFINITY);
    for set in 0..1u32 << FEATURES {
        let used: Vec<usize> = (0..FEATURES).filter(|i| set >> i & 1 == 1).collect();
        let Some(found) = solve(samples, &used) else { continue };
        if found.iter().any(|&c| c < 0.0) {
            continue;
        }
        let error = |(x, t): &Sample| {
            let sum: f64 = x.iter().zip(&found).map(|(x, c)| x * c).sum();
            (sum - t).powi(2) / (t + FLOOR)
        };
        let error: f64 = samples.iter().map(error).sum();
        if error < best.1 {
            best = (found, error);
        }
    }
    best.0
}

/// Weighted least squares in the features `used`; `None` where they depend on each other.
fn solve(samples: &[Sample], used: &[usize]) -> Option<[f64; FEATURES]> {
    let n = used.len();
    // Normal equations, each feature scaled to its largest value.
    let largest = |i: usize| samples.iter().map(|(x, _)| x[i]).fold(0.0, f64::max);
    let scales: Vec<f64> = used.iter().map(|&i| largest(i)).collect();
    if scales.contains(&0.0) {
        return None;
    }
    let mut m = vec![vec![0.0; n + 1]; n];
    for (x, t) in samples {
        let weight = 1.0 / (t + FLOOR);
        let scaled: Vec<f64> = used.iter().zip(&scales).map(|(&i, s)| x[i] / s).collect();
        for (row, a) in m.iter_mut().zip(&scaled) {
            for (cell, b) in row.iter_mut().zip(scaled.iter().chain([t])) {
                *cell += weight * a * b;
            }
        }
    }
    let whole: f64 = samples.iter().map(|(_, t)| 1.0 / (t + FLOOR)).sum();
    let solution = linear::solve(m, 1e-9 * whole)?;
    let mut found = [0.0; FEATURES];
    for ((&i, value), scale) in used.iter().zip(solution).zip(&scales) {
        found[i] = value / scale;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_samples_give_their_coefficients() {
        let truth = [3e-6, 2e-10, 5e-9, 0.0];
        let samples: Vec<Sample> = [(1e3, 10.0), (1e6, 4e3), (5e6, 1e2), (2e7, 9e4), (1e4, 7e5)]
            .map(|(w, e)| ([1.0, w, e, 0.0], truth[0] + truth[1] * w + truth[2] * e))
            .to_vec();
        for (c, t) in fit(&samples).iter().zip(truth) {
            assert!((c - t).abs() <= 1e-6 * t, "{c} for {t}");
        }
    }

    #[test]
    fn no_coefficient_is_negative_and_features_that_are_one_are_no_trouble() {
        // Work and elements are proportional; seconds fall with size, which nothing explains.
        let samples: Vec<Sample> = (1..9)
            .map(|i| ([1.0, f64::from(i), 2.0 * f64::from(i), 0.0], 1e-3 / f64::from(i)))
            .collect();
        let found = fit(&samples);
        assert!(found.iter().all(|&c| c >= 0.0) && found[0] > 1e-4, "{found:?}");
        assert_eq!(fit(&[([1.0, 0.0, 0.0, 0.0], 0.0)]), [0.0; FEATURES]);
    }
}
