//! Parity over a public range of shared one-hot bits.
//!
//! Of XOR shares of `onehot(r)` the parity of the bits below `end` is an XOR share of `[r < end]`
//! (PROTOCOLS 1.8, 1.10).

/// XOR of the bits `0..end` of `e`, which holds 2^`k` bits in little-endian bit order.
///
/// Security: reads the same bytes for every content of `e`; only the public `end` steers it.
///
/// # Panics
/// When `k < 3`, `e` does not hold 2^`k` bits, or `end > 2^k`.
pub fn parity_below(e: &[u8], k: u32, end: usize) -> u8 {
    let bits = 1usize << k;
    assert!(
        k >= 3 && e.len() == bits / 8,
        "parity_below: {} bytes cannot hold 2^{k} bits (k >= 3)",
        e.len()
    );
    assert!(end <= bits, "parity_below: end {end} is beyond 2^{k}");
    let (whole, rest) = e[..end / 8].as_chunks::<8>();
    let mut folded = whole.iter().fold(0u64, |sum, word| sum ^ u64::from_le_bytes(*word));
    for byte in rest {
        folded ^= u64::from(*byte);
    }
    if !end.is_multiple_of(8) {
        let low = (1u8 << (end % 8)) - 1;
        folded ^= u64::from(e[end / 8] & low);
    }
    // Folding by shifts: `count_ones` may be a table lookup where there is no popcount.
    for shift in [32, 16, 8, 4, 2, 1] {
        folded ^= folded >> shift;
    }
    (folded & 1) as u8
}

#[cfg(test)]
mod tests {
    use super::parity_below;

    #[test]
    fn equals_the_bit_by_bit_definition() {
        for k in 3..=11u32 {
            let e: Vec<u8> = (0..(1usize << k) / 8)
                .map(|i| (i * 73 + 41 * (k as usize) + (i >> 3)) as u8)
                .collect();
            let mut naive = 0;
            for end in 0..=1usize << k {
                assert_eq!(parity_below(&e, k, end), naive, "k {k} end {end}");
                if end < 1 << k {
                    naive ^= (e[end / 8] >> (end % 8)) & 1;
                }
            }
        }
    }

    #[test]
    fn shares_of_a_one_hot_compare() {
        let k = 6;
        for r in [0usize, 1, 7, 8, 31, 63] {
            let e0: Vec<u8> = (0..8u8).map(|i| i.wrapping_mul(151)).collect();
            let mut e1 = e0.clone();
            e1[r / 8] ^= 1 << (r % 8);
            for end in 0..=64 {
                let below = parity_below(&e0, k, end) ^ parity_below(&e1, k, end);
                assert_eq!(below, u8::from(r < end));
            }
        }
    }

    #[test]
    #[should_panic(expected = "beyond 2^4")]
    fn end_beyond_the_bits_panics() {
        parity_below(&[0, 0], 4, 17);
    }
}
