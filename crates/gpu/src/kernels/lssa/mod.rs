//! Length scaled softplus attention: `A V / sum A` by rows, `A = softplus(log(dh) log(N) q k^T)`, where queries and keys have
//! length 1 and each row has N keys. The paper's models are causal, where row i has i keys; here all rows have all.
//! A row of zeros, which has no direction, stays zeros (lengths are 1e-12 at least, as PyTorch's `normalize` has it). Its second
//! stage, a re-weighting by powers (LSSAR), is not here.
//!
//! Source: Softplus Attention with Re-weighting (arXiv 2501.13428), the first stage: unit rows, the scale, softplus, division
//! by the sum.
//!
//! Tolerance: normwise 2e-6 in f32, 1.5e-3 in f16, 8e-3 in bf16, whatever the size of queries and keys.
//!
//! Shapes: as [`Attention`](super::Attention). On plain cores.

use super::{
    heads::{Heads, dot, number, of_heads, part},
    sweep::Sweep,
};
use crate::{
    host,
    kernel::{Code, Kernel, Language},
};

/// Heads of length scaled softplus attention.
#[derive(Clone, Debug)]
pub struct Lssa {
    /// The heads.
    pub of: Heads,
}

impl Lssa {
    /// What a score is the cosine times.
    fn scale(&self) -> f64 {
        (self.of.dh as f64).ln() * (self.of.rows as f64).ln()
    }
}

impl Kernel for Lssa {
    fn name(&self) -> &'static str {
        "LSSA"
    }

    of_heads!();

    fn operations(&self) -> u64 {
        // Exponential, logarithm, two sums and the row's. A row's query and key: a square, a sum and a product each number, a
        // root and a quotient; a quotient of each number of the result.
        self.of.operations(5, 7 * self.of.dh + 4)
    }

    fn definition(&self, inputs: &[&[f64]], out: &mut [f64]) {
        let (n, heads, dh) = self.of.shape();
        let of = |row, which, head| part(inputs[0], heads, dh, row, which, head);
        let length = |x: &[f64]| dot(x, x).sqrt().max(1e-12);
        let weights = |head, row| {
            let q = of(row, 0, head);
            let weigh = |j| {
                let k = of(j, 1, head);
                let s: f64 = self.scale() * dot(q, k) / (length(q) * length(k));
                s.max(0.0) + (-s.abs()).exp().ln_1p()
            };
            let all: Vec<f64> = (0..n).map(weigh).collect();
            let sum: f64 = all.iter().sum();
            all.iter().map(|p| p / sum).collect()
        };
        self.of.weigh(weights, |row, head| of(row, 2, head), out);
    }

    fn host(&self, inputs: &[&[f32]], out: &mut [f32]) {
        for &head in &self.of.mine {
            let scale = self.scale() as f32;
            host::heads::attend_by_cosines(self.of.shape(), head, scale, inputs[0], out, |row| {
                row.iter_mut().for_each(|s| *s = s.max(0.0) + (-s.abs()).exp().ln_1p());
                host::sum(|j| row[j], row.len())
            });
        }
    }

    fn code(&self, language: Language, batch: usize) -> Code {
        let sweep = Sweep {
            sweeps: 1,
            settles: true,
            keys: true,
            functions: number(language, "SCALE", self.scale() as f32),
            bodies: [include_str!("kernel.wgsl"), include_str!("kernel.cu")],
        };
        sweep.code(&self.of, language, batch)
    }
}
