//! Streams of the leaves of trees, and their sums: where most of the work of an extension is.
//!
//! A leaf's stream is AES-128 in counter mode. Each extension has keys of its own: a leaf grows two children as a node of its tree
//! does, of which one is the key, the other the leaf from then on. So a key encrypts as many blocks as an extension has COTs,
//! over 128 (`2^18` for 32 million): that they never repeat tells them from random ones by less than `2^-92`. And who reads
//! the memory later finds no key of an extension that is over.
//!
//! Security: AES-128 as a pseudorandom function, as in [`tree`]. Two implementations give the same bytes: `sotto_ring`'s kernel
//! where the machine has one, else a library's cipher.

use aes::{
    Aes128Enc,
    cipher::{Array, BlockCipherEncrypt, KeyInit},
};
use sotto_ring::aes::{Cipher, Schedule};
use zeroize::Zeroizing;

use crate::{Block, tree};

/// Leaves and the ciphers of an extension. No `Debug`: they are secret.
pub(crate) struct Leaves {
    k: usize,
    /// Of each tree, as of the next extension; 0 where one is not known.
    seeds: Zeroizing<Vec<Block>>,
    /// The first leaves of each tree, that are not known.
    missing: usize,
    ciphers: Ciphers,
}

/// Of all leaves that are known.
enum Ciphers {
    Kernel(Cipher, Zeroizing<Vec<Schedule>>),
    Portable(Vec<Aes128Enc>),
}

impl Leaves {
    /// Of trees of `2^k` leaves, of which the first `missing` of each are not known.
    pub fn new(k: usize, seeds: Zeroizing<Vec<Block>>, missing: usize) -> Self {
        let ciphers = match Cipher::detect() {
            Some(cipher) => Ciphers::Kernel(cipher, Zeroizing::default()),
            None => Ciphers::Portable(Vec::new()),
        };
        Self { k, seeds, missing, ciphers }
    }

    /// Begins an extension: fresh keys, streams from their start.
    pub fn begin(&mut self) {
        let (k, missing) = (self.k, self.missing);
        let known = self.seeds.iter_mut().enumerate().filter(|(i, _)| i % (1 << k) >= missing);
        let keys = known.map(|(_, seed)| {
            let [key, next] = tree::children(*seed);
            *seed = next;
            key
        });
        match &mut self.ciphers {
            Ciphers::Kernel(cipher, schedules) => {
                let fresh: Zeroizing<Vec<_>> =
                    keys.map(|key| cipher.schedule(key)).collect::<Vec<_>>().into();
                *schedules = fresh;
            }
            Ciphers::Portable(ciphers) => {
                *ciphers = keys.map(|key| Aes128Enc::new(&key.to_le_bytes().into())).collect();
            }
        }
    }

    /// Sums of the streams of tree `i` from `block` on, `k + 1` of them in `out`: for each bit of a leaf's number those of
    /// the leaves that have it, then those of all. What is not known counts as 0.
    pub fn sums(&self, i: usize, block: u64, out: &mut [u8]) {
        let count = (1 << self.k) - self.missing;
        let tree = i * count..(i + 1) * count;
        match &self.ciphers {
            Ciphers::Kernel(cipher, schedules) => cipher.sums(self.k, &schedules[tree], block, out),
            Ciphers::Portable(ciphers) => {
                portable(&ciphers[tree], self.missing, block, out, self.k)
            }
        }
    }
}

fn portable(ciphers: &[Aes128Enc], missing: usize, block: u64, out: &mut [u8], k: usize) {
    let bytes = out.len() / (k + 1);
    let counter = |i: u64| aes::Block::from(Block::from(block.wrapping_add(i)).to_le_bytes());
    let counters: Vec<aes::Block> = (0..bytes as u64 / 16).map(counter).collect();
    let mut stream = Zeroizing::new(vec![0; bytes]);
    out.fill(0);
    for (x, cipher) in (missing..).zip(ciphers) {
        let (blocks, _) = Array::slice_as_chunks_mut(&mut stream);
        cipher.encrypt_blocks_b2b(&counters, blocks).expect("as many blocks");
        for (j, sum) in out.chunks_exact_mut(bytes).enumerate() {
            if j == k || x >> j & 1 == 1 {
                sum.iter_mut().zip(&*stream).for_each(|(s, x)| *s ^= x);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_implementations_give_the_same_sums() {
        for (k, missing) in [(1, 0), (2, 1), (4, 0), (8, 1)] {
            let seeds: Vec<Block> =
                (1..=(128 / k) << k).map(|i| ((i as Block) << 70) | 5).collect();
            let all = [Ciphers::Portable(Vec::new())].into_iter();
            let kernel = Cipher::detect().map(|c| Ciphers::Kernel(c, Zeroizing::default()));
            let sums = all.chain(kernel).map(|ciphers| {
                let mut leaves = Leaves { k, seeds: seeds.clone().into(), missing, ciphers };
                let mut out = vec![0; 2 * 16 * 37 * (k + 1)];
                for part in out.chunks_exact_mut(16 * 37 * (k + 1)) {
                    leaves.begin();
                    leaves.sums(128 / k - 1, 99, part);
                }
                out
            });
            let sums: Vec<Vec<u8>> = sums.collect();
            assert!(sums.iter().all(|s| *s == sums[0]), "k {k}");
            let (first, second) = sums[0].split_at(sums[0].len() / 2);
            assert!(first != second, "each extension has keys of its own");
        }
    }
}
