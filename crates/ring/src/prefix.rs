//! Parities over public ranges of shared one-hot bits.
//!
//! Of XOR shares of `onehot(r)` the parity of the bits below `end` is an XOR share of `[r < end]`
//! (PROTOCOLS 1.8, 1.10). Nothing here depends on what the bits are but the result.

/// Bit `i` is the parity of the bits `0..=i` of `word`.
#[inline]
pub fn parities(word: u64) -> u64 {
    [1, 2, 4, 8, 16, 32].iter().fold(word, |p, s| p ^ (p << s))
}

/// Up to 64 bits, the first byte lowest; zeros above them.
///
/// # Panics
/// When there are more than eight bytes.
#[inline]
pub fn word(bytes: &[u8]) -> u64 {
    if let Ok(whole) = bytes.try_into() {
        return u64::from_le_bytes(whole);
    }
    assert!(bytes.len() < 8, "word: {} bytes are more than 64 bits", bytes.len());
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::{parities, word};

    #[test]
    fn equals_the_bit_by_bit_definition() {
        for seed in 1..200u64 {
            let w = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed >> 3;
            let mut parity = 0;
            for i in 0..64 {
                parity ^= w >> i & 1;
                assert_eq!(parities(w) >> i & 1, parity, "{w:x} up to {i}");
            }
        }
    }

    #[test]
    fn shares_of_a_one_hot_compare() {
        for r in [0usize, 1, 7, 8, 31, 63] {
            let e0: Vec<u8> = (0..8u8).map(|i| i.wrapping_mul(151)).collect();
            let mut e1 = e0.clone();
            e1[r / 8] ^= 1 << (r % 8);
            for last in 0..64 {
                let up_to = [&e0, &e1].map(|e| parities(word(e)) >> last & 1);
                assert_eq!(up_to[0] ^ up_to[1], u64::from(r <= last));
            }
        }
    }

    #[test]
    fn short_words_are_padded_with_zeros() {
        assert_eq!(word(&[1, 2]), 0x201);
        assert_eq!(word(&[]), 0);
        assert_eq!(word(&[0, 0, 0, 0, 0, 0, 0, 128]), 1 << 63);
    }

    #[test]
    #[should_panic(expected = "more than 64 bits")]
    fn more_than_a_word_panics() {
        word(&[0; 9]);
    }
}
