//! How many bits of one-hot shares are set.
#![allow(unsafe_code)]

/// The ones among each element's `2^k` bits of `e`, a share of a unit vector.
///
/// Of two XOR shares `e0`, `e1` of the unit vector at `r` the counts differ by `e0[r] - e1[r]`: all other places cancel.
///
/// Security: every bit is read, whatever it is.
///
/// # Panics
/// When `e` is not whole elements of 2^k bits, `k` from 3.
pub fn ones(e: &[u8], k: u32) -> Vec<u64> {
    let size = (1usize << k) / 8;
    assert!(k >= 3 && e.len().is_multiple_of(size), "ones: {} bytes of 2^{k} bits", e.len());
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("popcnt") {
        // SAFETY: the feature was detected.
        return unsafe { with_popcnt(e, size) };
    }
    counts(e, size)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt")]
fn with_popcnt(e: &[u8], size: usize) -> Vec<u64> {
    counts(e, size)
}

#[inline(always)]
fn counts(e: &[u8], size: usize) -> Vec<u64> {
    if size < 8 {
        let word = |e: &[u8]| e.iter().rev().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
        return e.chunks_exact(size).map(|e| u64::from(word(e).count_ones())).collect();
    }
    let words = e.as_chunks::<8>().0.chunks_exact(size / 8);
    let ones = |word: &[u8; 8]| u64::from(u64::from_le_bytes(*word).count_ones());
    words.map(|element| element.iter().map(ones).sum()).collect()
}

#[cfg(test)]
mod tests {
    use super::{counts, ones};

    #[test]
    fn shares_of_a_unit_vector_differ_by_one_in_their_ones() {
        for k in 3..=12 {
            let size = (1usize << k) / 8;
            let e0: Vec<u8> = (0..5 * size).map(|i| ((i * i * 37 + i) >> 2) as u8).collect();
            let mut e1 = e0.clone();
            let r = (1 << k) - 3;
            for e in e1.chunks_exact_mut(size) {
                e[r / 8] ^= 1 << (r % 8);
            }
            let (n0, n1) = (ones(&e0, k), ones(&e1, k));
            assert_eq!(n0, counts(&e0, size));
            for (i, e) in e0.chunks_exact(size).enumerate() {
                assert_eq!(n0[i], e.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>());
                let bit = i64::from(e[r / 8] >> (r % 8) & 1);
                assert_eq!(n0[i] as i64 - n1[i] as i64, 2 * bit - 1, "k {k}");
            }
        }
    }
}
