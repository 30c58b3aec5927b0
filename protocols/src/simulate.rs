//! The integer-exact simulator: the plan in the clear, integer for integer.
//!
//! It gives the private result bit for bit, but for two kinds of coins that the protocol itself
//! tosses: truncation rounds up or down as the shares' low bits fall, and a lookup's rounding depends
//! on the mask's low bits. [`Coins::Fair`] tosses them with the protocol's probabilities; the
//! tests replay the masks of a real batch and try both sides of each truncation, and then hold
//! the private result against it exactly.

use sotto_crypto::Stream;
use sotto_ring::{pack, signed};

use crate::{
    deal::Known,
    plan::Plan,
    spec::{Kind, Spec},
    weights::Matrix,
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
    /// Truncation's coins.
    pub coins: &'a mut Coins,
    /// The server's matrices.
    pub weights: &'a [Matrix],
    outputs: Vec<Vec<i64>>,
}

impl<'a> Simulation<'a> {
    /// A view on these inputs.
    pub fn new(inputs: Vec<&'a [i64]>, coins: &'a mut Coins, weights: &'a [Matrix]) -> Self {
        Self { known: vec![None; inputs.len()], inputs, coins, weights, outputs: Vec::new() }
    }

    /// The mask of the opened input `i` of this width: the batch's, or a fresh one.
    pub fn input_mask(&mut self, i: usize, width: u32) -> Vec<u64> {
        match self.known[i] {
            Some(Known::Mask(r)) => r.clone(),
            _ => self.coins.mask(self.inputs[i].len(), width),
        }
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

/// Runs the whole plan in the clear; returns the value of every wire.
///
/// # Panics
/// When the inputs are not of the plan's shape.
pub fn simulate(
    plan: &Plan,
    weights: &[Matrix],
    inputs: &[Vec<i64>],
    coins: &mut Coins,
) -> Vec<Vec<i64>> {
    let mut values: Vec<Vec<i64>> = vec![Vec::new(); plan.wires.len()];
    assert_eq!(inputs.len(), plan.inputs.len(), "number of inputs");
    for (w, x) in plan.inputs.iter().zip(inputs) {
        let spec = &plan.wires[w.index()];
        assert_eq!(x.len(), spec.count(), "input of shape {:?}", spec.shape);
        values[w.index()] = x.iter().map(|&x| reduce(spec, x)).collect();
    }
    for node in &plan.nodes {
        let inputs = node.inputs.iter().map(|w| &values[w.index()][..]).collect();
        let mut simulation = Simulation::new(inputs, coins, weights);
        node.gate.simulate(&mut simulation);
        let outputs = simulation.into_outputs();
        assert_eq!(outputs.len(), node.outputs.len(), "{}", node.gate.name());
        for (w, mut v) in node.outputs.iter().zip(outputs) {
            let spec = &plan.wires[w.index()];
            assert_eq!(v.len(), spec.count(), "{}", node.gate.name());
            v.iter_mut().for_each(|x| *x = reduce(spec, *x));
            values[w.index()] = v;
        }
    }
    values
}
