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

/// Blocks of runs of given lengths, one run after the other. No `Debug`: they are secret.
pub(crate) struct Runs<'a> {
    lengths: &'a [usize],
    runs: Vec<Vec<Block>>,
    at: usize,
}

impl<'a> Runs<'a> {
    pub fn new(lengths: &'a [usize]) -> Self {
        let runs = lengths.iter().map(|&length| Vec::with_capacity(length)).collect();
        Self { lengths, runs, at: 0 }
    }

    /// Appends the next blocks; those behind the last run are dropped.
    pub fn push(&mut self, mut blocks: &[Block]) {
        while let Some(run) = self.runs.get_mut(self.at) {
            let left = self.lengths[self.at] - run.len();
            let (head, tail) = blocks.split_at(left.min(blocks.len()));
            run.extend_from_slice(head);
            if head.len() < left {
                return;
            }
            blocks = tail;
            self.at += 1;
        }
    }

    /// The runs, each with its place in an instance whose next number was `start`.
    pub fn finish(self, hash: Hash, start: u64) -> impl Iterator<Item = (Run, Vec<Block>)> {
        self.runs.into_iter().scan(start, move |at, blocks| {
            let run = Run { hash, start: *at, uses: 0 };
            *at += blocks.len() as u64;
            Some((run, blocks))
        })
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
