//! The contract of a gate: what it draws, exchanges, deals, runs and simulates.

use std::fmt::Debug;

use crate::{
    dealing::Dealing,
    encode::Encode,
    making::Making,
    run::{Prepare, Run},
    simulation::Simulation,
    spec::Spec,
};
pub use crate::{
    draw::Draw,
    exchange::{Exchange, To, Work},
};

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
    /// Two parties' side where there is no dealer: writes the steps that make the draws.
    fn make(&self, making: &mut Making<'_>) {
        making.refuse();
    }
    /// What a party computes from the correlations before the input is known.
    fn prepare(&self, _: &mut Prepare<'_>) {}
    /// A party's side.
    fn run(&self, round: usize, run: &mut Run<'_>);
    /// The same in the clear, integer for integer; the only freedom is truncation's coin.
    fn simulate(&self, simulation: &mut Simulation<'_>);
}
