//! The hash that breaks a COT's correlation: what it makes of `q` and of `q ^ D` looks independent to who lacks one of them.
//!
//! `H(x) = AES_key(s(x)) ^ s(x)`, `s` linear and such that `s` and `s + 1` are invertible. The key is another for every 1,024
//! indices of an instance and for every use of them, so that what an attacker computes for one key helps
//! with 2,048 points and no more, however long the instance runs.
//!
//! Cost: one AES block a pad, two keys for 1,024 pads. Security: correlation robust with AES as an ideal cipher, to
//! about 128 bits; never a permutation under one fixed key. Source: Guo, Katz, Wang, Yu: Efficient and Secure Multiparty
//! Computation from Fixed-Key Block Ciphers, S&P 2020 (`s`); Guo, Katz, Wang, Weng, Yu: Better Concrete Security for Half-Gates
//! Garbling, CRYPTO 2020 (a key for a few indices). There a key serves one gate; a key schedule costs as much as 20
//! blocks.

use aes::{
    Aes128Enc,
    cipher::{BlockCipherEncrypt, KeyInit},
};
use sotto_ring::aes::{Cipher, Schedule};

use crate::Block;

/// Indices that share a key.
pub const INDICES: u64 = 1024;
/// Blocks that are encrypted at once.
const BATCH: usize = 64;

/// AES under one key: by this machine's kernel where it has one, else a library's.
pub(crate) enum Keyed {
    Kernel(Cipher, Schedule),
    Portable(Aes128Enc),
}

impl Keyed {
    fn new(key: Block) -> Self {
        match Cipher::detect() {
            Some(cipher) => Self::Kernel(cipher, cipher.schedule(key)),
            None => Self::portable(key),
        }
    }

    fn portable(key: Block) -> Self {
        Self::Portable(Aes128Enc::new(&key.to_le_bytes().into()))
    }

    /// Encrypts blocks in place.
    pub fn encrypt(&self, blocks: &mut [Block]) {
        match self {
            Self::Kernel(cipher, schedule) => cipher.encrypt(schedule, blocks),
            Self::Portable(cipher) => {
                let mut buffer: Vec<aes::Block> =
                    blocks.iter().map(|b| b.to_le_bytes().into()).collect();
                cipher.encrypt_blocks(&mut buffer);
                for (block, b) in blocks.iter_mut().zip(buffer) {
                    *block = Block::from_le_bytes(b.into());
                }
            }
        }
    }

    /// Replaces every block `x` by `H(x)`.
    pub fn hash(&self, x: &mut [Block]) {
        let mut buffer = [0; BATCH];
        for part in x.chunks_mut(BATCH) {
            let buffer = &mut buffer[..part.len()];
            for (b, x) in buffer.iter_mut().zip(&mut *part) {
                *x = orthomorphism(*x);
                *b = *x;
            }
            self.encrypt(buffer);
            for (x, b) in part.iter_mut().zip(buffer) {
                *x ^= *b;
            }
        }
    }
}

/// The hash of one instance: its keys follow from a public block that no other instance has.
#[derive(Clone, Copy, Debug)]
pub struct Hash {
    session: Block,
}

impl Hash {
    /// The hash of the instance that `session` names.
    pub fn new(session: &[u8; 32]) -> Self {
        let key = blake3::derive_key("sottovoce COT hash 1", session);
        Self { session: Block::from_le_bytes(std::array::from_fn(|i| key[i])) }
    }

    /// The cipher of the indices of `block` in their use number `number`. AES under the session is a permutation: no two keys are
    /// alike.
    pub(crate) fn keyed(&self, block: u64, number: u32) -> Keyed {
        let mut key = [Block::from(block) | Block::from(number) << 64];
        Keyed::new(self.session).encrypt(&mut key);
        Keyed::new(key[0])
    }

    /// Replaces `x[i]` by `H(x[i])` of the index `index + i` in its use number `number`.
    ///
    /// # Panics
    /// When the indices do not share a key: they lie in one aligned block of [`INDICES`].
    pub fn apply<const N: usize>(&self, index: u64, number: u32, mut x: [&mut [Block]; N]) {
        let block = index / INDICES;
        let cipher = self.keyed(block, number);
        for x in &mut x {
            assert!(index + x.len() as u64 <= (block + 1) * INDICES, "indices of two keys");
            cipher.hash(x);
        }
    }
}

/// `(high, low)` to `(high ^ low, high)`.
fn orthomorphism(x: Block) -> Block {
    x << 64 ^ x & (Block::MAX << 64) ^ x >> 64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_and_its_sum_with_the_identity_are_invertible() {
        for f in [orthomorphism, |x| orthomorphism(x) ^ x] {
            let mut basis: Vec<Block> = Vec::new();
            for i in 0..128 {
                let mut image = f(1 << i);
                basis.iter().for_each(|b| image = image.min(image ^ b));
                assert_ne!(image, 0, "bit {i}");
                basis.push(image);
                basis.sort_unstable_by(|a, b| b.cmp(a));
            }
        }
    }

    #[test]
    fn pads_depend_on_instance_key_and_use() {
        let [a, b] = [[1; 32], [2; 32]].map(|s| Hash::new(&s));
        let pad = |hash: Hash, index, number| {
            let mut x = [5];
            hash.apply(index, number, [&mut x]);
            x[0]
        };
        let all = [pad(a, 0, 0), pad(a, 1024, 0), pad(a, 0, 1), pad(b, 0, 0), pad(a, 1, 1 << 20)];
        for (i, x) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|y| x != y), "{i}");
        }
        // Two indices of one block have one key: what differs is the input.
        assert_eq!(pad(a, 0, 0), pad(a, 1023, 0));
    }

    #[test]
    fn the_definition_holds_in_pieces_of_any_length() {
        let hash = Hash::new(&[7; 32]);
        let input: Vec<Block> = (1..=1000).map(|i: Block| i.wrapping_mul(u128::MAX / 11)).collect();
        let mut whole = input.clone();
        hash.apply(3072, 4, [&mut whole]);
        let mut key = [3 | 4 << 64];
        Keyed::portable(hash.session).encrypt(&mut key);
        let mut expected: Vec<Block> = input.iter().map(|x| orthomorphism(*x)).collect();
        Keyed::portable(key[0]).encrypt(&mut expected);
        expected.iter_mut().zip(&input).for_each(|(y, x)| *y ^= orthomorphism(*x));
        assert_eq!(whole, expected);
        let mut parts = input;
        let (left, right) = parts.split_at_mut(77);
        hash.apply(3072, 4, [left]);
        hash.apply(3072 + 77, 4, [right]);
        assert_eq!(parts, whole);
    }

    #[test]
    #[should_panic(expected = "indices of two keys")]
    fn two_blocks_at_once_are_a_fault() {
        Hash::new(&[7; 32]).apply(1000, 0, [&mut [0; 25]]);
    }
}
