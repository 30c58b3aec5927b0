//! The local linear code: each COT that comes out is the sum of ten of a secret few, at places that everybody knows.
//!
//! Places are the words of AES in counter mode under a public key, which is another in each iteration: no address depends on
//! anything secret. Cost: ten blocks from a table that a core's cache holds, and 1.25 blocks of AES.

use crate::{Block, hash::Keyed};

/// Blocks that are summed, as a power of two: a place is a word of 16 bits.
pub const SECRET: usize = 1 << 16;
/// Summands of each sum.
pub const SUMMANDS: usize = 10;
/// Sums whose places fill whole blocks, and those blocks.
const SUMS: usize = 4;
const BLOCKS: usize = SUMS * SUMMANDS / 8;

/// Adds to each of `out`, which are numbered from `first` on, its sum of blocks of `secret`.
pub fn add(code: &Keyed, secret: &[Block; SECRET], first: usize, out: &mut [Block]) {
    assert!(first.is_multiple_of(SUMS) && out.len().is_multiple_of(SUMS), "parts of blocks");
    let counter = (first / SUMS * BLOCKS) as Block;
    let mut places: Vec<Block> =
        (0..out.len() / SUMS * BLOCKS).map(|i| counter + i as Block).collect();
    code.encrypt(&mut places);
    for (out, places) in out.chunks_exact_mut(SUMS).zip(places.chunks_exact(BLOCKS)) {
        let places: [u16; SUMS * SUMMANDS] =
            std::array::from_fn(|i| (places[i / 8] >> (16 * (i % 8))) as u16);
        for (out, places) in out.iter_mut().zip(places.as_chunks::<SUMMANDS>().0) {
            let sum = places.iter().fold(*out, |sum, place| sum ^ secret[usize::from(*place)]);
            *out = sum;
        }
    }
}

/// The places of the first `count` sums, for who counts.
#[cfg(test)]
pub fn places(code: &Keyed, count: usize) -> Vec<[u16; SUMMANDS]> {
    let mut blocks: Vec<Block> = (0..count.div_ceil(SUMS) * BLOCKS).map(|i| i as Block).collect();
    code.encrypt(&mut blocks);
    let words = blocks.iter().flat_map(|block| (0..8).map(move |i| (block >> (16 * i)) as u16));
    let words: Vec<u16> = words.collect();
    words.as_chunks::<SUMMANDS>().0[..count].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Hash;

    #[test]
    fn sums_are_of_ten_places_and_the_same_in_parts() {
        let code = Hash::new(&[9; 32]).keyed(5, 0);
        let table: Vec<Block> = (0..SECRET as Block).map(|i| ((i * i) << 64) | i).collect();
        let secret: &[Block; SECRET] = table[..].try_into().expect("as many");
        let mut whole: Vec<Block> = (0..512).collect();
        add(&code, secret, 1024, &mut whole);
        let mut parts: Vec<Block> = (0..512).collect();
        let (left, right) = parts.split_at_mut(100);
        add(&code, secret, 1024, left);
        add(&code, secret, 1124, right);
        assert!(whole == parts);
        let mut counts = vec![0; SECRET];
        for (i, sum) in whole.iter().enumerate() {
            let mut expected = i as Block;
            for j in 0..SUMMANDS {
                let word = (1024 + i) * SUMMANDS + j;
                let mut block = [(word / 8) as Block];
                code.encrypt(&mut block);
                let place = usize::from((block[0] >> (16 * (word % 8))) as u16);
                expected ^= table[place];
                counts[place] += 1;
            }
            assert_eq!(*sum, expected, "{i}");
        }
        // 5,120 places of 65,536: 195 pairs would meet by chance.
        let distinct = counts.iter().filter(|c| **c > 0).count();
        assert!((4850..5000).contains(&distinct), "{distinct} places");
    }
}
