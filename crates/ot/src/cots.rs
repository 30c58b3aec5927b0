//! COTs that were made, owned by whoever uses them: each index is given out once, each use of it has pads of its own.

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    Block,
    hash::{Hash, INDICES},
    spread,
};

/// COTs at their sender: a pad for either value of each choice. No `Debug`, no copies: it is secret and for one use at a time.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Sent {
    #[zeroize(skip)]
    pub(crate) run: Run,
    pub(crate) blocks: Vec<Block>,
    pub(crate) delta: Block,
}

/// COTs at their receiver: the pad of its choice. No `Debug`, no copies, as [`Sent`].
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Received {
    #[zeroize(skip)]
    pub(crate) run: Run,
    pub(crate) blocks: Vec<Block>,
    pub(crate) choices: Vec<u8>,
}

/// Where COTs lie in their instance, and how often they were used.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub hash: Hash,
    pub start: u64,
    pub uses: u32,
}

impl Run {
    /// The number of the next use.
    fn next(&mut self) -> u32 {
        self.uses = self.uses.checked_add(1).expect("a COT has less than 2^32 messages");
        self.uses - 1
    }

    /// Holds lengths into which `count` unused ones are cut against them.
    fn check(&self, count: usize, lengths: &[usize]) {
        let sum: usize = lengths.iter().sum();
        assert!(self.uses == 0 && sum == count, "{count} COTs, {} uses, cut into {sum}", self.uses);
    }

    /// Calls `f` with the first place and the length of each part whose indices share a key.
    fn parts(&self, count: usize, mut f: impl FnMut(usize, usize)) {
        let mut at = 0;
        while at < count {
            let index = self.start + at as u64;
            let len = (INDICES - index % INDICES).min((count - at) as u64) as usize;
            f(at, len);
            at += len;
        }
    }
}

impl Sent {
    /// How many.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Cuts them into runs of these lengths, in order.
    ///
    /// # Panics
    /// When that is not all of them, or they were used.
    pub fn split(self, lengths: &[usize]) -> Vec<Self> {
        self.run.check(self.len(), lengths);
        let mut at = 0;
        let parts = lengths.iter().map(|&length| {
            let range = at..at + length;
            at += length;
            let run = Run { start: self.run.start + range.start as u64, ..self.run };
            let blocks = self.blocks[range].to_vec();
            Self { run, blocks, delta: self.delta }
        });
        parts.collect()
    }

    /// Pads of the next use: calls `f` with a place, and from there on the pads of choice 0 and those of choice 1. 128 bits a COT;
    /// who needs more asks again.
    pub fn pads(&mut self, mut f: impl FnMut(usize, &[Block], &[Block])) {
        let (number, run) = (self.run.next(), self.run);
        let mut buffers = [[0; INDICES as usize]; 2];
        run.parts(self.blocks.len(), |at, len| {
            let [zeros, ones] = buffers.each_mut().map(|b| &mut b[..len]);
            zeros.copy_from_slice(&self.blocks[at..at + len]);
            ones.iter_mut().zip(&*zeros).for_each(|(o, z)| *o = z ^ self.delta);
            run.hash.apply(run.start + at as u64, number, [&mut *zeros, &mut *ones]);
            f(at, zeros, ones);
        });
        buffers.zeroize();
    }
}

impl Received {
    /// How many.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The choice of number `i`: 0 or 1.
    pub fn choice(&self, i: usize) -> u64 {
        u64::from(self.choices[i])
    }

    /// The choices, 0 or 1 each.
    pub fn choices(&self) -> &[u8] {
        &self.choices
    }

    /// All ones where the choice of number `i` is 1, else 0.
    pub fn chosen(&self, i: usize) -> Block {
        spread(self.choice(i))
    }

    /// Cuts them into runs of these lengths, in order.
    ///
    /// # Panics
    /// When that is not all of them, or they were used.
    pub fn split(self, lengths: &[usize]) -> Vec<Self> {
        self.run.check(self.len(), lengths);
        let mut at = 0;
        let parts = lengths.iter().map(|&length| {
            let range = at..at + length;
            at += length;
            let run = Run { start: self.run.start + range.start as u64, ..self.run };
            let blocks = self.blocks[range.clone()].to_vec();
            Self { run, blocks, choices: self.choices[range].to_vec() }
        });
        parts.collect()
    }

    /// The pads of the choices in the next use: calls `f` with a place and the pads from there on.
    pub fn pads(&mut self, mut f: impl FnMut(usize, &[Block])) {
        let (number, run) = (self.run.next(), self.run);
        let mut buffer = [0; INDICES as usize];
        run.parts(self.blocks.len(), |at, len| {
            let pads = &mut buffer[..len];
            pads.copy_from_slice(&self.blocks[at..at + len]);
            run.hash.apply(run.start + at as u64, number, [&mut *pads]);
            f(at, pads);
        });
        buffer.zeroize();
    }
}
