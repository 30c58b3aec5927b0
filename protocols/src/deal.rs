//! The dealer: walks the plan, draws both parties' streams and writes the corrections.
//!
//! Security: what is done here reads shapes, widths and the dealer's own randomness; no input, weight or opened value.
//! But the dealer knows every mask: whoever sees a message of a party as well reads what it masks. So it must
//! not be run by a party (README, security model), and must not be let in as one: a dealer that poses as a client gets
//! `W - B`, and knows `B`. That it cannot is up to those who authenticate links.

pub use crate::{
    dealing::{Dealing, Known},
    seeds::Seeds,
};
use crate::{matrices::SetupMasks, observer::Observer, plan::Plan, spec::Wire};

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
