//! Correlations without a dealer: two parties make every batch by themselves.
//!
//! A plan's [`Recipe`] follows from it alone ([`recipe`]); each party has a [`Maker`] walk it. What comes out is a
//! [`Batch`] as a dealer would have dealt it, with corrections at BOTH parties: each its own part of every draw. Masks come from the
//! batch's seed as ever, and the online phase is the same to the byte.
//!
//! Security: semi-honest parties; [`sotto_ot`] names the assumptions. No input is seen here. Every opened bit or word is padded
//! by a COT's output or by a share of a triple, which are used once; a run that fails burns its seed and its COTs.

mod cot;
mod maker;
mod matrices;
mod transfers;
mod triples;

use sotto_crypto::Seed;
use sotto_ot::softspoken::extension_bytes;

pub use self::{
    maker::{Made, MakeTurn, Maker},
    matrices::{Keys, Matrices, Met, encrypt_weights, weights_len},
    transfers::{Answered, Setup, Transfers},
};
pub use crate::making::{
    Effort, Piece,
    recipe::{Recipe, Supplied},
};
use crate::{
    batch::Batch,
    cost::Cost,
    error::Error,
    making::{Held, Made as Cut, Making, recipe::WAVE},
    plan::{Plan, Traffic},
    spec::Role,
};

/// The recipe of a plan, but for the correlations of matrices, which are supplied.
///
/// # Errors
/// [`Error::DealerOnly`] when one of its gates' correlations cannot be made without a dealer.
pub fn recipe(plan: &Plan) -> Result<Recipe, Error> {
    write(plan, WAVE, Recipe::default())
}

/// The recipe of a plan with the correlations of its matrices: its makers need [`Matrices`].
///
/// # Errors
/// As [`recipe`].
pub fn whole_recipe(plan: &Plan) -> Result<Recipe, Error> {
    in_waves(plan, WAVE)
}

/// [`whole_recipe`] in waves of so many COTs, or as many as its last node takes more: a party holds one wave's at a time. Bytes
/// stay, but for what is cut into waves; flights are those of all waves.
///
/// # Errors
/// As [`recipe`].
pub fn in_waves(plan: &Plan, cots: usize) -> Result<Recipe, Error> {
    write(plan, cots, Recipe { encrypts: true, ..Recipe::default() })
}

fn write(plan: &Plan, wave: usize, mut recipe: Recipe) -> Result<Recipe, Error> {
    let mut cut = Cut::default();
    let mut held = vec![Held::Nothing; plan.wires.len()];
    for (index, node) in plan.nodes.iter().enumerate() {
        let inputs = node.inputs.iter().map(|w| &held[w.index()]).collect();
        let place = (index, &plan.draws[index][..], recipe.bytes);
        let mut making = Making::new(&mut recipe, &mut cut, place, inputs);
        node.gate.make(&mut making);
        let outputs = making.finish().ok_or_else(|| Error::DealerOnly(node.gate.name().into()))?;
        assert_eq!(outputs.len(), node.outputs.len(), "{}", node.gate.name());
        for (w, h) in node.outputs.iter().zip(outputs) {
            held[w.index()] = h;
        }
        recipe.bytes += plan.node_correction_bytes(index);
        recipe.part(wave);
    }
    recipe.finish();
    Ok(recipe)
}

impl Recipe {
    /// Bytes that `from` sends in a level, with COTs of parameter `k`.
    pub fn message_bytes(&self, k: usize, level: usize, from: Role) -> usize {
        let extension = match self.level_cots(level, from) {
            0 => 0,
            cots => extension_bytes(k, cots),
        };
        extension + self.level_bytes(level, from)
    }

    /// The traffic that this recipe predicts, with COTs of parameter `k`.
    pub fn traffic(&self, k: usize) -> Traffic {
        let mut total = Traffic::default();
        for level in 0..self.depth() {
            let [server, client] =
                [Role::Server, Role::Client].map(|from| self.message_bytes(k, level, from) as u64);
            total.from_server += server;
            total.from_client += client;
            total.flights += u64::from(server + client > 0);
        }
        total
    }

    /// What this recipe and its plan predict, of correlations that two parties make with COTs of parameter `k`.
    pub fn cost(&self, plan: &Plan, k: usize) -> Cost {
        let Traffic { from_server, from_client, flights } = self.traffic(k);
        Cost {
            setup_bytes: [Role::Server, Role::Client]
                .map(|from| self.setup_bytes(from))
                .iter()
                .sum(),
            offline_bytes: from_server + from_client,
            offline_flights: flights,
            ..plan.cost()
        }
    }

    /// Whether one set of encrypted matrices serves both: recipes of one model's texts of two lengths.
    pub fn shares_matrices(&self, other: &Self) -> bool {
        let mut pairs = self.layers.iter().zip(&other.layers);
        self.layers.len() == other.layers.len()
            && pairs.all(|((a, i), (b, j))| i == j && a.shares(b))
    }

    /// Bytes that `from` sends once before the first batch: base transfers, keys, the server's encrypted matrices.
    pub fn setup_bytes(&self, from: Role) -> u64 {
        let keys = if self.encrypts { Keys::BYTES } else { 0 };
        let matrices = if from == Role::Server && self.encrypts { weights_len(self) } else { 0 };
        (Setup::BYTES.iter().sum::<usize>() + keys + matrices) as u64
    }
}

impl Made {
    /// The batch, with the parts of [`Recipe::supplied`] in their places: this party's, in that order, packed.
    ///
    /// # Errors
    /// [`Error::Correlation`] when they are not of the recipe's lengths.
    pub fn batch(
        mut self,
        id: u64,
        seed: Seed,
        recipe: &Recipe,
        supplied: &[Vec<u8>],
    ) -> Result<Batch, Error> {
        let found: Vec<usize> = supplied.iter().map(Vec::len).collect();
        let due: Vec<usize> = recipe.supplied.iter().map(|s| s.bytes).collect();
        if found != due {
            let what = format!("parts of {found:?} bytes are supplied, {due:?} are due");
            return Err(Error::Correlation { batch: id, what });
        }
        for (place, bytes) in recipe.supplied.iter().zip(supplied) {
            self.corrections[place.at..place.at + place.bytes].copy_from_slice(bytes);
        }
        Ok(Batch { id, seed, corrections: Some(self.corrections) })
    }
}

#[cfg(test)]
mod tests;
