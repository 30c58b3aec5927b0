//! What crosses the network in a round of a gate, and what a gate computes.

use crate::{encode, encode::Encode, spec::Role};

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

impl To {
    /// Whether a party of this role puts its part on the wire.
    pub fn sends(self, from: Role) -> bool {
        match self {
            To::Both => true,
            To::Server => from == Role::Client,
            To::Client => from == Role::Server,
        }
    }
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
