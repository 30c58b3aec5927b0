//! Arithmetic on words mod 2^w, w = 1..=64: bit packing, sums and products element by element, matrix products, masked sums; transforms of polynomials mod
//! small primes; and kernels of two ciphers.
//!
//! A word is a `u64` of which only the low `w` bits carry meaning; additions and products wrap
//! mod 2^64, which is exact mod 2^w for every `w`. High bits of a share are secret garbage until
//! [`pack::pack`] removes them. This crate knows no randomness, no protocol and no sockets.
//!
//! Kernels are chosen at run time; every one has a portable twin, here or in a library, and gives the same result.

pub mod aes;
pub mod chacha;
pub mod digest;
pub mod gemm;
pub mod lanes;
pub mod ntt;
pub mod pack;
pub mod permute;
mod prefetch;
pub mod prefix;
pub mod select;
pub mod transpose;

/// The low `width` bits set.
///
/// # Panics
/// When `width` is not in 1..=64.
pub const fn mask(width: u32) -> u64 {
    assert!(width >= 1 && width <= 64, "mask: the width must be in 1..=64");
    u64::MAX >> (64 - width)
}

/// The two's complement value of the low `width` bits of `x`; higher bits are ignored.
///
/// # Panics
/// When `width` is not in 1..=64.
pub const fn signed(x: u64, width: u32) -> i64 {
    assert!(width >= 1 && width <= 64, "signed: the width must be in 1..=64");
    let spare = 64 - width;
    ((x << spare) as i64) >> spare
}

#[cfg(test)]
mod tests {
    use super::{mask, signed};

    #[test]
    fn mask_has_width_ones() {
        for width in 1..=64 {
            assert_eq!(mask(width).count_ones(), width);
            assert_eq!(mask(width).trailing_ones(), width);
        }
    }

    #[test]
    fn signed_is_twos_complement_and_ignores_high_bits() {
        assert_eq!(signed(0b1000, 4), -8);
        assert_eq!(signed(0b0111, 4), 7);
        assert_eq!(signed(0xff07, 4), 7);
        assert_eq!(signed(1, 1), -1);
        assert_eq!(signed(u64::MAX, 64), -1);
        for width in 1..=64 {
            let top = 1u64 << (width - 1);
            assert_eq!(signed(top, width), i64::MIN >> (64 - width));
            assert_eq!(signed(mask(width), width), -1);
        }
    }
}
