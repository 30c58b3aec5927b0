//! What private results are held against: the float model and the integer-exact simulator.

use std::collections::{BTreeMap, btree_map::Entry};

use sotto_crypto::Seed;
use sotto_models::{
    Private,
    float::{NoProbe, forward},
    length::Length,
    model::Output,
    private::{Lengths, Options},
};
use sotto_protocols::{
    plan::Plan,
    simulate::{Coins, simulate},
    weights::Matrix,
};

use super::{
    plaintext::{self, Plaintext},
    summary::{CLOSE, Compared},
};
use crate::{
    client::{Answer, Query, top},
    error::Error,
    infer::takes,
    inputs::Unread,
    model::Model,
};

/// The model in the clear, with the plan of each length that is asked for.
pub struct References {
    model: Model,
    plans: BTreeMap<Option<Length>, Private>,
    matrices: Vec<Matrix>,
}

impl References {
    /// Traces the plans of these lengths.
    ///
    /// # Errors
    /// Those of [`Card::trace`].
    pub fn new(
        model: Model,
        (batch, lengths): (usize, Lengths),
        asked: impl Iterator<Item = Option<Length>>,
    ) -> Result<Self, Error> {
        let card = model.card(batch, Options { lengths, ..Options::default() });
        let mut plans = BTreeMap::new();
        for length in asked {
            if let Entry::Vacant(entry) = plans.entry(length) {
                entry.insert(card.trace(length)?);
            }
        }
        // Plans of all lengths have the same matrices.
        let first = plans.values().next();
        let matrices = first.map(|private| private.matrices(&model.weights)).unwrap_or_default();
        Ok(Self { model, plans, matrices })
    }

    /// The plans, by the rows of their texts.
    pub fn plans(&self) -> impl Iterator<Item = (Option<u32>, &Plan)> {
        let rows = |length: &Option<Length>| length.map(|length| length.rows() as u32);
        self.plans.iter().map(move |(length, private)| (rows(length), &*private.plan))
    }

    /// Those that the model takes, and why it does not take the others: an input that is out of range stays with the client.
    ///
    /// # Errors
    /// As [`References::compare`].
    pub fn take(&self, queries: Vec<Query>) -> Result<(Vec<Query>, Vec<Unread>), Error> {
        let (mut taken, mut others) = (Vec::new(), Vec::new());
        for query in queries {
            match takes(&self.plans[&query.length()], self.model.lexicon.as_ref(), Ok(query))? {
                Ok(query) => taken.push(query),
                Err(unread) => others.push(unread),
            }
        }
        Ok((taken, others))
    }

    /// Up to a batch of one length beside what the client said of it.
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::Model`] for what is none of the model's.
    pub fn compare(&self, queries: &[Query], lines: &[Answer]) -> Result<Vec<Compared>, Error> {
        let Model { arch, weights, lexicon, .. } = &self.model;
        let inputs = queries.iter().map(|query| query.input(arch, lexicon.as_ref()));
        let mut inputs = inputs.collect::<Result<Vec<_>, Error>>()?;
        let float = |input: &Vec<f32>| forward(arch, weights, input, &mut NoProbe);
        let floats: Vec<Vec<f32>> = inputs.iter().map(float).collect();
        let private = &self.plans[&queries[0].length()];
        let own = private.fill(&mut inputs);
        let input = private.encode(&inputs);
        let mut coins = Coins::Fair(Box::new(Seed::from_bytes([5; 32]).stream(0)));
        let values = simulate(&private.plan, &self.matrices, &input, &mut coins);
        let simulated = private.decode_rows(&values[private.plan.outputs[0].index()], &own);
        let each = lines.iter().zip(floats.iter().zip(&simulated));
        Ok(each.map(|(line, (float, simulated))| self.one(line, float, simulated)).collect())
    }

    /// The pictures, or the longest texts, in the clear on each device of this machine; `private` are the seconds of a
    /// private one.
    ///
    /// # Errors
    /// [`Error::Config`]; those of [`References::compare`].
    pub fn plaintext(&self, queries: &[Query], private: f64) -> Result<Vec<Plaintext>, Error> {
        let Model { arch, weights, lexicon, .. } = &self.model;
        let Some(longest) = queries.iter().map(Query::words).max() else { return Ok(Vec::new()) };
        let same = queries.iter().filter(|query| query.words() == longest);
        let inputs = same.map(|query| query.input(arch, lexicon.as_ref()));
        plaintext::run(arch, weights, &inputs.collect::<Result<Vec<_>, Error>>()?, private)
    }

    fn one(&self, line: &Answer, float: &[f32], simulated: &[f64]) -> Compared {
        let float: Vec<f64> = float.iter().map(|&x| f64::from(x)).collect();
        let got = line.found.numbers();
        let errors: Vec<f64> = float.iter().zip(&got).map(|(a, b)| (a - b).abs()).collect();
        let classes = match &self.model.arch.output {
            Output::Embedding { .. } => None,
            output => Some(output.classes()),
        };
        // Where the classes of all words are the same, and by how much the simulated logit of a word's top-1 exceeds that of
        // the private one.
        let same = |other: &[f64], close: f64| match classes {
            Some(n) => got.chunks(n).zip(other.chunks(n)).all(|(a, b)| top(a) == top(b)),
            None => cosine(&got, other) >= close,
        };
        let gap =
            |(got, simulated): (&[f64], &[f64])| simulated[top(simulated)] - simulated[top(got)];
        let gaps = classes.map(|n| got.chunks(n).zip(simulated.chunks(n)).map(gap));
        let one = |of: &[f64]| line.found.class().map(|_| top(of));
        Compared {
            name: line.name.clone(),
            label: line.label,
            tokens: line.tokens,
            private: line.found.class(),
            plaintext: one(&float),
            simulator: one(simulated),
            like_plaintext: same(&float, CLOSE),
            like_simulator: same(simulated, rounded(cosine(simulated, &float))),
            simulator_gap: gaps.map(|gaps| gaps.fold(0.0, f64::max)),
            cosine: cosine(&got, &float),
            max_logit_error: errors.iter().copied().fold(0.0, f64::max),
            mean_logit_error: errors.iter().sum::<f64>() / errors.len().max(1) as f64,
        }
    }
}

/// Cosine of the angle between two rows.
fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f64::MIN_POSITIVE)
}

/// What cosine private and simulated rows have at least, from that of the simulated and the plain one. Both round at random,
/// each by itself: they lie as far from each other as rounding takes the simulated one from the plain one, once for each of
/// them, and as much again by chance.
fn rounded(simulated: f64) -> f64 {
    CLOSE.min(1.0 - 4.0 * (1.0 - simulated))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_rows_may_differ_from_simulated_ones_by_what_rounding_does() {
        assert_eq!(rounded(0.99999), CLOSE);
        // Two results that are each 0.99993 away from the plain one, in directions of their own.
        let off = (2.0f64 * (1.0 - 0.99993)).sqrt();
        let [plain, private, simulated] = [[1.0, 0.0, 0.0], [1.0, off, 0.0], [1.0, 0.0, off]];
        let limit = rounded(cosine(&simulated, &plain));
        assert!(cosine(&private, &simulated) < CLOSE && cosine(&private, &simulated) >= limit);
        // One that is wrong.
        assert!(cosine(&[1.0, 0.1, 0.0], &simulated) < limit);
    }
}
