//! The server's matrices while they are folded: in floating point, joined with the plan by name.
//!
//! Everything that is linear and private is folded into them: every writer of the residual stream is centred
//! (`I - 1 1^T / d`), so that layer norms need no mean; a norm's gain and offset go into the matrices that read it.
//!
//! This runs at the server (and in the simulator) alone: it reads the weights in the clear.

use std::collections::BTreeMap;

use sotto_protocols::weights::Matrix;

use crate::{
    fixed::{ACTIVATION, WEIGHT},
    weights::{Linear, Norm},
};

/// Matrices by the names that the plan gives them.
pub type Named = BTreeMap<String, Matrix>;

/// A matrix and its bias rows in floating point, while they are folded.
pub struct Folded {
    pub(crate) outputs: usize,
    pub(crate) inputs: usize,
    pub(crate) w: Vec<f64>,
    /// One row, or one for each row of the input.
    pub(crate) bias: Vec<f64>,
}

impl Folded {
    pub(crate) fn new(l: &Linear<'_>) -> Self {
        let bias = match l.bias {
            Some(b) => b.iter().map(|&b| f64::from(b)).collect(),
            None => vec![0.0; l.outputs],
        };
        let w = l.w.iter().map(|&w| f64::from(w)).collect();
        Self { outputs: l.outputs, inputs: l.inputs, w, bias }
    }

    /// `diag(gain) x + offset` for a norm's residual copy.
    pub(crate) fn diagonal(norm: &Norm<'_>) -> Self {
        let d = norm.weight.len();
        let mut w = vec![0.0; d * d];
        for (i, &g) in norm.weight.iter().enumerate() {
            w[i * d + i] = f64::from(g);
        }
        let bias = norm.bias.iter().map(|&b| f64::from(b)).collect();
        Self { outputs: d, inputs: d, w, bias }
    }

    /// Reads `norm`'s output: `W (gain n + offset) + b`.
    pub(crate) fn after(mut self, norm: &Norm<'_>) -> Self {
        for (o, row) in self.w.chunks_exact_mut(self.inputs).enumerate() {
            for ((w, &g), &b) in row.iter_mut().zip(norm.weight).zip(norm.bias) {
                self.bias[o] += *w * f64::from(b);
                *w *= f64::from(g);
            }
        }
        self
    }

    /// `other (W x + b)`: both as one matrix.
    pub(crate) fn then(self, other: &Linear<'_>) -> Self {
        let mut product = Self::new(other);
        product.inputs = self.inputs;
        product.w = vec![0.0; product.outputs * self.inputs];
        let rows = product.w.chunks_exact_mut(self.inputs).zip(other.w.chunks_exact(self.outputs));
        for ((out, factors), bias) in rows.zip(&mut product.bias) {
            for (o, &f) in factors.iter().enumerate() {
                let f = f64::from(f);
                *bias += f * self.bias[o];
                let row = &self.w[o * self.inputs..(o + 1) * self.inputs];
                out.iter_mut().zip(row).for_each(|(out, w)| *out += f * w);
            }
        }
        product
    }

    /// The sum of both.
    pub(crate) fn plus(mut self, other: &Self) -> Self {
        self.w.iter_mut().zip(&other.w).for_each(|(a, b)| *a += b);
        self.bias.iter_mut().zip(&other.bias).for_each(|(a, b)| *a += b);
        self
    }

    /// Takes the mean over the outputs away.
    pub(crate) fn centred(mut self) -> Self {
        let d = self.outputs as f64;
        for i in 0..self.inputs {
            let mean = self.w.iter().skip(i).step_by(self.inputs).sum::<f64>() / d;
            let column = self.w.iter_mut().skip(i).step_by(self.inputs);
            column.for_each(|w| *w -= mean);
        }
        for row in self.bias.chunks_exact_mut(self.outputs) {
            let mean = row.iter().sum::<f64>() / d;
            row.iter_mut().for_each(|b| *b -= mean);
        }
        self
    }

    /// Scales output rows `from..to`, bias included.
    pub(crate) fn scale(&mut self, from: usize, to: usize, factor: f64) {
        let rows = &mut self.w[from * self.inputs..to * self.inputs];
        rows.iter_mut().for_each(|w| *w *= factor);
        self.bias[from..to].iter_mut().for_each(|b| *b *= factor);
    }

    /// The root of the mean sum of squares of outputs `from..to`, of inputs of variance 1.
    pub(crate) fn size(&self, from: usize, to: usize) -> f64 {
        let rows = &self.w[from * self.inputs..to * self.inputs];
        rows.iter().chain(&self.bias[from..to]).map(|w| w * w).sum::<f64>().sqrt()
    }

    /// Further output rows.
    pub(crate) fn stack(mut self, other: Self) -> Self {
        self.w.extend(other.w);
        self.bias.extend(other.bias);
        self.outputs += other.outputs;
        self
    }

    pub(crate) fn fixed(self) -> Matrix {
        self.fixed_at(WEIGHT)
    }

    /// With `scale` fractional bits.
    pub(crate) fn fixed_at(self, scale: u32) -> Matrix {
        let fix = |x: f64, scale: u32| (x * f64::from(scale).exp2()).round() as i64;
        let entries: Vec<u64> = self.w.iter().map(|&w| fix(w, scale) as u64).collect();
        let bias = self.bias.iter().map(|&b| fix(b, scale + ACTIVATION));
        Matrix::new(entries, bias.collect())
    }
}
