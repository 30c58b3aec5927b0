//! AES-128 under many keys at once, with VAES on AVX-512: what the transfers of two parties spend their time on.
//!
//! There is no portable twin here: who uses this has a cipher of a library for machines without it, and holds both against each
//! other in a test. Security: constant time in keys and blocks.

#[cfg(target_arch = "x86_64")]
mod vaes;

/// The round keys of one key.
pub type Schedule = [u128; 11];

/// Levels of a tree at most: see [`Cipher::sums`].
pub const LEVELS: usize = 8;

/// AES-128 by this machine's instructions.
#[derive(Clone, Copy, Debug)]
pub struct Cipher(());

impl Cipher {
    /// That of this machine, if it has one.
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        let found = vaes::available();
        #[cfg(not(target_arch = "x86_64"))]
        let found = false;
        found.then_some(Self(()))
    }

    /// The round keys of a key, whose bytes are the number's in little-endian order.
    pub fn schedule(self, key: u128) -> Schedule {
        #[cfg(target_arch = "x86_64")]
        return vaes::schedule(key);
        #[cfg(not(target_arch = "x86_64"))]
        unreachable!("{key} on a machine without a kernel")
    }

    /// Encrypts blocks in place.
    pub fn encrypt(self, schedule: &Schedule, blocks: &mut [u128]) {
        #[cfg(target_arch = "x86_64")]
        vaes::encrypt(schedule, blocks);
        #[cfg(not(target_arch = "x86_64"))]
        unreachable!("{schedule:?} and {blocks:?} on a machine without a kernel")
    }

    /// Sums (XORs) of the streams of a tree's leaves. The leaves are numbered to `2^k` and the last `leaves.len()` of them given; the
    /// others' streams count as 0. A stream is the encryptions of `block`, `block + 1`, ..
    ///
    /// `out` holds `k + 1` sums one after the other: for each bit of a leaf's number those of the leaves that have it, then
    /// those of all leaves.
    ///
    /// # Panics
    /// When `k` is 0 or above [`LEVELS`], when there are more leaves, or when `out` is not `k + 1` times a number of whole blocks.
    pub fn sums(self, k: usize, leaves: &[Schedule], block: u64, out: &mut [u8]) {
        assert!((1..=LEVELS).contains(&k) && leaves.len() <= 1 << k, "sums: a tree of {k} levels");
        assert!(out.len().is_multiple_of(16 * (k + 1)), "sums: {} bytes", out.len());
        #[cfg(target_arch = "x86_64")]
        vaes::sums(k, leaves, block, out);
        #[cfg(not(target_arch = "x86_64"))]
        unreachable!("from block {block} on a machine without a kernel");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 197, appendix B, and SP 800-38A, F.1.1.
    const KEY: u128 =
        u128::from_be_bytes(*b"\x2b\x7e\x15\x16\x28\xae\xd2\xa6\xab\xf7\x15\x88\x09\xcf\x4f\x3c");
    const BLOCKS: [(u128, u128); 3] = [
        (0x3243f6a8885a308d313198a2e0370734, 0x3925841d02dc09fbdc118597196a0b32),
        (0x6bc1bee22e409f96e93d7e117393172a, 0x3ad77bb40d7a3660a89ecaf32466ef97),
        (0xae2d8a571e03ac9c9eb76fac45af8e51, 0xf5d3d58503b9699de785895a96fdbaaf),
    ];

    #[test]
    fn known_blocks() {
        let Some(cipher) = Cipher::detect() else { return };
        let schedule = cipher.schedule(KEY.swap_bytes());
        for count in [1, 3, 4, 16, 21, 64, 67] {
            let pairs: Vec<_> = (0..count).map(|i| BLOCKS[i % 3]).collect();
            let mut blocks: Vec<u128> = pairs.iter().map(|p| p.0.swap_bytes()).collect();
            cipher.encrypt(&schedule, &mut blocks);
            assert!(blocks.iter().zip(&pairs).all(|(b, p)| *b == p.1.swap_bytes()), "{count}");
        }
    }

    #[test]
    fn sums_are_those_of_single_streams() {
        let Some(cipher) = Cipher::detect() else { return };
        for (k, missing, blocks, first) in
            [(1, 0, 1, 0), (2, 1, 16, 5), (4, 0, 19, u64::MAX), (8, 1, 64, 1 << 40), (8, 3, 33, 0)]
        {
            let number = missing..1usize << k;
            let leaves: Vec<Schedule> =
                number.clone().map(|x| cipher.schedule(x as u128 * 0x9e37_79b9)).collect();
            let mut expected = vec![vec![0; blocks]; k + 1];
            for (x, leaf) in number.zip(&leaves) {
                let mut stream: Vec<u128> =
                    (0..blocks as u64).map(|i| u128::from(first.wrapping_add(i))).collect();
                cipher.encrypt(leaf, &mut stream);
                for (j, sum) in expected.iter_mut().enumerate() {
                    if j == k || x >> j & 1 == 1 {
                        sum.iter_mut().zip(&stream).for_each(|(s, x)| *s ^= x);
                    }
                }
            }
            let mut out = vec![0xaa; 16 * blocks * (k + 1)];
            cipher.sums(k, &leaves, first, &mut out);
            let expected: Vec<u8> =
                expected.concat().iter().flat_map(|x| x.to_le_bytes()).collect();
            assert!(out == expected, "k {k}, {missing} missing, {blocks} blocks");
        }
    }
}
