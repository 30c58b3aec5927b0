//! Draws: the correlated randomness of a gate, as a static list.

use crate::encode::Encode;

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
    /// Bytes of a party's part, packed as its stream or the dealer gives it.
    pub fn packed_len(&self) -> usize {
        match *self {
            Draw::Mask { count, width }
            | Draw::ClientMask { count, width }
            | Draw::Value { count, width } => sotto_ring::pack::packed_len(count, width),
            Draw::OneHot { count, k } => count * (1 << k) / 8,
        }
    }

    /// Bytes of the correction: what the dealer sends to the corrected party.
    pub fn correction_bytes(&self) -> usize {
        match self {
            Draw::Mask { .. } | Draw::ClientMask { .. } => 0,
            Draw::Value { .. } | Draw::OneHot { .. } => self.packed_len(),
        }
    }
}
