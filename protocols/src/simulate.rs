//! The integer-exact simulator: the plan in the clear, integer for integer.
//!
//! It gives the private result bit for bit, but for two kinds of coins that the protocol itself
//! tosses: truncation rounds up or down as the shares' low bits fall, and a lookup's rounding depends
//! on the mask's low bits. [`Coins::Fair`] tosses them with the protocol's probabilities; the
//! tests replay the masks of a real batch and try both sides of each truncation, and then hold
//! the private result against it exactly.

pub use crate::simulation::{Coins, Simulation, reduce};
use crate::{matrices::Matrix, plan::Plan};

/// Runs the whole plan in the clear; returns the value of every wire.
///
/// # Panics
/// When the inputs are not of the plan's shape.
pub fn simulate(
    plan: &Plan,
    weights: &[Matrix],
    inputs: &[Vec<i64>],
    coins: &mut Coins,
) -> Vec<Vec<i64>> {
    let mut values: Vec<Vec<i64>> = vec![Vec::new(); plan.wires.len()];
    assert_eq!(inputs.len(), plan.inputs.len(), "number of inputs");
    for (w, x) in plan.inputs.iter().zip(inputs) {
        let spec = &plan.wires[w.index()];
        assert_eq!(x.len(), spec.count(), "input of shape {:?}", spec.shape);
        values[w.index()] = x.iter().map(|&x| reduce(spec, x)).collect();
    }
    for node in &plan.nodes {
        let inputs = node.inputs.iter().map(|w| &values[w.index()][..]).collect();
        let mut simulation = Simulation::new(inputs, coins, weights);
        node.gate.simulate(&mut simulation);
        let outputs = simulation.into_outputs();
        assert_eq!(outputs.len(), node.outputs.len(), "{}", node.gate.name());
        for (w, mut v) in node.outputs.iter().zip(outputs) {
            let spec = &plan.wires[w.index()];
            assert_eq!(v.len(), spec.count(), "{}", node.gate.name());
            v.iter_mut().for_each(|x| *x = reduce(spec, *x));
            values[w.index()] = v;
        }
    }
    values
}
