//! What both parties have alike: iterations that were begun, of which trees are grown one by one, and the place among all COTs.

use std::collections::VecDeque;

use zeroize::{Zeroize, Zeroizing};

use super::{BASE, LEAVES, LEVELS, TREES, code, tree};
use crate::{Block, hash::Hash};

/// Trees of an iteration whose COTs begin the next.
const KEPT: usize = BASE.div_ceil(LEAVES);
/// COTs that an iteration gives.
pub const COTS: usize = (TREES - KEPT) * LEAVES;

/// Whose trees they are.
#[derive(Clone, Copy)]
pub enum Side<'a> {
    /// Who grows them, with its `D`.
    Sender(&'a Block),
    /// Who lacks a leaf of each.
    Receiver,
}

/// An iteration that was begun. No `Debug`: it is secret.
struct Iteration {
    number: u64,
    /// The COTs that it began with.
    base: Zeroizing<Vec<Block>>,
    /// The trees' roots, or the sender's message.
    trees: Zeroizing<Vec<Block>>,
    /// The tree that is due.
    next: usize,
}

/// COTs with random choices. No `Debug`: they are secret.
pub struct Stock {
    pads: Hash,
    trees: Hash,
    code: Hash,
    begun: u64,
    /// The first iteration of which nothing was dropped.
    first: u64,
    made: u64,
    /// What the next iteration begins with.
    base: Zeroizing<Vec<Block>>,
    waiting: VecDeque<Iteration>,
    /// The COTs of the tree that was grown last, and how many of them are gone.
    tree: Zeroizing<Vec<Block>>,
    gone: usize,
}

impl Stock {
    /// With the COTs that the first iteration begins with. All that is public of the instance names its hashes.
    pub fn new(
        session: &[u8; 32],
        begin: &[u8],
        answer: &[u8],
        base: Zeroizing<Vec<Block>>,
    ) -> Self {
        let hash = |what: u8| {
            let mut hasher = blake3::Hasher::new_derive_key("sottovoce Ferret instance 1");
            hasher.update(session).update(begin).update(answer).update(&[what]);
            Hash::new(hasher.finalize().as_bytes())
        };
        Self {
            pads: hash(0),
            trees: hash(1),
            code: hash(2),
            begun: 0,
            first: 0,
            made: 0,
            base,
            waiting: VecDeque::new(),
            tree: Zeroizing::new(vec![0; LEAVES]),
            gone: LEAVES,
        }
    }

    /// The hash of the pads.
    pub fn pads(&self) -> Hash {
        self.pads
    }

    /// Iterations that were begun: the next one's number.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// Iterations since the rest of earlier ones was dropped.
    pub fn since(&self) -> usize {
        (self.begun - self.first) as usize
    }

    /// Drops the COTs that are left.
    pub fn drop_rest(&mut self) {
        (self.first, self.made) = (self.begun, self.begun * COTS as u64);
        self.waiting.clear();
        self.tree.as_mut_slice().zeroize();
        self.gone = LEAVES;
    }

    /// COTs that were taken or dropped: the next one's number.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// Begins an iteration with the roots of its trees or the peer's message; appends a sender's message.
    pub fn begin(
        &mut self,
        side: Side,
        trees: Zeroizing<Vec<Block>>,
        message: Option<&mut Vec<u8>>,
    ) {
        let mut next = Zeroizing::new(vec![0; KEPT * LEAVES]);
        let base = std::mem::take(&mut self.base);
        let iteration = Iteration { number: self.begun, base, trees, next: KEPT };
        for (i, tree) in next.chunks_exact_mut(LEAVES).enumerate() {
            self.grow(side, &iteration, i, tree);
        }
        if let Some(message) = message {
            let mut leaves = Zeroizing::new(vec![0; LEAVES]);
            for i in 0..TREES {
                self.leaves(side, &iteration, i, &mut leaves, Some(message));
            }
        }
        self.base = next;
        self.begun += 1;
        self.waiting.push_back(iteration);
    }

    /// The choices of the COTs that the next iteration begins with.
    #[cfg(test)]
    pub fn choices(&self) -> Vec<u8> {
        self.base.iter().map(|t| *t as u8 & 1).collect()
    }

    /// The code of an iteration.
    #[cfg(test)]
    pub fn code(&self, iteration: u64) -> crate::hash::Keyed {
        self.code.keyed(iteration, 0)
    }

    /// The leaves of a tree.
    fn leaves(
        &self,
        side: Side,
        iteration: &Iteration,
        i: usize,
        leaves: &mut [Block],
        message: Option<&mut Vec<u8>>,
    ) {
        let hash = self.trees.keyed(iteration.number * TREES as u64 + i as u64, 0);
        let masks = &iteration.base[code::SECRET + i * LEVELS..][..LEVELS];
        match side {
            Side::Sender(delta) => {
                tree::grow(&hash, iteration.trees[i], *delta, masks, leaves, message);
            }
            Side::Receiver => {
                tree::hold(&hash, masks, &iteration.trees[i * LEVELS..][..LEVELS], leaves);
            }
        }
    }

    /// The COTs of a tree.
    fn grow(&self, side: Side, iteration: &Iteration, i: usize, tree: &mut [Block]) {
        self.leaves(side, iteration, i, tree, None);
        let secret = iteration.base.first_chunk().expect("more than the secret");
        code::add(&self.code.keyed(iteration.number, 0), secret, i * LEAVES, tree);
    }

    /// Takes the next `count` COTs: calls `f` with a place and the blocks from there on.
    pub fn take(&mut self, side: Side, count: usize, mut f: impl FnMut(usize, &mut [Block])) {
        let mut at = 0;
        while at < count {
            if self.gone == LEAVES {
                self.next_tree(side);
            }
            let len = (LEAVES - self.gone).min(count - at);
            f(at, &mut self.tree[self.gone..self.gone + len]);
            self.gone += len;
            at += len;
        }
        self.made += count as u64;
    }

    fn next_tree(&mut self, side: Side) {
        let mut iteration = self.waiting.pop_front().expect("an iteration for each of its COTs");
        let mut tree = std::mem::take(&mut self.tree);
        self.grow(side, &iteration, iteration.next, &mut tree);
        (self.tree, self.gone) = (tree, 0);
        iteration.next += 1;
        if iteration.next < TREES {
            self.waiting.push_front(iteration);
        }
    }
}
