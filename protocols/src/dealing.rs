//! The dealer's view of one gate: what it knows of the gate's inputs, both parties' streams, and the corrections.
//!
//! Security: the corrected party's words are one-time-padded by the other party's seed-derived words, hence uniform
//! to it.

mod check;

use sotto_crypto::{Seed, Stream};
use sotto_ring::{
    lanes, mask,
    pack::{self, Packed},
};

use crate::{draw::Draw, drawn::CHUNK, matrices::SetupMasks, seeds::Seeds, spec::Role};
pub(crate) use check::Check;

/// What the dealer knows of a wire.
#[derive(Clone)]
pub enum Known {
    /// Nothing: a share.
    Nothing,
    /// The mask of an opened value.
    Mask(Vec<u64>),
    /// The dealer's factors of a form, one entry a term; `None` is the constant 1.
    Form(Vec<Option<Vec<u64>>>),
}

/// Number of the key stream of draw `draw` of node `node`.
pub(crate) fn stream_id(node: usize, draw: usize) -> u64 {
    assert!(draw < 256, "a gate draws at most 256 tensors");
    (node as u64) << 8 | draw as u64
}

/// The `count` words of `width` bits that `seed` gives to a draw.
pub(crate) fn expand(seed: &Seed, id: u64, count: usize, width: u32) -> Vec<u64> {
    let mut words = Vec::with_capacity(count);
    let mut part = Expansion::new(seed, id, width);
    while words.len() < count {
        let start = words.len();
        words.resize((start + CHUNK).min(count), 0);
        part.next(&mut words[start..]);
    }
    words
}

/// Words of a draw, chunk by chunk.
struct Expansion {
    stream: Stream,
    width: u32,
    bytes: Vec<u8>,
}

impl Expansion {
    fn new(seed: &Seed, id: u64, width: u32) -> Self {
        let bytes = vec![0; pack::packed_len(CHUNK, width)];
        Self { stream: seed.stream(id), width, bytes }
    }

    /// The next words: [`CHUNK`] of them, but for the last time.
    fn next(&mut self, out: &mut [u64]) {
        let bytes = &mut self.bytes[..pack::packed_len(out.len(), self.width)];
        self.stream.fill(bytes);
        pack::unpack(bytes, self.width, out);
    }
}

/// The dealer's view of one gate.
///
/// In check mode nothing is dealt: the same relations are held against what two parties made, so that each is written once.
pub struct Dealing<'a> {
    check: Option<Check<'a>>,
    seeds: &'a Seeds,
    setup: &'a SetupMasks,
    node: usize,
    draws: &'a [Draw],
    /// Corrections so far, of the draws before `next`.
    corrections: Vec<u8>,
    next: usize,
    inputs: Vec<&'a Known>,
    outputs: Vec<Known>,
}

impl<'a> Dealing<'a> {
    /// Of the node of this number, with these draws.
    pub(crate) fn new(
        seeds: &'a Seeds,
        setup: &'a SetupMasks,
        (node, draws): (usize, &'a [Draw]),
        inputs: Vec<&'a Known>,
    ) -> Self {
        let bytes = draws.iter().map(Draw::correction_bytes).sum();
        let corrections = Vec::with_capacity(bytes);
        let check = None;
        Self { check, seeds, setup, node, draws, corrections, next: 0, inputs, outputs: Vec::new() }
    }

    /// In check mode.
    pub(crate) fn checking(mut self, check: Check<'a>) -> Self {
        self.check = Some(check);
        self
    }

    /// The corrections of all draws, and what the dealer knows of the outputs.
    pub(crate) fn finish(self) -> (Vec<u8>, Vec<Known>) {
        self.skip_to(self.draws.len());
        (self.corrections, self.outputs)
    }

    fn seed(&self, role: Role) -> &Seed {
        &self.seeds.party[role.index()]
    }

    fn expansion(&self, role: Role, draw: usize) -> Expansion {
        let (Draw::Mask { width, .. } | Draw::ClientMask { width, .. } | Draw::Value { width, .. }) =
            self.draws[draw]
        else {
            panic!("draw {draw} of node {} is a one-hot", self.node)
        };
        Expansion::new(self.seed(role), stream_id(self.node, draw), width)
    }

    /// The mask of a [`Draw::Mask`] or [`Draw::ClientMask`].
    pub fn mask(&self, draw: usize) -> Vec<u64> {
        let id = stream_id(self.node, draw);
        let (count, width) = match self.draws[draw] {
            Draw::Mask { width: 1, .. } => return self.mask_bits(draw, 1),
            Draw::Mask { count, width } => (count, width),
            Draw::ClientMask { count, width } => {
                return expand(self.seed(Role::Client), id, count, width);
            }
            _ => panic!("draw {draw} of node {} is not a mask", self.node),
        };
        let m = mask(width);
        let mut parts = [Role::Server, Role::Client].map(|role| self.expansion(role, draw));
        let mut sum = Vec::with_capacity(count);
        let mut buffer = [0; CHUNK];
        while sum.len() < count {
            let start = sum.len();
            sum.resize((start + CHUNK).min(count), 0);
            let sum = &mut sum[start..];
            let buffer = &mut buffer[..sum.len()];
            parts[0].next(sum);
            parts[1].next(buffer);
            lanes::join(sum, buffer, m);
        }
        sum
    }

    /// The mask of a [`Draw::Mask`] of bits, `group` bits a word as the parties open it with `Run::open_bits`.
    pub fn mask_bits(&self, draw: usize, group: u32) -> Vec<u64> {
        let Draw::Mask { count, width: 1 } = self.draws[draw] else {
            panic!("draw {draw} of node {} is not a mask of bits", self.node)
        };
        let id = stream_id(self.node, draw);
        let [mut bits, other] = [Role::Server, Role::Client]
            .map(|role| self.seed(role).stream(id).bytes(count.div_ceil(8)));
        bits.iter_mut().zip(other).for_each(|(b, o)| *b ^= o);
        pack::unpack_vec(&bits, group, count / group as usize)
    }

    /// Deals additive shares of `values` into a [`Draw::Value`].
    pub fn give(&mut self, draw: usize, values: &[u64]) {
        if let Draw::Value { count, .. } = self.draws[draw] {
            assert_eq!(values.len(), count, "node {}: wrong count given", self.node);
        }
        self.give_with(draw, |at, out| out.copy_from_slice(&values[at..at + out.len()]));
    }

    /// [`Dealing::give`] of values that `fill` writes part by part, each from the element that it is given.
    pub fn give_with(&mut self, draw: usize, mut fill: impl FnMut(usize, &mut [u64])) {
        let Draw::Value { count, width } = self.draws[draw] else {
            panic!("draw {draw} of node {} is not a value", self.node)
        };
        self.begin(draw);
        if let (Some(parts), Some(check)) = (self.parts(draw), self.check) {
            return self.check_value(draw, (count, width), (check, parts), fill);
        }
        let (mut values, mut theirs) = ([0; CHUNK], [0; CHUNK]);
        let mut seeded = self.expansion(self.seeds.corrected.peer(), draw);
        for at in (0..count).step_by(CHUNK) {
            let len = CHUNK.min(count - at);
            let (values, theirs) = (&mut values[..len], &mut theirs[..len]);
            fill(at, values);
            seeded.next(theirs);
            lanes::part(values, theirs, u64::MAX);
            pack::pack(values, width, &mut self.corrections);
        }
    }

    /// Deals XOR shares of the unit vectors at `positions` into a [`Draw::OneHot`]; returns, as
    /// +1 or -1 mod 2^64, the sign `e0[r] - e1[r]` that every lookup through it carries.
    ///
    /// The sign is a uniform coin that neither party knows: each party's bit at `r` is uniform.
    pub fn give_one_hot(&mut self, draw: usize, positions: &[u64]) -> Vec<u64> {
        let Draw::OneHot { count, k } = self.draws[draw] else {
            panic!("draw {draw} of node {} is not a one-hot", self.node)
        };
        assert_eq!(positions.len(), count, "node {}: wrong count", self.node);
        self.begin(draw);
        if let Some(parts) = self.parts(draw) {
            return self.check_one_hot(draw, k, positions, parts);
        }
        let seeded_role = self.seeds.corrected.peer();
        let size = (1usize << k) / 8;
        let mut stream = self.seed(seeded_role).stream(stream_id(self.node, draw));
        let mut signs = Vec::with_capacity(count);
        // Whole words of the stream at a time, as it is read word by word.
        for positions in positions.chunks((8 * CHUNK / size).max(8)) {
            let start = self.corrections.len();
            self.corrections.resize(start + positions.len() * size, 0);
            let bytes = &mut self.corrections[start..];
            stream.fill(bytes);
            for (e, &r) in bytes.chunks_exact_mut(size).zip(positions) {
                let seeded = flip(e, r);
                // seeded bit 1 at the server, or 0 at the client, is e0[r] = 1.
                let e0 = seeded ^ u64::from(seeded_role == Role::Client);
                signs.push((2 * e0).wrapping_sub(1));
            }
        }
        signs
    }

    /// The dealer's stream holds the draws in their order.
    fn begin(&mut self, draw: usize) {
        let Self { node, next, .. } = *self;
        assert!(draw >= next, "draw {draw} of node {node} after draw {next}");
        self.skip_to(draw);
        self.next = draw + 1;
    }

    fn skip_to(&self, draw: usize) {
        let skipped = &self.draws[self.next..draw];
        let none = skipped.iter().all(|d| d.correction_bytes() == 0);
        assert!(none, "node {}: a draw before {draw} is not dealt", self.node);
    }

    /// What the dealer knows of input `i`.
    pub fn input(&self, i: usize) -> &'a Known {
        self.inputs[i]
    }

    /// The mask of the opened input `i`.
    pub fn input_mask(&self, i: usize) -> &'a [u64] {
        match self.inputs[i] {
            Known::Mask(r) => r,
            _ => panic!("input {i} of node {} is not an opening", self.node),
        }
    }

    /// The mask of matrix `id` of the server, as set up once for the model.
    pub fn weight_mask(&self, id: usize) -> Packed<'a> {
        self.setup.mask(id)
    }

    /// States what the dealer knows of the output.
    pub fn output(&mut self, known: Known) {
        self.outputs.push(known);
    }
}

/// Flips bit `r` of a one-hot and gives what it was. `r` is a mask: every word is read and written, whatever it is.
fn flip(e: &mut [u8], r: u64) -> u64 {
    let (target, bit) = (r >> 6, 1 << (r & 63));
    let one = |i: u64, bytes: &mut [u8; 8]| {
        let word = u64::from_le_bytes(*bytes);
        // All ones where the numbers are equal.
        let here = ((i ^ target).wrapping_sub(1) >> 63).wrapping_neg() & bit;
        *bytes = (word ^ here).to_le_bytes();
        word & here
    };
    let found = if e.len() < 8 {
        let mut bytes = [0; 8];
        bytes[..e.len()].copy_from_slice(e);
        let found = one(0, &mut bytes);
        e.copy_from_slice(&bytes[..e.len()]);
        found
    } else {
        let words = (0..).zip(e.as_chunks_mut::<8>().0);
        words.fold(0, |found, (i, bytes)| found | one(i, bytes))
    };
    (found | found.wrapping_neg()) >> 63
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_is_flipped_and_told() {
        for k in 3..=12 {
            let seed = Seed::from_bytes([k; 32]);
            let size = (1usize << k) / 8;
            for r in (0..1 << k).step_by(1 + (1 << k) / 100) {
                let before = seed.stream(r).bytes(size);
                let mut after = before.clone();
                let (byte, bit) = ((r >> 3) as usize, r & 7);
                assert_eq!(flip(&mut after, r), u64::from(before[byte] >> bit & 1), "{r} of 2^{k}");
                after[byte] ^= 1 << bit;
                assert_eq!(after, before, "{r} of 2^{k}");
            }
        }
    }
}
