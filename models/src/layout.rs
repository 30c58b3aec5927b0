//! How the rows of several inputs lie in one tensor.

use std::ops::Range;

use sotto_protocols::{Wire, plan::Trace};

/// The number of rows of each input of an evaluation. Inputs of one length are an axis of their own; others lie one behind
/// the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    lengths: Vec<usize>,
    hidden: bool,
}

impl Layout {
    /// Of inputs of these many rows.
    pub fn new(lengths: &[usize]) -> Self {
        Self { lengths: lengths.to_vec(), hidden: false }
    }

    /// Of so many texts of hidden lengths, each of these many rows or fewer.
    pub fn hidden(bucket: usize, texts: usize) -> Self {
        Self { lengths: vec![bucket; texts], hidden: true }
    }

    /// Whether the client alone knows which rows are inputs' own.
    pub fn is_hidden(&self) -> bool {
        self.hidden
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

    /// The rows of `x` that `read` names of an input of so many rows, and how they lie.
    pub fn keep(
        &self,
        t: &mut Trace,
        x: Wire,
        read: impl Fn(usize) -> Vec<usize>,
    ) -> (Wire, Layout) {
        let counts: Vec<usize> = self.lengths.iter().map(|&n| read(n).len()).collect();
        let kept = Layout::new(&counts);
        let x = match self.length() {
            Some(length) => t.pick(x, 1, &read(length)),
            None => {
                let rows = self.rows().into_iter();
                let all = rows.flat_map(|r| read(r.len()).into_iter().map(move |i| r.start + i));
                let x = t.pick(x, 0, &all.collect::<Vec<usize>>());
                let width = t.spec(x).shape[1];
                // Rows of unlike inputs may be alike in number.
                if kept.length().is_some() { t.reshape(x, &kept.shape(width)) } else { x }
            }
        };
        (x, kept)
    }

    /// `f` on tensors `(inputs, rows, ..)` of one length each, and what it gives, which has `kept`'s rows of each input.
    pub fn by_length(
        &self,
        t: &mut Trace,
        x: Wire,
        kept: &Layout,
        mut f: impl FnMut(&mut Trace, Wire) -> Wire,
    ) -> Wire {
        if self.length().is_some() {
            return f(t, x);
        }
        let rows = self.rows();
        let mut lengths = self.lengths.clone();
        lengths.sort_unstable();
        lengths.dedup();
        // Where each input's rows are among the parts, one behind the other.
        let (mut parts, mut places, mut end) = (Vec::new(), vec![0..0; rows.len()], 0);
        for length in lengths {
            let inputs: Vec<usize> = (0..rows.len()).filter(|&i| rows[i].len() == length).collect();
            let own: Vec<usize> = inputs.iter().flat_map(|&i| rows[i].clone()).collect();
            let part = t.pick(x, 0, &own);
            let width = t.spec(part).shape[1];
            let part = t.reshape(part, &[inputs.len(), length, width]);
            let part = f(t, part);
            let [count, each, width] = t.spec(part).shape[..] else {
                panic!("a part of {:?}: (inputs, rows, width) is needed", t.spec(part).shape)
            };
            parts.push(t.reshape(part, &[count * each, width]));
            for input in inputs {
                places[input] = end..end + each;
                end += each;
            }
        }
        let all = t.concat(0, &parts);
        let back: Vec<usize> = places.into_iter().flatten().collect();
        let all = t.pick(all, 0, &back);
        let width = t.spec(all).shape[1];
        if kept.length().is_some() { t.reshape(all, &kept.shape(width)) } else { all }
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
        let y = layout.by_length(&mut t, x, &layout, |t, x| {
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
    #[test]
    fn rows_that_are_kept_are_each_input_s_own() {
        let layout = Layout::new(&[2, 3, 2]);
        let mut t = Trace::new();
        let x = t.input(&[7, 1], 20, 0);
        let (first, one) = layout.keep(&mut t, x, |_| vec![0]);
        assert_eq!((t.spec(first).shape.clone(), one.lengths()), (vec![3, 1, 1], &[1, 1, 1][..]));
        let (last, two) = layout.keep(&mut t, x, |rows| (1..rows).collect());
        assert_eq!((t.spec(last).shape.clone(), two.lengths()), (vec![4, 1], &[1, 2, 1][..]));
        let again = layout.by_length(&mut t, x, &one, |t, x| t.pick(x, 1, &[1]));
        let outputs = [first, last, again].map(|y| t.reveal(y, 20));
        let plan = t.finish(&outputs);
        let mut bench = sotto_protocols::testing::Bench::new(1);
        let result = bench.run_shared(&plan, Vec::new(), &[(1..8).collect::<Vec<i64>>()]);
        assert_eq!(result.outputs, [vec![1, 3, 6], vec![2, 4, 5, 7], vec![2, 4, 7]]);
    }
}
