//! The contract of a gate: what it draws, exchanges, deals, runs and simulates.

use std::fmt::Debug;

use crate::{
    deal::Dealing,
    encode,
    encode::Encode,
    party::{Prepare, Run},
    simulate::Simulation,
    spec::Spec,
};

/// One piece of correlated randomness of a gate.
///
/// The draws of a gate are a static list, so that the offline bytes, the dealer's stream and the
/// parties' expansion all follow from one description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// A mask: each party draws `width`-bit words from its own seed; the dealer knows the sum.
    /// Costs no bytes.
    Mask {
        /// Elements.
        count: usize,
        /// Bits each: exactly the width at which the masked value is opened.
        width: u32,
    },
    /// A mask that only the client draws, for openings to the server alone. Costs no bytes.
    ClientMask {
        /// Elements.
        count: usize,
        /// Bits each.
        width: u32,
    },
    /// Additive shares mod `2^width` of values that the dealer knows: one side from its seed, the
    /// other by a correction of `width` bits an element.
    Value {
        /// Elements.
        count: usize,
        /// Ring width of the shares.
        width: u32,
    },
    /// XOR shares of unit vectors of length `2^k`: one side from its seed, the other by a
    /// correction of `2^k` bits an element.
    OneHot {
        /// Elements.
        count: usize,
        /// Logarithm of the length.
        k: u32,
    },
}

impl Encode for Draw {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Draw::Mask { count, width } => (0u8, (count, width)).encode(out),
            Draw::ClientMask { count, width } => (1u8, (count, width)).encode(out),
            Draw::Value { count, width } => (2u8, (count, width)).encode(out),
            Draw::OneHot { count, k } => (3u8, (count, k)).encode(out),
        }
    }
}

impl Draw {
    /// Bytes of the correction: what the dealer sends to the corrected party.
    pub fn correction_bytes(&self) -> usize {
        match *self {
            Draw::Mask { .. } | Draw::ClientMask { .. } => 0,
            Draw::Value { count, width } => sotto_ring::pack::packed_len(count, width),
            Draw::OneHot { count, k } => count * (1 << k) / 8,
        }
    }
}

/// Who learns an exchanged value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum To {
    /// Both parties send and both add: an opening.
    Both,
    /// The client sends, the server adds its own part.
    Server,
    /// The server sends, the client adds its own part.
    Client,
}

/// One tensor that crosses the network in a round of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Elements.
    pub count: usize,
    /// Bits each on the wire.
    pub width: u32,
    /// Who learns the sum.
    pub to: To,
}

impl Encode for To {
    fn encode(&self, out: &mut Vec<u8>) {
        let to = match self {
            To::Both => 0u8,
            To::Server => 1,
            To::Client => 2,
        };
        to.encode(out);
    }
}

encode!(Exchange { count, width, to });

impl Exchange {
    /// Bytes that each sending party puts on the wire.
    pub fn bytes(&self) -> usize {
        sotto_ring::pack::packed_len(self.count, self.width)
    }
}

/// Multiply-adds of a gate, by who does them and when. One masked add of a table scan counts
/// as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// At the dealer.
    pub dealer: u64,
    /// At each party before the input is known: server, client.
    pub offline: [u64; 2],
    /// At each party after: server, client.
    pub online: [u64; 2],
}

impl Work {
    /// The same online work at both parties.
    pub fn online(each: u64) -> Self {
        Self { online: [each, each], ..Self::default() }
    }
}

/// Holds a gate's masks against its openings: each opening has a mask of its own, of as many words of exactly as
/// many bits.
///
/// # Panics
/// When it has not: the gate is wrong.
pub(crate) fn check_masks(gate: &dyn Gate) {
    let mut masks: Vec<(To, usize, u32)> = (gate.draws().into_iter())
        .filter_map(|draw| match draw {
            Draw::Mask { count, width } => Some((To::Both, count, width)),
            Draw::ClientMask { count, width } => Some((To::Server, count, width)),
            Draw::Value { .. } | Draw::OneHot { .. } => None,
        })
        .collect();
    let mut openings: Vec<(To, usize, u32)> = (gate.rounds().into_iter().flatten())
        .filter(|e| e.to != To::Client)
        .map(|e| (e.to, e.count, e.width))
        .collect();
    masks.sort_unstable();
    openings.sort_unstable();
    assert_eq!(masks, openings, "masks and openings of `{}`", gate.name());
}

/// Everything that costs anything is a gate.
///
/// A gate of `n` rounds is run `n + 1` times: call `i` sees what round `i - 1` opened and queues
/// round `i`; the last call writes the outputs. Each of its masks is opened under once, which the trace checks
/// against the draws and rounds, and a party when the gate runs. Gates hold public data alone, all of which is encoded
/// into the plan's hash.
pub trait Gate: Encode + Debug + Send + Sync {
    /// The field's name for it, as in the plan's table.
    fn name(&self) -> &'static str;
    /// Specs of the outputs.
    fn outputs(&self) -> Vec<Spec>;
    /// Correlated randomness, in the order of the dealer's stream.
    fn draws(&self) -> Vec<Draw> {
        Vec::new()
    }
    /// What is exchanged, round by round.
    fn rounds(&self) -> Vec<Vec<Exchange>> {
        Vec::new()
    }
    /// Multiply-adds.
    fn work(&self) -> Work {
        Work::default()
    }
    /// The dealer's side: fills the draws.
    fn deal(&self, dealing: &mut Dealing<'_>);
    /// What a party computes from the correlations before the input is known.
    fn prepare(&self, _: &mut Prepare<'_>) {}
    /// A party's side.
    fn run(&self, round: usize, run: &mut Run<'_>);
    /// The same in the clear, integer for integer; the only freedom is truncation's coin.
    fn simulate(&self, simulation: &mut Simulation<'_>);
}
