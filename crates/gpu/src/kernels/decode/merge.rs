//! The partial results of a query's attention, put together.

use super::{Decode, LANES, Run};
use crate::kernel::{Code, Kernel, Language, Operand};

/// What puts the parts of a [`Decode`] together.
#[derive(Clone, Debug)]
pub struct Merge {
    /// What made them.
    pub(super) of: Decode,
}

impl Kernel for Merge {
    fn name(&self) -> &'static str {
        "merge"
    }

    fn operands(&self) -> Vec<Operand> {
        let (numbers, read) = (self.of.output(), self.of.written());
        vec![Operand { name: "parts", numbers, read, shared: false }]
    }

    fn output(&self) -> usize {
        self.of.heads * self.of.dh
    }

    fn operations(&self) -> u64 {
        // Of each run, the maximum, a difference, an exponential, a product and a sum, and a multiply-add of each number; of each
        // number of the result a quotient.
        (self.of.runs().len() * (5 + 2 * self.of.dh) + self.output()) as u64
    }

    fn definition(&self, inputs: &[&[f64]], out: &mut [f64]) {
        let dh = self.of.dh;
        for head in 0..self.of.heads {
            let runs = self.of.runs().into_iter().filter(|run| run.head == head);
            let runs =
                runs.map(|Run { part, .. }| &inputs[0][(part + head) * (dh + 2)..][..dh + 2]);
            let runs: Vec<&[f64]> = runs.collect();
            let top = runs.iter().map(|run| run[dh]).fold(f64::NEG_INFINITY, f64::max);
            let weights = runs.iter().map(|run| run[dh + 1] * (run[dh] - top).exp());
            let weights: Vec<f64> = weights.collect();
            for c in 0..dh {
                let sum: f64 = runs.iter().zip(&weights).map(|(run, p)| p * run[c]).sum();
                out[head * dh + c] = sum / weights.iter().sum::<f64>();
            }
        }
    }

    fn host(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let dh = self.of.dh;
        let (mut tops, mut sums) =
            (vec![f32::NEG_INFINITY; self.of.heads], vec![0.0f32; self.of.heads]);
        out.fill(0.0);
        for Run { part, head, .. } in self.of.runs() {
            let run = &inputs[0][(part + head) * (dh + 2)..][..dh + 2];
            let (top, sum) = (&mut tops[head], &mut sums[head]);
            let now = top.max(run[dh]);
            let (old, new) = ((*top - now).exp(), run[dh + 1] * (run[dh] - now).exp());
            (*top, *sum) = (now, *sum * old + new);
            let out = &mut out[head * dh..][..dh];
            out.iter_mut().zip(run).for_each(|(y, x)| *y = *y * old + new * x);
        }
        for (out, sum) in out.chunks_exact_mut(dh).zip(sums) {
            out.iter_mut().for_each(|y| *y /= sum);
        }
    }

    fn code(&self, language: Language, batch: usize) -> Code {
        let body = match language {
            Language::Wgsl => include_str!("merge.wgsl"),
            Language::Cuda(_) => include_str!("merge.cu"),
        };
        let (constants, groups) = (self.of.constants(), [1, self.of.heads, batch]);
        let functions = String::new();
        Code { constants, functions, bodies: vec![body], groups, threads: LANES, shared: 0 }
    }
}
