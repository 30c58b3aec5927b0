//! Attention by a Gaussian kernel: row i gets `sum exp(-|q_i - q_j|^2 / (2 sqrt(dh))) v_j`. Queries are keys, so that a row counts
//! itself with 1, and nothing is divided by a sum. This is the kernel whole; SOFT's approximation by landmarks and its
//! convolution of the values are not here.
//!
//! Source: SOFT (arXiv 2110.11945), section 3.1, and its code (`subtraction_gaussian_kernel`, with queries that are divided by
//! dh^(1/4)), which has |q|^2 + |k|^2 - 2 q k for the square; here differences are squared, as
//! near rows of large numbers would lose their distance otherwise.
//!
//! Tolerance: normwise 2e-6 in f32, 1.5e-3 in f16, 8e-3 in bf16, for large numbers, too.
//!
//! Shapes: the operand is rows x (queries, values), each heads x dh wide; the result rows x (heads x dh), of which this kernel
//! writes its own heads' columns. On plain cores.

use super::{
    heads::{Heads, number},
    sweep::Sweep,
};
use crate::{
    host,
    kernel::{Code, Kernel, Language, Operand},
};

/// Heads of Gaussian attention.
#[derive(Clone, Debug)]
pub struct Gaussian {
    /// The heads, whose rows have no keys.
    pub of: Heads,
}

impl Gaussian {
    /// What a squared distance is multiplied by.
    fn scale(&self) -> f64 {
        0.5 / (self.of.dh as f64).sqrt()
    }
}

impl Kernel for Gaussian {
    fn name(&self) -> &'static str {
        "Gaussian attention"
    }

    fn operands(&self) -> Vec<Operand> {
        let read = 2 * self.of.written();
        vec![Operand { name: "qkv", numbers: 2 * self.of.output(), read, shared: false }]
    }

    fn output(&self) -> usize {
        self.of.output()
    }

    fn written(&self) -> usize {
        self.of.written()
    }

    fn operations(&self) -> u64 {
        // A difference more than a product has, in each column; a product and an exponential.
        self.of.operations(self.of.dh + 2, 0)
    }

    fn definition(&self, inputs: &[&[f64]], out: &mut [f64]) {
        let (n, heads, dh) = self.of.shape();
        let of = |row, which, head| &inputs[0][((row * 2 + which) * heads + head) * dh..][..dh];
        let weights = |head, row| {
            let weigh = |j| {
                let pairs = of(row, 0, head).iter().zip(of(j, 0, head));
                let square: f64 = pairs.map(|(a, b)| (a - b) * (a - b)).sum();
                (-self.scale() * square).exp()
            };
            (0..n).map(weigh).collect()
        };
        self.of.weigh(weights, |row, head| of(row, 1, head), out);
    }

    fn host(&self, inputs: &[&[f32]], out: &mut [f32]) {
        for &head in &self.of.mine {
            let scale = self.scale() as f32;
            host::heads::attend_by_distances(self.of.shape(), head, scale, inputs[0], out);
        }
    }

    fn code(&self, language: Language, batch: usize) -> Code {
        let sweep = Sweep {
            sweeps: 1,
            settles: false,
            keys: false,
            functions: number(language, "SCALE", self.scale() as f32),
            bodies: [include_str!("kernel.wgsl"), include_str!("kernel.cu")],
        };
        sweep.code(&self.of, language, batch)
    }
}
