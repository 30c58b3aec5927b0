//! The dealer: walks the plan, draws both parties' streams and writes the corrections.
//!
//! Security: what is done here reads shapes, widths and the dealer's own randomness; no input, weight or opened value.
//! But the dealer knows every mask: whoever sees a message of a party as well reads what it masks. So it must
//! not be run by a party (README, security model), and must not be let in as one: a dealer that poses as a client gets
//! `W - B`, and knows `B`. That it cannot is up to those who authenticate links.

use crate::{dealing::Check, matrices::SetupMasks, observer::Observer, plan::Plan, spec::Wire};
pub use crate::{
    dealing::{Dealing, Known},
    seeds::Seeds,
};

/// Deals one batch: calls `emit` with the correction bytes of each node, in order; none where a node needs none.
///
/// # Errors
/// Whatever `emit` returns; dealing stops there.
pub fn deal<E>(
    plan: &Plan,
    seeds: &Seeds,
    setup: &SetupMasks,
    mut emit: impl FnMut(Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    deal_observed(plan, seeds, setup, &mut emit, &mut ())
}

/// Like [`deal`] before somebody who watches.
///
/// # Errors
/// As [`deal`].
pub fn deal_observed<E>(
    plan: &Plan,
    seeds: &Seeds,
    setup: &SetupMasks,
    emit: &mut impl FnMut(Vec<u8>) -> Result<(), E>,
    observer: &mut dyn Observer,
) -> Result<(), E> {
    walk(plan, seeds, setup, None, emit, observer)
}

/// What two parties made without a dealer, to be checked by somebody who knows all secrets: a test.
#[derive(Clone, Copy)]
pub struct MadePair<'a> {
    /// The server's and the client's part of all draws.
    pub parts: [&'a [u8]; 2],
    /// What they rounded: the node, and the values.
    pub rounded: &'a [(usize, Vec<u64>)],
    /// Units of the last place that draws are off at most: node, draw, units. Others are exact.
    pub tolerances: &'a [(usize, usize, f64)],
}

/// Holds what two parties made from `seeds` against what dealing would give.
///
/// # Panics
/// Where they differ, naming node, draw and element.
pub fn check_made(
    plan: &Plan,
    seeds: &Seeds,
    setup: &SetupMasks,
    made: MadePair<'_>,
    observer: &mut dyn Observer,
) {
    let mut emit = |_: Vec<u8>| Ok::<(), std::convert::Infallible>(());
    let Ok(()) = walk(plan, seeds, setup, Some(made), &mut emit, observer);
}

fn walk<E>(
    plan: &Plan,
    seeds: &Seeds,
    setup: &SetupMasks,
    made: Option<MadePair<'_>>,
    emit: &mut impl FnMut(Vec<u8>) -> Result<(), E>,
    observer: &mut dyn Observer,
) -> Result<(), E> {
    let mut at = 0;
    let mut known: Vec<Known> = vec![Known::Nothing; plan.wires.len()];
    let mut last_reader = vec![0; plan.wires.len()];
    for (i, node) in plan.nodes.iter().enumerate() {
        for w in &node.inputs {
            last_reader[w.index()] = i;
        }
    }
    for (index, node) in plan.nodes.iter().enumerate() {
        let inputs = node.inputs.iter().map(|w| &known[w.index()]).collect();
        let mut dealing = Dealing::new(seeds, setup, (index, &plan.draws[index]), inputs);
        if let Some(MadePair { parts, rounded, tolerances }) = made {
            let end = at + plan.node_correction_bytes(index);
            let parts = parts.map(|part| &part[at..end]);
            let rounded = rounded.iter().find(|(node, _)| *node == index);
            let rounded = rounded.map_or(&[][..], |(_, values)| values);
            dealing = dealing.checking(Check { parts, rounded, tolerances });
            at = end;
        }
        node.gate.deal(&mut dealing);
        let (bytes, outputs) = dealing.finish();
        assert_eq!(outputs.len(), node.outputs.len(), "{}", node.gate.name());
        for (w, k) in node.outputs.iter().zip(outputs) {
            observer.knows(*w, &k);
            known[w.index()] = k;
        }
        free(&mut known, &node.inputs, &last_reader, index);
        emit(bytes)?;
    }
    Ok(())
}

fn free(known: &mut [Known], inputs: &[Wire], last_reader: &[usize], index: usize) {
    for w in inputs {
        if last_reader[w.index()] == index {
            known[w.index()] = Known::Nothing;
        }
    }
}
