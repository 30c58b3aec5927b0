//! Hidden channels of unlike range: the owner sorts them, so that each group has a window of its own.
//!
//! A few channels of real MLPs reach ten times as far as the others, and a window for all pays for theirs in every channel.
//! The order of an MLP's hidden channels is free: the rows of its first matrix and the columns of its second one move
//! together. So what is public is how many channels a group has, not which.

use crate::{
    Model, Weights,
    calibration::Group,
    layer::activation::pieces,
    probe::{Probe, Tensor},
    range::Range,
};

/// Most groups of a layer. Each is a gate more, and they share their flights.
const GROUPS: usize = 4;

/// The range of each layer's hidden channels.
pub(crate) struct Channels(Vec<Vec<Range>>);

impl Channels {
    /// None seen yet.
    pub(crate) fn new(model: &Model) -> Self {
        Self(vec![vec![Range::EMPTY; model.stack.hidden]; model.stack.layers])
    }
}

impl Probe for Channels {
    fn see(&mut self, layer: usize, tensor: Tensor, values: &[f32]) {
        if tensor != Tensor::Hidden {
            return;
        }
        let ranges = &mut self.0[layer];
        for row in values.chunks_exact(ranges.len()) {
            for (range, &x) in ranges.iter_mut().zip(row) {
                *range = range.with(x);
            }
        }
    }
}

impl Channels {
    /// The ranges of a layer's channels in groups of as many as these.
    pub(crate) fn grouped(&self, layer: usize, groups: &[Group]) -> Vec<Group> {
        let mut rest = self.0[layer].iter();
        let of = |group: &Group| {
            let own = rest.by_ref().take(group.channels);
            Group { range: own.copied().fold(Range::EMPTY, Range::and), ..*group }
        };
        groups.iter().map(of).collect()
    }

    /// The same model with each MLP's hidden channels in the order of these ranges, and the groups of each layer for
    /// [`Calibration::groups`](crate::Calibration::groups); none where a layer's channels are all alike.
    pub(crate) fn sorted(&self, model: &Model, weights: &Weights) -> (Weights, Vec<Vec<Group>>) {
        let (layers, d, hidden) = (model.stack.layers, model.stack.width, model.stack.hidden);
        let mut sorted = weights.clone();
        let mut groups = vec![Vec::new(); layers];
        for own in model.owners() {
            let size = |c: usize| own.iter().map(|&l| self.0[l][c].size()).fold(0.0, f64::max);
            let mut order: Vec<usize> = (0..hidden).collect();
            order.sort_by(|&a, &b| size(a).total_cmp(&size(b)));
            let block = model.block(own[0]);
            let name = |part: &str| format!("{block}.mlp.{part}");
            let moved = |values: &[f32], width: usize| -> Vec<f32> {
                order.iter().flat_map(|&c| &values[c * width..(c + 1) * width]).copied().collect()
            };
            let first = moved(weights.values(&name("fc1.weight")), d);
            sorted.values_mut(&name("fc1.weight")).copy_from_slice(&first);
            let bias = moved(weights.values(&name("fc1.bias")), 1);
            sorted.values_mut(&name("fc1.bias")).copy_from_slice(&bias);
            for row in sorted.values_mut(&name("fc2.weight")).chunks_exact_mut(hidden) {
                let moved = moved(row, 1);
                row.copy_from_slice(&moved);
            }
            // By the ranges that a format reads: a group whose own is rounded beyond its table's would pay for the next wider one.
            let range = |c: usize| own.iter().map(|&l| self.0[l][c]).fold(Range::EMPTY, Range::and);
            let counts = counts(&order.iter().map(|&c| pieces(range(c))).collect::<Vec<u32>>());
            for layer in own {
                let mut rest = &order[..];
                for &channels_in in &counts {
                    let (group, others) = rest.split_at(channels_in);
                    rest = others;
                    let ranges = group.iter().map(|&c| self.0[layer][c]);
                    let range = ranges.fold(Range::EMPTY, Range::and);
                    groups[layer].push(Group { channels: channels_in, range });
                }
            }
        }
        if groups.iter().all(|groups| groups.len() == 1) {
            // One range for all says as much, and the order stays as it is.
            return (weights.clone(), Vec::new());
        }
        (sorted, groups)
    }
}

/// How many channels each group has, of channels whose tables have these pieces, in ascending order: the smallest group
/// joins the next wider one until few are left.
fn counts(pieces: &[u32]) -> Vec<usize> {
    let mut groups: Vec<usize> = pieces.chunk_by(|a, b| a == b).map(<[u32]>::len).collect();
    while groups.len() > GROUPS {
        let least = (0..groups.len() - 1).min_by_key(|&i| groups[i]).expect("several are left");
        groups[least + 1] += groups[least];
        groups.remove(least);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_groups_join_wider_ones() {
        assert_eq!(counts(&[7, 7, 7]), [3]);
        assert_eq!(counts(&[5, 6, 6, 7, 7, 7, 8]), [1, 2, 3, 1]);
        // The first group has one channel, then the last but one.
        assert_eq!(counts(&[5, 6, 6, 7, 7, 7, 8, 8, 9, 10]), [3, 3, 2, 2]);
    }
}
