//! A batch of correlated randomness: as it arrives, and expanded for one evaluation.

use sotto_crypto::Seed;

use crate::{
    drawn::Drawn, error::Error, matrices::Weights, observer::Observer, plan::Plan, run::Prepare,
    seeds::Seeds, source::Source, spec::Role,
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

/// A batch that is ready for the first online byte. What a party's own streams hold is expanded gate by gate when it is
/// needed, which takes memory for a level, not for a batch. No `Debug`: it is secret. Freed, not wiped: that would take 10 ms
/// for the 50 MB of MPCViT's CIFAR model, of 120 for an image.
pub struct Staged {
    /// The dealer's number.
    pub id: u64,
    source: Source,
    /// By node; nothing before it is expanded, and after the node has run.
    drawn: Vec<Vec<Drawn>>,
}

impl Staged {
    /// The draws of a node that is reached, and all corrections.
    pub(crate) fn reach(&mut self, plan: &Plan, node: usize) -> (&mut [Drawn], &[u8]) {
        let drawn = &mut self.drawn[node];
        if drawn.is_empty() {
            *drawn = self.source.node(&plan.place(node));
        }
        (drawn, self.source.corrections())
    }

    /// Takes the draws of a node that is through.
    pub(crate) fn take(&mut self, node: usize) -> Vec<Drawn> {
        std::mem::take(&mut self.drawn[node])
    }
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

    /// Does the offline products; corrections stay packed as they came, the seed is expanded later.
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
        let Self { id, seed, corrections } = self;
        if let Some(found) = corrections.as_ref().map(Vec::len)
            && found != plan.correction_bytes()
        {
            let what = format!("{found} bytes for {}", plan.correction_bytes());
            return Err(Error::Correlation { batch: id, what });
        }
        let source = Source { role, seed, corrections };
        let mut drawn = Vec::with_capacity(plan.nodes.len());
        for (index, node) in plan.nodes.iter().enumerate() {
            let place = plan.place(index);
            let mut prepare = Prepare { role, weights, source: &source, place, drawn: Vec::new() };
            node.gate.prepare(&mut prepare);
            drawn.push(prepare.finish());
            observer.staged(index);
        }
        Ok(Staged { id, source, drawn })
    }
}
