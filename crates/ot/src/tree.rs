//! Trees of seeds: the one who grows a tree knows all its leaves, the other all but one, which it chose.
//!
//! A node's children are AES under the node of 0 and of 1. For each level the grower sends the XOR of all left children under
//! one base key and that of all right children under the other. Who has the key of the side that its path does NOT take fills that
//! side in, level by level, and never learns the leaf at the path's end.
//!
//! The holder keeps its nodes in the order `y = x ^ path`: what is missing then lies at 0 in every level, so that no
//! address depends on the path.
//!
//! Cost: 32 bytes a level; `2^K` AES keys at each party. Source: Goldreich, Goldwasser, Micali 1986; the transfer of all but one
//! leaf as in Boyle et al., CCS 2019, and Roy's SoftSpokenOT, section 6.

use aes::{
    Aes128Enc,
    cipher::{BlockCipherEncrypt, KeyInit},
};

use crate::{
    Block, blocks,
    error::{Error, check_length},
    spread,
};

const SUMS: &str = "tree of seeds, the sums of its levels";

/// Bytes of a tree's message.
pub const fn sums_bytes(levels: usize) -> usize {
    32 * levels
}

/// A node's children.
pub(crate) fn children(node: Block) -> [Block; 2] {
    let cipher = Aes128Enc::new(&node.to_le_bytes().into());
    [0, 1].map(|side: Block| {
        let mut block = side.to_le_bytes().into();
        cipher.encrypt_block(&mut block);
        Block::from_le_bytes(block.into())
    })
}

/// Grows a tree from `root` with as many levels as there are `keys`, which are the base transfers' from the top level on. Returns the
/// leaves and appends the message.
pub fn grow(root: Block, keys: &[[Block; 2]], message: &mut Vec<u8>) -> Vec<Block> {
    let mut nodes = vec![root];
    for pair in keys {
        let mut sums = *pair;
        let pairs = nodes.iter().map(|&n| children(n));
        nodes = pairs.inspect(|pair| (0..2).for_each(|j| sums[j] ^= pair[j])).flatten().collect();
        sums.iter().for_each(|sum| message.extend_from_slice(&sum.to_le_bytes()));
    }
    nodes
}

/// The leaves of a peer's tree in the order `y = x ^ path`, with 0 in the place of the one that is not known, which is the first.
/// `path` has a bit a level, from the top on; `keys` are those of the sides that it does not take.
///
/// # Errors
/// [`Error::Length`] when the message is not one of these levels.
pub fn hold(path: &[u64], keys: &[Block], message: &[u8]) -> Result<Vec<Block>, Error> {
    check_length(SUMS, message.len(), sums_bytes(keys.len()))?;
    let sums = blocks(message);
    let mut nodes = vec![0];
    for ((&bit, key), sum) in path.iter().zip(keys).zip(sums.chunks_exact(2)) {
        let takes = spread(bit);
        // The sum of the children at the other side.
        let mut missing = key ^ (sum[1] & !takes | sum[0] & takes);
        let mut next = vec![0; 2];
        for &node in &nodes[1..] {
            let [left, right] = children(node);
            let swap = (left ^ right) & takes;
            missing ^= right ^ swap;
            next.extend([left ^ swap, right ^ swap]);
        }
        next[1] = missing;
        nodes = next;
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(levels: usize) -> Vec<[Block; 2]> {
        (0..levels as Block).map(|i| [3 * i + 1, 7 * i + (5 << 90)]).collect()
    }

    #[test]
    fn all_leaves_but_one_are_known() {
        for levels in [1, 2, 4, 8] {
            let pairs = keys(levels);
            let mut message = Vec::new();
            let leaves = grow(77, &pairs, &mut message);
            assert_eq!(leaves.len(), 1 << levels);
            assert_eq!(message.len(), sums_bytes(levels));
            for path in 0..1usize << levels {
                let bits: Vec<u64> =
                    (0..levels).map(|i| (path >> (levels - 1 - i) & 1) as u64).collect();
                let known: Vec<Block> =
                    pairs.iter().zip(&bits).map(|(pair, &bit)| pair[1 - bit as usize]).collect();
                let held = hold(&bits, &known, &message).expect("the tree's message");
                assert_eq!(held[0], 0);
                (1..1 << levels).for_each(|y| assert_eq!(held[y], leaves[y ^ path], "{path} {y}"));
            }
        }
    }

    #[test]
    fn another_length_is_refused() {
        let error = Error::Length { what: SUMS, found: 63, due: 64 };
        assert_eq!(hold(&[0, 1], &[1, 2], &[0; 63]), Err(error));
    }
}
