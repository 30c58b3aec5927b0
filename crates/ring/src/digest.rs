//! Linear digests of rows of bits: for each bit of an element's word, the XOR of the keys of the elements that
//! have it set.
//!
//! A digest is linear mod 2: that of masked bits is the XOR of those of the bits and of the masks.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Words of 8 digests of one row of elements, whose words hold 8 bits.
type RowFn = fn(&[u64], u32, &[u64]) -> [u64; 8];

/// For each row of `keys.len()` words and each of the `bits` lowest bits of a word: the XOR of the keys of the row's
/// words that have this bit set. Row by row, lowest bit first.
///
/// Security: constant time in the words; keys and sizes are public.
///
/// # Panics
/// When `bits` is not in 1..=64 or `words` is not a whole number of rows.
pub fn digests(words: &[u64], bits: u32, keys: &[u64]) -> Vec<u64> {
    assert!((1..=64).contains(&bits), "digests: {bits} bits of a word");
    assert!(
        !keys.is_empty() && words.len().is_multiple_of(keys.len()),
        "digests: {} words in rows of {}",
        words.len(),
        keys.len()
    );
    let eight = kernels().pop().expect("there is a portable kernel");
    let mut out = Vec::with_capacity(words.len() / keys.len() * bits as usize);
    for row in words.chunks_exact(keys.len()) {
        for from in (0..bits).step_by(8) {
            let digests = eight(row, from, keys);
            out.extend_from_slice(&digests[..8.min(bits - from) as usize]);
        }
    }
    out
}

/// The kernels of this machine, the fastest last.
fn kernels() -> Vec<RowFn> {
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "kernels of that machine"))]
    let mut all: Vec<RowFn> = vec![portable];
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the feature was just detected.
        all.push(|row, from, keys| unsafe { avx512(row, from, keys) });
    }
    all
}

fn portable(row: &[u64], from: u32, keys: &[u64]) -> [u64; 8] {
    let mut sums = [0; 8];
    for (word, key) in row.iter().zip(keys) {
        for (bit, sum) in sums.iter_mut().enumerate() {
            *sum ^= key & (word >> from >> bit & 1).wrapping_neg();
        }
    }
    sums
}

/// The 8 bits of a word are the lane mask.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(row: &[u64], from: u32, keys: &[u64]) -> [u64; 8] {
    let mut sums = _mm512_setzero_si512();
    for (word, key) in row.iter().zip(keys) {
        let key = _mm512_set1_epi64(*key as i64);
        sums = _mm512_mask_xor_epi64(sums, (word >> from) as u8, sums, key);
    }
    let mut out = [0; 8];
    // SAFETY: `out` holds the 64 bytes that are written.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), sums) };
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(count: usize, seed: u64) -> Vec<u64> {
        let word = |i: u64| (i ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        (1..=count as u64).map(|i| word(i).wrapping_mul(0xd134_2543_de82_ef95)).collect()
    }

    #[test]
    fn every_kernel_equals_the_definition() {
        for (row, rows, bits) in [(1, 1, 1), (5, 3, 8), (257, 4, 7), (130, 2, 21), (3, 2, 64)] {
            let (all, keys) = (words(row * rows, 1), words(row, 2));
            let mut expected = Vec::new();
            for part in all.chunks(row) {
                expected.extend((0..bits).map(|bit| {
                    let set = part.iter().zip(&keys).filter(|(w, _)| *w >> bit & 1 == 1);
                    set.fold(0, |sum, (_, key)| sum ^ key)
                }));
            }
            assert_eq!(digests(&all, bits, &keys), expected, "{row} {rows} {bits}");
            for kernel in kernels() {
                for (r, part) in all.chunks(row).enumerate() {
                    let got = kernel(part, 0, &keys);
                    let count = 8.min(bits) as usize;
                    assert_eq!(got[..count], expected[r * bits as usize..][..count]);
                }
            }
        }
    }

    #[test]
    fn digests_are_linear() {
        let (a, b, keys) = (words(60, 3), words(60, 4), words(20, 5));
        let both: Vec<u64> = a.iter().zip(&b).map(|(a, b)| a ^ b).collect();
        let (a, b) = (digests(&a, 9, &keys), digests(&b, 9, &keys));
        let sum: Vec<u64> = a.iter().zip(&b).map(|(a, b)| a ^ b).collect();
        assert_eq!(digests(&both, 9, &keys), sum);
    }

    #[test]
    #[should_panic(expected = "digests: 7 words in rows of 2")]
    fn broken_rows_panic() {
        digests(&[0; 7], 1, &[1, 2]);
    }
}
