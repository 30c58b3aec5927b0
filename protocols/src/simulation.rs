//! A gate's view in the clear, and the coins that the protocol tosses.

use sotto_crypto::Stream;
use sotto_ring::{mask, pack, signed};

use crate::{
    dealing::{Known, expand, stream_id},
    matrices::Matrix,
    seeds::Seeds,
    spec::{Kind, Spec},
};

/// Where the protocol's coins come from.
pub enum Coins {
    /// With the protocol's own probability.
    Fair(Box<Stream>),
    /// Always the same: for tests that try all of them.
    Fixed {
        /// Truncation gives the floor plus one.
        up: bool,
        /// The secret sign of a lookup is -1.
        negative: bool,
    },
}

impl Coins {
    /// `x / 2^shift`, rounded as truncate-reduce rounds: up with probability
    /// `((x mod 2^shift) + 1) / 2^shift`.
    pub fn round(&mut self, x: i64, shift: u32) -> i64 {
        if shift == 0 {
            return x;
        }
        let floor = x >> shift;
        match self {
            Coins::Fixed { up, .. } => floor + i64::from(*up),
            Coins::Fair(stream) => {
                let low = x as u64 & sotto_ring::mask(shift);
                let u = stream.word() & sotto_ring::mask(shift);
                floor + i64::from(u <= low)
            }
        }
    }
}

impl Coins {
    /// The secret sign of a lookup.
    pub fn sign(&mut self) -> i64 {
        let negative = match self {
            Coins::Fixed { negative, .. } => *negative,
            Coins::Fair(stream) => stream.word() & 1 == 1,
        };
        1 - 2 * i64::from(negative)
    }

    fn mask(&mut self, count: usize, width: u32) -> Vec<u64> {
        match self {
            Coins::Fixed { .. } => vec![0; count],
            Coins::Fair(stream) => {
                let bytes = stream.bytes(pack::packed_len(count, width));
                let mut words = vec![0; count];
                pack::unpack(&bytes, width, &mut words);
                words
            }
        }
    }
}

/// A gate's view in the clear.
pub struct Simulation<'a> {
    /// Values of the inputs, signed.
    pub inputs: Vec<&'a [i64]>,
    /// What the dealer knows of the inputs, where a real batch is replayed.
    pub known: Vec<Option<&'a Known>>,
    /// The batch that is replayed, and the number of the gate's node.
    pub(crate) batch: Option<(&'a Seeds, usize)>,
    /// Truncation's coins.
    pub coins: &'a mut Coins,
    /// The server's matrices.
    pub weights: &'a [Matrix],
    outputs: Vec<Vec<i64>>,
}

impl<'a> Simulation<'a> {
    /// A view on these inputs.
    pub fn new(inputs: Vec<&'a [i64]>, coins: &'a mut Coins, weights: &'a [Matrix]) -> Self {
        let known = vec![None; inputs.len()];
        Self { known, batch: None, inputs, coins, weights, outputs: Vec::new() }
    }

    /// The mask of the opened input `i` of this width: the batch's, or a fresh one.
    pub fn input_mask(&mut self, i: usize, width: u32) -> Vec<u64> {
        match self.known[i] {
            Some(Known::Mask(r)) => r.clone(),
            _ => self.coins.mask(self.inputs[i].len(), width),
        }
    }

    /// The mask of draw `draw` of the gate, of so many words of so many bits: the batch's, or a fresh one.
    pub fn mask(&mut self, draw: usize, count: usize, width: u32) -> Vec<u64> {
        let Some((seeds, node)) = self.batch else {
            return self.coins.mask(count, width);
        };
        let part = |seed| expand(seed, stream_id(node, draw), count, width);
        let [server, client] = seeds.party.each_ref().map(part);
        let sum = server.iter().zip(client).map(|(s, c)| s.wrapping_add(c) & mask(width));
        sum.collect()
    }

    /// Writes the next output; it is reduced to its ring by the caller of the gate.
    pub fn output(&mut self, values: Vec<i64>) {
        self.outputs.push(values);
    }

    /// Takes the outputs.
    pub fn into_outputs(self) -> Vec<Vec<i64>> {
        self.outputs
    }
}

/// The value that a wire of this spec holds when its integer is `x`: reduced to its ring.
pub fn reduce(spec: &Spec, x: i64) -> i64 {
    match spec.kind {
        Kind::Share { width } => signed(x as u64, width),
        Kind::Opened { width, offset } => {
            let index = (x as u64).wrapping_add(offset) & sotto_ring::mask(width);
            index.wrapping_sub(offset) as i64
        }
        Kind::Form { .. } => x,
    }
}
