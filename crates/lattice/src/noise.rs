//! Bounds of errors: of a ciphertext's phase in units of `1 mod q`, of a sum of shares in units of its ring's last place.
//!
//! All are root mean squares; a bound is six of them and the roundings. That an error is beyond six of its deviations has
//! a chance of `2^-29` an element; nothing breaks then but a last place.

use crate::{
    respond::{body_bits, tail_bits},
    ring::{N, P, Q, Q_LOG2},
    sample::VARIANCE,
};

/// After products of fresh ciphertexts with plaintexts of this root of a sum of squares.
pub fn fresh(plain: f64) -> f64 {
    plain * VARIANCE.sqrt()
}

/// Root of the sum of squares of `count` numbers uniform in `[-2^(bits-1), 2^(bits-1))`; of few the largest that it can be, as
/// they may all be large.
pub fn uniform(count: usize, bits: u32) -> f64 {
    match count < FEW {
        true => largest(count, bits),
        false => (count as f64 / 3.0).sqrt() * f64::from(bits - 1).exp2(),
    }
}

/// So many numbers are hardly ever all large.
const FEW: usize = 16;

/// The same of the largest such numbers: where few of them meet many results, as one row's scalar does.
pub fn largest(count: usize, bits: u32) -> f64 {
    (count as f64).sqrt() * f64::from(bits - 1).exp2()
}

/// What packing `2^levels` ciphertexts adds: each level's key switch is doubled by those above it.
pub fn switching(levels: usize) -> f64 {
    let digit = Q[0] as f64 / 12f64.sqrt();
    // Two digits of N coefficients times a key's errors, over P; and the rounding of that division times the secret.
    let products = digit * (VARIANCE * 2.0 * N as f64).sqrt() / P as f64;
    let rounding = (rounding(1.0) + rounding_times_secret()).sqrt();
    products.hypot(rounding) * ((4f64.powi(levels as i32) - 1.0) / 3.0).sqrt()
}

/// Variance of rounding to units of this size.
fn rounding(unit: f64) -> f64 {
    unit * unit / 12.0
}

/// Variance of rounding each coefficient of a polynomial that is multiplied with the secret.
fn rounding_times_secret() -> f64 {
    N as f64 * 2.0 / 3.0 * rounding(1.0)
}

/// Most that the sum of two shares mod `2^width` is off, in units of the last place, with this noise before the answer.
///
/// The answer's zero encryption adds `v e + e0 + e1 s`, and its change of modulus rounds both polynomials.
pub fn bound(noise: f64, width: u32) -> f64 {
    let zero = (VARIANCE * (1.0 + 2.0 * N as f64 * 2.0 / 3.0)).sqrt();
    let before = noise.hypot(zero) * (f64::from(width) - Q_LOG2).exp2();
    let unit = |bits: u32| (f64::from(width) - f64::from(bits)).exp2();
    let tail = rounding_times_secret().sqrt() * unit(tail_bits(width));
    let body = rounding(unit(body_bits(width))).sqrt();
    6.0 * before.hypot(tail).hypot(body) + 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The study's predictions for its shapes, which its own simulation met.
    #[test]
    fn bounds_are_those_of_the_study() {
        for (terms, limb, width, levels, predicted) in [
            (64, 35, 35, 4, 8.0),
            (2 * 32, 25, 50, 4, 10.0),
            (2 * 32, 27, 54, 4, 361.0),
            (64 * 3, 30, 30, 4, 8.0),
            (64, 38, 38, 3, 15.0),
        ] {
            let noise = fresh(uniform(terms, limb)).hypot(switching(levels));
            let got = bound(noise, width);
            assert!(
                (got - predicted).abs() < 1.0 + predicted / 20.0,
                "w={width}: {got}, {predicted}"
            );
        }
    }
}
