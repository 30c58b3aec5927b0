//! Softmax heads of unlike range: the owner sorts them, so that each group has a format of its own.
//!
//! One head of real models may reach scores ten times as large as the others, and its window, thresholds and tables would be paid for
//! in every head. The order of heads is free: their rows of queries, keys and values and their columns of the projection move
//! together. So what is public is how many heads a group has, not which.

use crate::{
    Model, Weights,
    calibration::HeadGroup,
    kind::Attention,
    layer::attention::bits_a_score,
    probe::{HeadPart, Probe, Tensor},
};

/// Most groups of a layer. Each is a dozen gates more, and they share their flights.
const GROUPS: usize = 3;

/// What a further group has to save at least, in parts of all.
const WORTH: f64 = 0.03;

/// The ranges of each layer's softmax heads.
pub(crate) struct Heads {
    layers: Vec<Vec<HeadGroup>>,
    /// How many heads' scores were seen.
    seen: Vec<usize>,
}

fn softmax(model: &Model, layer: usize) -> Vec<usize> {
    let kinds = model.stack.attention[layer].iter().enumerate();
    kinds.filter(|(_, kind)| **kind == Attention::Softmax).map(|(head, _)| head).collect()
}

impl Heads {
    /// None seen yet.
    pub(crate) fn new(model: &Model) -> Self {
        let layers = 0..model.stack.layers;
        let heads = |layer| vec![HeadGroup::EMPTY; softmax(model, layer).len()];
        Self { seen: vec![0; layers.len()], layers: layers.map(heads).collect() }
    }
}

impl Probe for Heads {
    fn see(&mut self, layer: usize, tensor: Tensor, values: &[f32]) {
        let Tensor::Head(Attention::Softmax, part) = tensor else { return };
        // Each head is seen in its turn, its scores first.
        self.seen[layer] += usize::from(part == HeadPart::Scores);
        let heads = &mut self.layers[layer];
        let turn = (self.seen[layer] - 1) % heads.len();
        if let Some(range) = heads[turn].range_mut(part) {
            *range = values.iter().fold(*range, |range, &x| range.with(x));
        }
    }
}

impl Heads {
    /// The ranges of a layer's heads in groups of as many as these.
    pub(crate) fn grouped(&self, layer: usize, groups: &[HeadGroup]) -> Vec<HeadGroup> {
        let mut end = 0;
        let of = |group: &HeadGroup| {
            let from = end;
            end += group.heads;
            self.joined(layer, &(from..end).collect::<Vec<usize>>())
        };
        groups.iter().map(of).collect()
    }

    /// The same model with each layer's softmax heads sorted by what a score of theirs costs, and the groups of each layer for
    /// [`Calibration::heads`](crate::Calibration::heads); none where all heads of each layer are alike.
    pub(crate) fn sorted(&self, model: &Model, weights: Weights) -> (Weights, Vec<Vec<HeadGroup>>) {
        let (mut sorted, mut groups) = (weights.clone(), vec![Vec::new(); model.stack.layers]);
        for own in model.owners() {
            let places = softmax(model, own[0]);
            if own.iter().any(|&l| softmax(model, l) != places) {
                // Layers that share their weights and not their kinds: heads stay where they are.
                for layer in own {
                    let all: Vec<usize> = (0..self.layers[layer].len()).collect();
                    groups[layer].extend((!all.is_empty()).then(|| self.joined(layer, &all)));
                }
                continue;
            }
            let cost = |heads: &[usize]| -> f64 {
                let of = |&l: &usize| bits_a_score(model, l, &self.joined(l, heads));
                heads.len() as f64 * own.iter().map(of).sum::<f64>()
            };
            let mut order: Vec<usize> = (0..places.len()).collect();
            order.sort_by(|&a, &b| cost(&[a]).total_cmp(&cost(&[b])));
            let counts = counts(&order, cost);
            for &layer in &own {
                let mut rest = &order[..];
                for &count in counts.iter().filter(|&&count| count > 0) {
                    let (group, others) = rest.split_at(count);
                    groups[layer].push(self.joined(layer, group));
                    rest = others;
                }
            }
            move_heads(model, own[0], (&places, &order), &mut sorted);
        }
        match groups.iter().all(|groups| groups.len() <= 1) {
            // One range for all says as much, and the order stays as it is.
            true => (weights, Vec::new()),
            false => (sorted, groups),
        }
    }

    fn joined(&self, layer: usize, heads: &[usize]) -> HeadGroup {
        let all = heads.iter().map(|&h| self.layers[layer][h]);
        HeadGroup { heads: heads.len(), ..all.fold(HeadGroup::EMPTY, |a, b| a.and(&b)) }
    }
}

/// How many heads each group has, of heads in `order`: the cheapest, a further group only where it saves [`WORTH`].
fn counts(order: &[usize], cost: impl Fn(&[usize]) -> f64) -> Vec<usize> {
    let n = order.len();
    // `best[g][i]`: the first i heads in g + 1 groups, and where the last one begins.
    let mut best = vec![(0..=n).map(|i| (cost(&order[..i]), 0)).collect::<Vec<(f64, usize)>>()];
    for g in 1..GROUPS.min(n) {
        let cheapest = |i: usize| {
            let cut = |from: usize| (best[g - 1][from].0 + cost(&order[from..i]), from);
            (g..i).map(cut).min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((f64::INFINITY, 0))
        };
        let next = (0..=n).map(cheapest).collect();
        best.push(next);
    }
    let mut groups = 0;
    for g in 1..best.len() {
        if best[g][n].0 < (1.0 - WORTH) * best[groups][n].0 {
            groups = g;
        }
    }
    let (mut end, mut counts) = (n, Vec::new());
    for g in (0..=groups).rev() {
        let from = best[g][end].1;
        counts.push(end - from);
        end = from;
    }
    counts.reverse();
    counts
}

/// Moves head `places[order[i]]` to `places[i]`.
fn move_heads(
    model: &Model,
    layer: usize,
    (places, order): (&[usize], &[usize]),
    weights: &mut Weights,
) {
    let (d, dh, block) = (model.stack.width, model.stack.head_dim(), model.block(layer));
    let mut from: Vec<usize> = (0..model.stack.heads).collect();
    for (&place, &head) in places.iter().zip(order) {
        from[place] = places[head];
    }
    // Of a list of heads, each of `size` numbers.
    let moved = |values: &mut [f32], size: usize| {
        let old = values.to_vec();
        for (new, &head) in values.chunks_exact_mut(size).zip(&from) {
            new.copy_from_slice(&old[head * size..(head + 1) * size]);
        }
    };
    for third in weights.values_mut(&format!("{block}.attn.qkv.weight")).chunks_exact_mut(d * d) {
        moved(third, dh * d);
    }
    if model.stack.qkv_bias {
        for third in weights.values_mut(&format!("{block}.attn.qkv.bias")).chunks_exact_mut(d) {
            moved(third, dh);
        }
    }
    for row in weights.values_mut(&format!("{block}.attn.proj.weight")).chunks_exact_mut(d) {
        moved(row, dh);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_the_cheapest_and_few() {
        // A group costs as much as its dearest head in each of its heads.
        let grouped = |costs: &[f64]| {
            let order: Vec<usize> = (0..costs.len()).collect();
            let cost = |heads: &[usize]| {
                heads.len() as f64 * heads.iter().map(|&h| costs[h]).fold(0.0, f64::max)
            };
            counts(&order, cost)
        };
        assert_eq!(grouped(&[1.0; 5]), [5]);
        assert_eq!(grouped(&[1.0, 1.0, 1.0, 50.0]), [3, 1]);
        assert_eq!(grouped(&[1.0, 1.0, 9.0, 9.0, 50.0]), [2, 2, 1]);
        assert_eq!(grouped(&[1.0, 2.0, 4.0, 10.0, 100.0, 101.0]), [3, 1, 2]);
        assert_eq!(grouped(&[10.0, 10.1, 10.2]), [3], "not worth a group");
        assert_eq!(grouped(&[7.0]), [1]);
        assert_eq!(grouped(&[]), [0]);
    }
}
