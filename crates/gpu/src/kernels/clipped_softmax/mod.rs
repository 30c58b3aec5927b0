//! Clipped softmax: `clip((eta - gamma) softmax(q K^T / sqrt(dh)) + gamma, 0, 1) V`, with `gamma <= 0` and `eta >= 1`, so that a
//! weight can be exactly 0 or 1 at finite scores. Weights are not divided by their sum again. With `eta = 1` and
//! `gamma = -alpha / N`, what is below about `alpha` N-ths of a row counts nothing.
//!
//! Source: Quantizable Transformers (arXiv 2306.12929), section 4.1, and its code (`softmax.py`; its examples have gamma -0.025 at
//! 128 rows, or alpha 12).
//!
//! Tolerance: normwise 2e-6 in f32, 1.5e-3 in f16, 8e-3 in bf16; in f32 1e-4 where scores are hundreds, which f32 rounds, and 1e-5
//! where little is left of most weights, which is a difference.
//!
//! Shapes: as [`Attention`](super::Attention). Keys and values are gone through twice, on plain cores.

use super::{
    heads::{Heads, dot, number, of_heads, part},
    sweep::Sweep,
};
use crate::{
    host,
    kernel::{Code, Kernel, Language},
};

/// Heads of clipped softmax.
#[derive(Clone, Debug)]
pub struct ClippedSoftmax {
    /// The heads.
    pub of: Heads,
    /// What a weight of 0 becomes before it is clipped.
    pub gamma: f32,
    /// What a weight of 1 becomes before it is clipped.
    pub eta: f32,
}

impl Kernel for ClippedSoftmax {
    fn name(&self) -> &'static str {
        "clipped softmax"
    }

    of_heads!();

    fn operations(&self) -> u64 {
        // Maximum, difference, exponential, sum, quotient; product, sum and two comparisons. A row's queries are scaled.
        self.of.operations(9, self.of.dh)
    }

    fn definition(&self, inputs: &[&[f64]], out: &mut [f64]) {
        let (n, heads, dh) = self.of.shape();
        let of = |row, which, head| part(inputs[0], heads, dh, row, which, head);
        let (gamma, eta) = (f64::from(self.gamma), f64::from(self.eta));
        let weights = |head, row| {
            let scores = (0..n).map(|j| dot(of(row, 0, head), of(j, 1, head)) / (dh as f64).sqrt());
            let scores: Vec<f64> = scores.collect();
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|s| (s - top).exp()).sum();
            let clip = |s: &f64| ((eta - gamma) * (s - top).exp() / sum + gamma).clamp(0.0, 1.0);
            scores.iter().map(clip).collect()
        };
        self.of.weigh(weights, |row, head| of(row, 2, head), out);
    }

    fn host(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let (gamma, stretch) = (self.gamma, self.eta - self.gamma);
        for &head in &self.of.mine {
            host::heads::attend(self.of.shape(), head, inputs[0], out, |row| {
                let sum = host::heads::exponentials(row);
                row.iter_mut().for_each(|p| *p = (stretch * (*p / sum) + gamma).clamp(0.0, 1.0));
                1.0
            });
        }
    }

    fn code(&self, language: Language, batch: usize) -> Code {
        let of = |name, value| number(language, name, value);
        let sweep = Sweep {
            sweeps: 2,
            settles: false,
            keys: true,
            functions: of("SCALE", 1.0 / (self.of.dh as f32).sqrt())
                + &of("STRETCH", self.eta - self.gamma)
                + &of("GAMMA", self.gamma),
            bodies: [include_str!("kernel.wgsl"), include_str!("kernel.cu")],
        };
        sweep.code(&self.of, language, batch)
    }
}
