//! A batch of correlated randomness: as it arrives, and expanded for one evaluation.

use sotto_crypto::Seed;
use sotto_ring::pack;

use crate::{
    deal::{expand, stream_id},
    error::Error,
    gate::Draw,
    party::{Drawn, Prepare},
    plan::Plan,
    spec::Role,
    weights::Weights,
};

/// What a party needs of the dealer for one evaluation. No `Debug`: it is secret.
pub struct Batch {
    /// The dealer's number for it, the same at both parties.
    pub id: u64,
    /// This party's seed.
    pub seed: Seed,
    /// Corrections, at the party that receives them.
    pub corrections: Option<Vec<u8>>,
}

/// A batch expanded, ready for the first online byte.
pub struct Staged {
    /// The dealer's number.
    pub id: u64,
    pub(crate) drawn: Vec<Vec<Drawn>>,
}

impl Batch {
    /// Expands seed and corrections and does the offline products.
    ///
    /// # Errors
    /// [`Error::Correlation`] when the corrections are not of the plan's length.
    pub fn stage(self, plan: &Plan, role: Role, weights: &Weights) -> Result<Staged, Error> {
        if let Some(c) = &self.corrections
            && c.len() != plan.correction_bytes()
        {
            return Err(Error::Correlation {
                batch: self.id,
                what: format!("{} bytes for {}", c.len(), plan.correction_bytes()),
            });
        }
        let mut rest = self.corrections.as_deref().unwrap_or_default();
        let corrected = self.corrections.is_some();
        let mut all = Vec::with_capacity(plan.nodes.len());
        for (index, node) in plan.nodes.iter().enumerate() {
            let draws = node.gate.draws();
            let mut drawn: Vec<Drawn> = draws
                .iter()
                .enumerate()
                .map(|(i, draw)| {
                    let id = stream_id(index, i);
                    let correction = if corrected {
                        let (head, tail) = rest.split_at(draw.correction_bytes());
                        rest = tail;
                        Some(head)
                    } else {
                        None
                    };
                    self.draw(*draw, id, role, correction)
                })
                .collect();
            node.gate.prepare(&mut Prepare { role, weights, drawn: &mut drawn });
            all.push(drawn);
        }
        Ok(Staged { id: self.id, drawn: all })
    }

    fn draw(&self, draw: Draw, id: u64, role: Role, correction: Option<&[u8]>) -> Drawn {
        match (draw, correction) {
            (Draw::Mask { count, width }, _) => Drawn::Words(expand(&self.seed, id, count, width)),
            (Draw::ClientMask { count, width }, _) => match role {
                Role::Client => Drawn::Words(expand(&self.seed, id, count, width)),
                Role::Server => Drawn::Absent,
            },
            (Draw::Value { count, width }, Some(bytes)) => {
                let mut words = vec![0; count];
                pack::unpack(bytes, width, &mut words);
                Drawn::Words(words)
            }
            (Draw::Value { count, width }, None) => {
                Drawn::Words(expand(&self.seed, id, count, width))
            }
            (Draw::OneHot { .. }, Some(bytes)) => Drawn::Bits(bytes.to_vec()),
            (Draw::OneHot { count, k }, None) => {
                Drawn::Bits(self.seed.stream(id).bytes(count * (1 << k) / 8))
            }
        }
    }
}
