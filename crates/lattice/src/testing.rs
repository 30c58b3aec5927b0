//! What the tests of the families share.

use sotto_crypto::Seed;
use sotto_ring::{mask, signed};

use crate::key::{PublicKeys, SecretKey};

/// A key and what it publishes.
pub(crate) fn keys(seed: u8) -> (SecretKey, PublicKeys) {
    let key = SecretKey::new(&Seed::from_bytes([seed; 32]));
    let public = PublicKeys::read(&key.publish()).expect("our own keys");
    (key, public)
}

/// Uniform words mod `2^width`.
pub(crate) fn words(count: usize, width: u32, seed: u8) -> Vec<u64> {
    let mut stream = Seed::from_bytes([seed; 32]).stream(7);
    (0..count).map(|_| stream.word() & mask(width)).collect()
}

/// Holds the sum of two shares against what they share: fails beyond the bound, prints what is beyond its half.
pub(crate) fn check(name: &str, shares: [&[u64]; 2], exact: &[u64], width: u32, bound: f64) {
    assert!(shares.iter().all(|share| share.len() == exact.len()), "{name}: lengths");
    let sums = shares[0].iter().zip(shares[1]);
    let errors = sums
        .zip(exact)
        .map(|((&a, &b), &x)| signed(a.wrapping_add(b).wrapping_sub(x), width).unsigned_abs());
    let worst = errors.max().unwrap_or(0) as f64;
    assert!(worst <= bound, "{name}: error {worst}, bound {bound:.1}");
    // A few units are the roundings that every bound allows.
    if worst > (bound / 2.0).max(5.0) {
        println!("warning: {name}: error {worst} is more than half of the bound {bound:.1}");
    }
    // A share alone says nothing: it is no small number.
    if width >= 30 && exact.len() >= 64 {
        let high = |share: &[u64]| share.iter().filter(|&&x| x >> (width - 1) & 1 == 1).count();
        let near_half = |ones: usize| ones * 4 > exact.len() && ones * 4 < exact.len() * 3;
        assert!(shares.iter().all(|s| near_half(high(s))), "{name}: a share is not uniform");
    }
}
