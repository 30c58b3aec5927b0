//! Smooth functions without branches, calls or tables, so that the compiler computes several at once. Libraries' take ten
//! times as long, which for a small model is longer than its products.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, LOG2_E};

use sotto_models::arch::Activation;

/// e^x, within 2.5e-7 of itself between -87 and 88; beyond, the value there.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // 1.5 2^23: a sum with it is rounded to a whole number, which its low bits hold.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, the first with few bits, so that n times it is exact.
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let tail = (((1.0 / 720.0 * r + 1.0 / 120.0) * r + 1.0 / 24.0) * r + 1.0 / 6.0) * r + 0.5;
    let fraction = (tail * r) * r + r + 1.0;
    f32::from_bits(fraction.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// Abramowitz and Stegun 7.1.26: within 3e-7.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / (0.327_591_1 * a + 1.0);
    let p = (((1.061_405_4 * t - 1.453_152) * t + 1.421_413_8) * t - 0.284_496_74) * t;
    let p = (p + 0.254_829_6) * t;
    (1.0 - p * exp(-x * x)).copysign(x)
}

#[inline(always)]
fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

#[inline(always)]
fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn each(values: &mut [f32], of: impl Fn(f32) -> f32) {
    values.iter_mut().for_each(|x| *x = of(*x));
}

/// The activation of each value.
pub(super) fn activate(activation: Activation, values: &mut [f32]) {
    match activation {
        Activation::Gelu => each(values, |x| 0.5 * x * (1.0 + erf(x * FRAC_1_SQRT_2))),
        Activation::Relu => each(values, |x| x.max(0.0)),
        Activation::None => {}
        Activation::GeluTanh => {
            let root = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
            each(values, |x| 0.5 * x * (1.0 + tanh(root * (x + 0.044715 * x * x * x))));
        }
        Activation::QuickGelu => each(values, |x| x * logistic(1.702 * x)),
        Activation::Silu => each(values, |x| x * logistic(x)),
        Activation::Tanh => each(values, tanh),
        // A kind of `models` that has no form of its own here.
        other => each(values, |x| other.at(x)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_right_to_the_last_bits() {
        for i in -87_000..88_000 {
            let x = i as f32 / 1000.0;
            let expected = f64::from(x).exp();
            let off = (f64::from(exp(x)) / expected - 1.0).abs();
            assert!(off < 2.5e-7, "exp {x} is off by {off:e}");
        }
        assert!(exp(-1e4) < 2e-38 && exp(1e4) > 1e38);
    }

    #[test]
    fn activations_are_those_of_the_models() {
        for activation in crate::testing::ACTIVATIONS {
            for i in -2000..2000 {
                let x = i as f32 / 100.0;
                let mut got = [x];
                activate(activation, &mut got);
                let off = (got[0] - activation.at(x)).abs();
                let name = activation.name();
                assert!(off <= 5e-7 * (1.0 + x.abs()), "{name} of {x} is off by {off:e}");
            }
        }
    }
}
