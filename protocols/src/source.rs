//! What a party's draws are expanded from: its seed, and the corrections as they came.

use sotto_crypto::Seed;

use crate::{dealing::stream_id, draw::Draw, drawn::Drawn, spec::Role};

/// Where a node's draws lie in a batch.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Number of the node.
    pub node: usize,
    /// Its draws.
    pub draws: &'a [Draw],
    /// Bytes of corrections before its own.
    pub from: usize,
}

/// A party's part of a batch, from which any draw follows. No `Debug`: it is secret.
pub(crate) struct Source {
    pub role: Role,
    pub seed: Seed,
    /// At the party that receives them.
    pub corrections: Option<Vec<u8>>,
}

impl Source {
    /// Draw `i` of a node.
    pub fn draw(&self, place: &Place<'_>, i: usize) -> Drawn {
        let Place { node, draws, from } = *place;
        let seeded = || self.seed.stream(stream_id(node, i)).bytes(draws[i].packed_len());
        match draws[i] {
            Draw::ClientMask { .. } if self.role == Role::Server => Drawn::Theirs,
            Draw::Mask { .. } | Draw::ClientMask { .. } => Drawn::Fresh(seeded()),
            Draw::Value { .. } | Draw::OneHot { .. } if self.corrections.is_some() => {
                let before = draws[..i].iter().map(Draw::correction_bytes);
                Drawn::Corrected(from + before.sum::<usize>())
            }
            Draw::Value { .. } | Draw::OneHot { .. } => Drawn::Seeded(seeded()),
        }
    }

    /// All draws of a node.
    pub fn node(&self, place: &Place<'_>) -> Vec<Drawn> {
        (0..place.draws.len()).map(|i| self.draw(place, i)).collect()
    }

    /// The corrections; none at the other party.
    pub fn corrections(&self) -> &[u8] {
        self.corrections.as_deref().unwrap_or_default()
    }
}
