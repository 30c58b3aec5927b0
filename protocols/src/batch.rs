//! A batch of correlated randomness: as it arrives, and expanded for one evaluation.

use sotto_crypto::Seed;

use crate::{
    dealing::stream_id,
    draw::Draw,
    drawn::{Drawn, Draws},
    error::Error,
    matrices::Weights,
    observer::Observer,
    plan::Plan,
    run::Prepare,
    seeds::Seeds,
    spec::Role,
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

/// A batch expanded, ready for the first online byte. No `Debug`: it is secret. Freed, not wiped: that would take 10 ms for
/// the 57 MB of MPCViT's CIFAR model, of 160 for an image.
pub struct Staged {
    /// The dealer's number.
    pub id: u64,
    pub(crate) corrections: Vec<u8>,
    pub(crate) drawn: Vec<Vec<Drawn>>,
}

impl Batch {
    /// The server's and the client's batch of one deal.
    pub fn pair(id: u64, seeds: &Seeds, corrections: Vec<u8>) -> [Self; 2] {
        let [server, client] = seeds.party.each_ref().map(Seed::clone);
        let (at_server, at_client) = match seeds.corrected {
            Role::Server => (Some(corrections), None),
            Role::Client => (None, Some(corrections)),
        };
        [(server, at_server), (client, at_client)].map(|(seed, corrections)| Self {
            id,
            seed,
            corrections,
        })
    }

    /// Expands the seed and does the offline products; corrections stay packed as they came.
    ///
    /// # Errors
    /// [`Error::Correlation`] when the corrections are not of the plan's length.
    pub fn stage(self, plan: &Plan, role: Role, weights: &Weights) -> Result<Staged, Error> {
        self.stage_observed(plan, role, weights, &mut ())
    }

    /// Like [`Batch::stage`] before somebody who watches.
    ///
    /// # Errors
    /// As [`Batch::stage`].
    pub fn stage_observed(
        self,
        plan: &Plan,
        role: Role,
        weights: &Weights,
        observer: &mut dyn Observer,
    ) -> Result<Staged, Error> {
        let corrected = self.corrections.is_some();
        let corrections = self.corrections.unwrap_or_default();
        if corrected && corrections.len() != plan.correction_bytes() {
            return Err(Error::Correlation {
                batch: self.id,
                what: format!("{} bytes for {}", corrections.len(), plan.correction_bytes()),
            });
        }
        let mut at = 0;
        let mut all = Vec::with_capacity(plan.nodes.len());
        for (index, (node, draws)) in plan.nodes.iter().zip(&plan.draws).enumerate() {
            let mut drawn: Vec<Drawn> = Vec::with_capacity(draws.len());
            for (i, draw) in draws.iter().enumerate() {
                let seeded = || self.seed.stream(stream_id(index, i)).bytes(draw.packed_len());
                drawn.push(match draw {
                    Draw::ClientMask { .. } if role == Role::Server => Drawn::Theirs,
                    Draw::Mask { .. } | Draw::ClientMask { .. } => Drawn::Fresh(seeded()),
                    Draw::Value { .. } | Draw::OneHot { .. } if corrected => {
                        at += draw.packed_len();
                        Drawn::Corrected(at - draw.packed_len())
                    }
                    Draw::Value { .. } | Draw::OneHot { .. } => Drawn::Seeded(seeded()),
                });
            }
            let all_draws = Draws { drawn: &drawn, corrections: &corrections, draws };
            let mut prepare = Prepare { role, weights, draws: all_draws, prepared: Vec::new() };
            node.gate.prepare(&mut prepare);
            for (draw, words) in prepare.prepared {
                drawn[draw] = Drawn::Words(words);
            }
            all.push(drawn);
            observer.staged(index);
        }
        Ok(Staged { id: self.id, corrections, drawn: all })
    }
}
