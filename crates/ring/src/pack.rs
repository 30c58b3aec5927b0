//! Bit packing: words mod 2^w to and from a little-endian bit stream.
//!
//! Element `i` sits at the bits `[i*w, (i+1)*w)`; bit `b` of the stream is bit `b % 8` of byte
//! `b / 8`. Pad bits of the last byte are zero.
//!
//! Security: packing is where shares leave a party, so [`pack`] REDUCES every word mod 2^w first.
//! The high bits of a share are not determined by the value that is opened; sending them would
//! leak what the share was computed from.

mod packed;
mod portable;
#[cfg(target_arch = "x86_64")]
mod vbmi;

pub use packed::{CHUNK, Packed};

/// From this many words on the vector kernels make up for loading their byte permutations.
#[cfg(target_arch = "x86_64")]
const WORTH_SETUP: usize = 32;

/// Bytes that `count` words of `width` bits take, rounded up.
///
/// # Panics
/// When `width` is not in 1..=64 or the number of bits overflows.
pub const fn packed_len(count: usize, width: u32) -> usize {
    assert!(width >= 1 && width <= 64, "packed_len: the width must be in 1..=64");
    match count.checked_mul(width as usize) {
        Some(bits) => bits.div_ceil(8),
        None => panic!("packed_len: the number of bits overflows"),
    }
}

/// Appends `words`, each reduced mod 2^`width`, to `out` as [`packed_len`] bytes.
///
/// Security: the reduction is the boundary that keeps the unused high bits of a share inside.
///
/// # Panics
/// When `width` is not in 1..=64.
pub fn pack(words: &[u64], width: u32, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + packed_len(words.len(), width), 0);
    #[cfg(target_arch = "x86_64")]
    if words.len() >= WORTH_SETUP && vbmi::takes(width) {
        return vbmi::pack(words, width, &mut out[start..]);
    }
    portable::pack(words, width, &mut out[start..]);
}

/// Reads `out.len()` words of `width` bits from `bytes`; the pad bits are ignored.
///
/// # Panics
/// When `width` is not in 1..=64 or `bytes.len() != packed_len(out.len(), width)`: a caller that
/// reads from a peer checks the length first.
pub fn unpack(bytes: &[u8], width: u32, out: &mut [u64]) {
    assert!(
        bytes.len() == packed_len(out.len(), width),
        "unpack: {} bytes for {} words of {width} bits",
        bytes.len(),
        out.len()
    );
    #[cfg(target_arch = "x86_64")]
    if out.len() >= WORTH_SETUP && vbmi::takes(width) {
        return vbmi::unpack(bytes, width, out);
    }
    portable::unpack(bytes, width, out);
}

/// [`unpack`] into a new vector, which is not cleared as a whole first.
///
/// # Panics
/// As [`unpack`].
pub fn unpack_vec(bytes: &[u8], width: u32, count: usize) -> Vec<u64> {
    /// Words at a time: what is cleared is still in the first-level cache when it is overwritten.
    const CHUNK: usize = 1024;
    assert!(
        bytes.len() == packed_len(count, width),
        "unpack: {} bytes for {count} words of {width} bits",
        bytes.len()
    );
    let mut out = Vec::with_capacity(count);
    for part in bytes.chunks(CHUNK / 8 * width as usize) {
        let start = out.len();
        out.resize((start + CHUNK).min(count), 0);
        unpack(part, width, &mut out[start..]);
    }
    out
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "x86_64")]
    use super::vbmi;
    use super::{pack, packed_len, portable, unpack, unpack_vec};
    use crate::mask;
    use proptest::prelude::*;

    fn words(count: usize, seed: u64) -> Vec<u64> {
        (1..=count as u64)
            .map(|i| (i ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(i as u32 % 64))
            .collect()
    }

    /// The definition, bit by bit.
    fn naive(words: &[u64], width: u32) -> Vec<u8> {
        let mut bytes = vec![0; packed_len(words.len(), width)];
        for (i, word) in words.iter().enumerate() {
            for b in 0..width as usize {
                let bit = i * width as usize + b;
                bytes[bit / 8] |= ((word >> b & 1) as u8) << (bit % 8);
            }
        }
        bytes
    }

    fn check(words: &[u64], width: u32) {
        let expected = naive(words, width);
        let reduced: Vec<u64> = words.iter().map(|word| word & mask(width)).collect();
        let mut bytes = vec![0xa5, 0x5a];
        pack(words, width, &mut bytes);
        assert_eq!(bytes[..2], [0xa5, 0x5a], "pack appends");
        assert!(bytes[2..] == expected, "pack, width {width}, {} words", words.len());
        let mut plain = vec![0; expected.len()];
        portable::pack(words, width, &mut plain);
        assert!(plain == expected, "portable pack, width {width}, {} words", words.len());
        let mut back = vec![u64::MAX; words.len()];
        unpack(&expected, width, &mut back);
        assert!(back == reduced, "unpack, width {width}, {} words", words.len());
        assert!(unpack_vec(&expected, width, words.len()) == reduced);
        back.fill(u64::MAX);
        portable::unpack(&expected, width, &mut back);
        assert!(back == reduced, "portable unpack, width {width}, {} words", words.len());
        #[cfg(target_arch = "x86_64")]
        {
            // Directly, as short inputs do not reach these kernels through `pack`.
            if vbmi::takes(width) {
                plain.fill(0xff);
                vbmi::pack(words, width, &mut plain);
                assert!(plain == expected, "vbmi pack, width {width}, {} words", words.len());
            }
            if vbmi::takes(width) {
                back.fill(u64::MAX);
                vbmi::unpack(&expected, width, &mut back);
                assert!(back == reduced, "vbmi unpack, width {width}, {} words", words.len());
            }
        }
    }

    #[test]
    fn every_width_and_odd_counts() {
        for width in 1..=64 {
            for count in [0, 1, 2, 3, 7, 8, 9, 15, 17, 63, 65, 127, 251, 513, 2050] {
                check(&words(count, u64::from(width)), width);
                check(&vec![u64::MAX; count], width);
            }
        }
    }

    #[test]
    fn the_stream_is_little_endian() {
        let mut bytes = Vec::new();
        pack(&[0b001, 0b010, 0b111], 3, &mut bytes);
        assert_eq!(bytes, [0b1101_0001, 0b1]);
        bytes.clear();
        pack(&[0x123, 0xfff_f456], 12, &mut bytes);
        assert_eq!(bytes, [0x23, 0x61, 0x45]);
    }

    #[test]
    fn high_bits_stay_inside() {
        for width in 1..=63 {
            let low = words(100, 9);
            let clean: Vec<u64> = low.iter().map(|word| word & mask(width)).collect();
            let dirty: Vec<u64> = low.iter().map(|word| word | !mask(width)).collect();
            let (mut x, mut y) = (Vec::new(), Vec::new());
            pack(&clean, width, &mut x);
            pack(&dirty, width, &mut y);
            assert!(x == y, "width {width}");
        }
    }

    #[test]
    #[should_panic(expected = "unpack: 4 bytes for 3 words of 12 bits")]
    fn another_length_panics() {
        unpack(&[0; 4], 12, &mut [0; 3]);
    }

    proptest! {
        #[test]
        fn random_words(width in 1u32..=64, words in prop::collection::vec(any::<u64>(), 0..300)) {
            check(&words, width);
        }
    }
}
