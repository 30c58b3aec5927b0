//! Half-trees: a correlated COT of one place of many, from one COT a level.
//!
//! A node's left child is its hash, the right one the node and that hash together: siblings sum (XOR) to their parent, so every level
//! sums to `D`, which the two nodes of the first one do. For each level the sender masks the sum of all left nodes with a COT's
//! `q`; the receiver's `q ^ b D` takes the mask off and leaves the sum of the left nodes or, as the two differ by `D`, of
//! the right ones: of the side `b`, which its path does not take. So it learns all nodes but those of a path, and of the leaf there the sum of all others,
//! which is that leaf and `D`. The paths are the choices of random COTs: nothing is sent to choose them.
//!
//! A node's children lie at its own place and half a level behind: the path's first bit is the lowest of its place. The receiver
//! finds the place by looking at all: no address depends on the path.
//!
//! Cost: a block a level; a hash for two children at either party, a key for each tree.
//! Security: the hash is circular correlation robust with AES as an ideal cipher ([`crate::hash`]'s function; a key a tree bounds
//! what is queried under one key by a tree's levels). Source: Guo, Yang, Wang, Zhang, Xie, Liu, Zhao: Half-Tree, EUROCRYPT
//! 2023, figure 3 and section 4; the order of leaves as in emp-ot.

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::{Block, hash::Keyed, spread};

/// Places that are looked at as one.
const GROUP: usize = 16;

/// Grows a tree of as many leaves as `nodes` has places. `masks` are a COT's `q` for each level; appends the message. Of the leaves
/// the lowest bit is cleared.
pub fn grow(
    hash: &Keyed,
    root: Block,
    delta: Block,
    masks: &[Block],
    nodes: &mut [Block],
    message: Option<&mut Vec<u8>>,
) {
    assert_eq!(nodes.len(), 1 << masks.len(), "a tree of other levels");
    nodes[..2].copy_from_slice(&[root, root ^ delta]);
    let mut sums = [0; Block::BITS as usize];
    sums[0] = root;
    for (level, sum) in sums.iter_mut().enumerate().take(masks.len()).skip(1) {
        let (left, right) = nodes[..2 << level].split_at_mut(1 << level);
        right.copy_from_slice(left);
        hash.hash(left);
        for (left, right) in left.iter().zip(right) {
            *right ^= left;
            *sum ^= left;
        }
    }
    nodes.iter_mut().for_each(|leaf| *leaf &= !1);
    if let Some(message) = message {
        let masked = sums.iter().zip(masks).map(|(sum, mask)| sum ^ mask);
        masked.for_each(|block| message.extend_from_slice(&block.to_le_bytes()));
    }
    sums.zeroize();
}

/// The leaves of a peer's tree, with their lowest bit cleared, but for the one at the path, which is `D` and 1 away from the peer's.
/// `masks` are the COTs of the levels at their receiver, with the choice as the lowest bit: the path takes the other side.
pub fn hold(hash: &Keyed, masks: &[Block], message: &[Block], nodes: &mut [Block]) {
    assert_eq!(nodes.len(), 1 << masks.len(), "a tree of other levels");
    // What the child of a node that is not known, and counts as 0, is taken for.
    let mut junk = [0];
    hash.hash(&mut junk);
    let junk = junk[0];
    let side = |level: usize| spread(masks[level] as u64);
    let mut known = masks[0] ^ message[0];
    nodes[..2].copy_from_slice(&[known & !side(0), known & side(0)]);
    let mut place = !masks[0] as u64 & 1;
    for level in 1..masks.len() {
        let (left, right) = nodes[..2 << level].split_at_mut(1 << level);
        right.copy_from_slice(left);
        hash.hash(left);
        let mut sums = [0; 2];
        for (left, right) in left.iter().zip(&mut *right) {
            *right ^= left;
            sums[0] ^= left;
            sums[1] ^= *right;
        }
        let sum = sums[0] ^ (sums[0] ^ sums[1]) & side(level);
        let sibling = sum ^ junk ^ masks[level] ^ message[level];
        known ^= sibling;
        add_at(left, place, junk ^ sibling & !side(level));
        add_at(right, place, junk ^ sibling & side(level));
        place |= (!masks[level] as u64 & 1) << level;
    }
    nodes.iter_mut().for_each(|leaf| *leaf &= !1);
    add_at(nodes, place, known | 1);
}

/// Adds a block to the node at `place`, wherever that is.
fn add_at(nodes: &mut [Block], place: u64, block: Block) {
    let at = |a: usize, b: u64| spread(u64::from((a as u64).ct_eq(&b).unwrap_u8()));
    let group = GROUP as u64;
    let ones: [Block; GROUP] = std::array::from_fn(|i| block & at(i, place % group));
    for (i, nodes) in nodes.chunks_mut(GROUP).enumerate() {
        let here = at(i, place / group);
        nodes.iter_mut().zip(&ones).for_each(|(node, one)| *node ^= one & here);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{blocks, hash::Hash};

    const DELTA: Block = 0x1234_5678_9abc_def0_0fed_cba9_8765_4321;

    #[test]
    fn all_leaves_but_one_are_known_and_that_one_is_correlated() {
        let hash = Hash::new(&[4; 32]).keyed(3, 0);
        for levels in [1, 2, 3, 6, 9] {
            let masks: Vec<Block> = (1..=levels as Block).map(|i| (i << 97) + 2 * i * i).collect();
            let mut leaves = vec![0; 1 << levels];
            let mut message = Vec::new();
            grow(&hash, 77, DELTA, &masks, &mut leaves, Some(&mut message));
            assert!(message.len() == 16 * levels && leaves.iter().all(|leaf| leaf & 1 == 0));
            let mut again = vec![1; 1 << levels];
            grow(&hash, 77, DELTA, &masks, &mut again, None);
            assert_eq!(again, leaves, "whatever was in the buffer");
            for path in 0..1usize << levels {
                let chosen: Vec<Block> = masks
                    .iter()
                    .enumerate()
                    .map(|(level, q)| q ^ (DELTA & spread(!(path >> level) as u64)))
                    .collect();
                let mut held = vec![Block::MAX; 1 << levels];
                hold(&hash, &chosen, &blocks(&message), &mut held);
                for (x, (held, leaf)) in held.iter().zip(&leaves).enumerate() {
                    let apart = if x == path { DELTA } else { 0 };
                    assert_eq!(held ^ leaf, apart, "{levels} levels, path {path}, leaf {x}");
                }
            }
        }
    }
}
