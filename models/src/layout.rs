//! How the rows of several inputs lie in one tensor.

use std::ops::Range;

use sotto_protocols::{Wire, plan::Trace};

/// The number of rows of each input of an evaluation. Inputs of one length are an axis of their own; others lie one behind
/// the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    lengths: Vec<usize>,
}

impl Layout {
    /// Of inputs of these many rows.
    pub fn new(lengths: &[usize]) -> Self {
        Self { lengths: lengths.to_vec() }
    }

    /// Rows of each input.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// The common length, where there is one.
    pub fn length(&self) -> Option<usize> {
        let first = *self.lengths.first()?;
        self.lengths.iter().all(|&n| n == first).then_some(first)
    }

    /// The shape of a tensor of `width` numbers a row.
    pub fn shape(&self, width: usize) -> Vec<usize> {
        match self.length() {
            Some(length) => vec![self.lengths.len(), length, width],
            None => vec![self.lengths.iter().sum(), width],
        }
    }

    /// The rows of each input, where they lie one behind the other.
    pub fn rows(&self) -> Vec<Range<usize>> {
        let mut end = 0;
        let next = |&length: &usize| {
            end += length;
            end - length..end
        };
        self.lengths.iter().map(next).collect()
    }

    /// `f` on tensors `(inputs, rows, ..)` of one length each, and what it gives in the order of the inputs; rows of `f`'s
    /// result are those of its argument.
    pub fn by_length(
        &self,
        t: &mut Trace,
        x: Wire,
        mut f: impl FnMut(&mut Trace, Wire) -> Wire,
    ) -> Wire {
        if self.length().is_some() {
            return f(t, x);
        }
        let rows = self.rows();
        let mut lengths = self.lengths.clone();
        lengths.sort_unstable();
        lengths.dedup();
        let (mut parts, mut order) = (Vec::new(), Vec::new());
        for length in lengths {
            let own: Vec<Range<usize>> =
                rows.iter().filter(|r| r.len() == length).cloned().collect();
            let count = own.len();
            let own: Vec<usize> = own.into_iter().flatten().collect();
            let part = t.pick(x, 0, &own);
            let width = t.spec(part).shape[1];
            let part = t.reshape(part, &[count, length, width]);
            let part = f(t, part);
            let width = t.spec(part).shape[2];
            parts.push(t.reshape(part, &[own.len(), width]));
            order.extend(own);
        }
        let all = t.concat(0, &parts);
        let mut back = vec![0; order.len()];
        for (at, row) in order.into_iter().enumerate() {
            back[row] = at;
        }
        t.pick(all, 0, &back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_unlike_lengths_keep_their_order() {
        let layout = Layout::new(&[2, 3, 2, 1]);
        assert_eq!(layout.shape(5), [8, 5]);
        assert_eq!(layout.rows(), [0..2, 2..5, 5..7, 7..8]);
        assert_eq!(Layout::new(&[4, 4]).shape(5), [2, 4, 5]);
        let mut t = Trace::new();
        let x = t.input(&[8, 1], 20, 0);
        let mut seen = Vec::new();
        let y = layout.by_length(&mut t, x, |t, x| {
            seen.push(t.spec(x).shape.clone());
            t.shift_left(x, 1)
        });
        let y = t.reveal(y, 21);
        let plan = t.finish(&[y]);
        assert_eq!(seen, [vec![1, 1, 1], vec![2, 2, 1], vec![1, 3, 1]]);
        let mut bench = sotto_protocols::testing::Bench::new(1);
        let result = bench.run_shared(&plan, Vec::new(), &[(1..9).collect::<Vec<i64>>()]);
        assert_eq!(result.outputs[0], (1..9).map(|x| 2 * x).collect::<Vec<i64>>());
    }
}
