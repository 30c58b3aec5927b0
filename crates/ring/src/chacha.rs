//! ChaCha with 12 rounds, sixteen blocks at a time, on AVX-512: the key stream of every mask and every share from a seed.
//!
//! There is no portable twin here: who uses this has a cipher of a library for machines without it and for shorter pieces, and
//! holds both against each other in a test. Security: constant time in the key.

#[cfg(target_arch = "x86_64")]
mod avx512;

/// Bytes of the sixteen blocks.
pub const PASS: usize = 1024;

/// ChaCha by this machine's instructions.
#[derive(Clone, Copy, Debug)]
pub struct ChaCha12(());

impl ChaCha12 {
    /// That of this machine, if it has one.
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        let found = is_x86_feature_detected!("avx512f");
        #[cfg(not(target_arch = "x86_64"))]
        let found = false;
        found.then_some(Self(()))
    }

    /// The key stream from block `first` on; `nonce` is the state's last three words, the word before counts blocks.
    ///
    /// # Panics
    /// When `out` is not whole passes, or goes beyond block `2^32`.
    pub fn fill(self, key: &[u8; 32], nonce: [u32; 3], first: u64, out: &mut [u8]) {
        assert!(out.len().is_multiple_of(PASS), "key stream: {} bytes", out.len());
        let end = first.checked_add(out.len() as u64 / 64);
        assert!(end.is_some_and(|end| end <= 1 << 32), "key stream: from block {first} on");
        #[cfg(target_arch = "x86_64")]
        avx512::fill(key, nonce, first as u32, out);
        #[cfg(not(target_arch = "x86_64"))]
        unreachable!("{key:?} and {nonce:?} on a machine without a kernel");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, word by word.
    fn block(key: &[u8; 32], nonce: [u32; 3], number: u32) -> [u8; 64] {
        let word = |i: usize| u32::from_le_bytes(key[4 * i..4 * i + 4].try_into().unwrap());
        let mut state = [0; 16];
        state[..4].copy_from_slice(&[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
        (0..8).for_each(|i| state[4 + i] = word(i));
        state[12] = number;
        state[13..].copy_from_slice(&nonce);
        let mut v: [u32; 16] = state;
        for round in 0..12 {
            for i in 0..4 {
                let turn = |by: usize| (i + by * (round % 2)) % 4;
                let [a, b, c, d] = [i, 4 + turn(1), 8 + turn(2), 12 + turn(3)];
                for (x, y, z, by) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
                    v[x] = v[x].wrapping_add(v[y]);
                    v[z] = (v[z] ^ v[x]).rotate_left(by);
                }
            }
        }
        let mut out = [0; 64];
        for (i, bytes) in out.chunks_exact_mut(4).enumerate() {
            bytes.copy_from_slice(&v[i].wrapping_add(state[i]).to_le_bytes());
        }
        out
    }

    #[test]
    fn the_definition_gives_the_published_vector() {
        // draft-strombergson-chacha-test-vectors-01, TC1, 12 rounds, 256-bit key: zero key and nonce.
        let expected = 0x9bf4_9a6a_0755_f953_811f_ce12_5f26_83d5_u128.to_be_bytes();
        assert_eq!(block(&[0; 32], [0; 3], 0)[..16], expected);
    }

    #[test]
    fn passes_are_the_definition_s_blocks() {
        let Some(cipher) = ChaCha12::detect() else { return };
        let key: [u8; 32] = std::array::from_fn(|i| (i * 37 + 5) as u8);
        let nonce = [7, 0xffff_0001, 0x8000_0000];
        for (first, passes) in [(0, 1), (3, 2), ((1 << 32) - 48, 3), (0x7fff_fffb, 1), (9, 0)] {
            let mut out = vec![0xaa; PASS * passes];
            cipher.fill(&key, nonce, first, &mut out);
            for (i, got) in out.chunks(64).enumerate() {
                let number = first as u32 + i as u32;
                assert_eq!(got, block(&key, nonce, number), "block {number}");
            }
        }
    }

    #[test]
    fn nothing_is_beyond_the_last_block() {
        let Some(cipher) = ChaCha12::detect() else { return };
        let beyond = std::panic::catch_unwind(|| {
            cipher.fill(&[0; 32], [0; 3], (1 << 32) - 15, &mut [0; PASS]);
        });
        assert!(beyond.is_err());
    }
}
