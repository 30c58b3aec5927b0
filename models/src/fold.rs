//! The server's fixed-point matrices: everything that is linear and private is folded into them.
//!
//! - Every writer of the residual stream is centred (`I - 1 1^T / d`), so that layer norms need no mean.
//! - A norm's gain and offset go into the matrices that read it; the second norm's output, which is the base
//!   of the MLP's residual in MPCViT's block, comes out of the same matrix as extra rows.
//! - `1 / sqrt(d)`, `log2 e` and linear attention's `1 / N` go into the query's rows, head by head.
//! - An MLP without an activation is one matrix, residual included: `W2 W1 + I`.
//! - The activation's stretch goes into the first MLP matrix.
//!
//! This runs at the server (and in the simulator) alone: it reads the weights in the clear.

use sotto_protocols::weights::Matrix;

use crate::{
    Arch, Weights,
    arch::Attention,
    format::{ACTIVATION, ActivationFormat, Format, WEIGHT, linear_scale},
    weights::{Linear, Norm},
};

/// A matrix and its bias rows in floating point, while they are folded.
struct Folded {
    outputs: usize,
    inputs: usize,
    w: Vec<f64>,
    /// One row, or one a token.
    bias: Vec<f64>,
}

impl Folded {
    fn new(l: &Linear<'_>) -> Self {
        let bias = match l.bias {
            Some(b) => b.iter().map(|&b| f64::from(b)).collect(),
            None => vec![0.0; l.outputs],
        };
        let w = l.w.iter().map(|&w| f64::from(w)).collect();
        Self { outputs: l.outputs, inputs: l.inputs, w, bias }
    }

    /// `diag(gain) x + offset` for a norm's residual copy.
    fn diagonal(norm: &Norm<'_>) -> Self {
        let d = norm.weight.len();
        let mut w = vec![0.0; d * d];
        for (i, &g) in norm.weight.iter().enumerate() {
            w[i * d + i] = f64::from(g);
        }
        let bias = norm.bias.iter().map(|&b| f64::from(b)).collect();
        Self { outputs: d, inputs: d, w, bias }
    }

    /// Reads `norm`'s output: `W (gain n + offset) + b`.
    fn after(mut self, norm: &Norm<'_>) -> Self {
        for (o, row) in self.w.chunks_exact_mut(self.inputs).enumerate() {
            for ((w, &g), &b) in row.iter_mut().zip(norm.weight).zip(norm.bias) {
                self.bias[o] += *w * f64::from(b);
                *w *= f64::from(g);
            }
        }
        self
    }

    /// `other (W x + b)`: both as one matrix.
    fn then(self, other: &Linear<'_>) -> Self {
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
    fn plus(mut self, other: &Self) -> Self {
        self.w.iter_mut().zip(&other.w).for_each(|(a, b)| *a += b);
        self.bias.iter_mut().zip(&other.bias).for_each(|(a, b)| *a += b);
        self
    }

    /// Takes the mean over the outputs away.
    fn centred(mut self) -> Self {
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
    fn scale(&mut self, from: usize, to: usize, factor: f64) {
        let rows = &mut self.w[from * self.inputs..to * self.inputs];
        rows.iter_mut().for_each(|w| *w *= factor);
        self.bias[from..to].iter_mut().for_each(|b| *b *= factor);
    }

    /// Further output rows.
    fn stack(mut self, other: Self) -> Self {
        self.w.extend(other.w);
        self.bias.extend(other.bias);
        self.outputs += other.outputs;
        self
    }

    fn fixed(self) -> Matrix {
        self.fixed_at(WEIGHT)
    }

    /// With `scale` fractional bits.
    fn fixed_at(self, scale: u32) -> Matrix {
        let fix = |x: f64, scale: u32| (x * f64::from(scale).exp2()).round() as i64;
        Matrix {
            entries: self.w.iter().map(|&w| fix(w, scale) as u64).collect(),
            bias: (self.bias.iter()).map(|&b| fix(b, scale + ACTIVATION)).collect(),
        }
    }
}

/// All matrices in the plan's order ([`crate::private`]).
pub fn fold(arch: &Arch, weights: &Weights, format: &Format) -> Vec<Matrix> {
    let mut all = vec![embedding(arch, weights).centred().fixed()];
    for (i, layer) in format.layers.iter().enumerate() {
        let block = weights.block(i);
        let mut qkv = Folded::new(&block.qkv).after(&block.norm1);
        for (h, kind) in arch.attention[i].iter().enumerate() {
            let d = arch.head_dim();
            let root = 1.0 / (d as f64).sqrt();
            let factor = match kind {
                Attention::Softmax => root * std::f64::consts::LOG2_E,
                Attention::Relu => root,
                Attention::Linear => linear_scale(arch).1,
            };
            qkv.scale(h * d, (h + 1) * d, factor);
        }
        all.push(qkv.fixed_at(layer.qkv_scale));
        all.push(Folded::new(&block.proj).centred().fixed());
        let mut fc1 = Folded::new(&block.fc1).after(&block.norm2);
        let residual = Folded::diagonal(&block.norm2);
        if layer.activation == ActivationFormat::None {
            all.push(fc1.then(&block.fc2).plus(&residual).centred().fixed());
            continue;
        }
        fc1.scale(0, arch.mlp, layer.activation.stretch());
        all.push(fc1.stack(residual.centred()).fixed());
        all.push(Folded::new(&block.fc2).centred().fixed());
    }
    let head = Folded::new(&weights.linear("head")).after(&weights.norm("norm"));
    all.push(head.fixed());
    all
}

/// The patch embedding with one bias row a token: the class token's row of the input is zero, its bias is the
/// class token; positions are added to every row.
fn embedding(arch: &Arch, weights: &Weights) -> Folded {
    let mut embed = Folded::new(&weights.linear("patch_embed"));
    let position = weights.values("pos_embed").chunks_exact(arch.dim);
    let class = weights.values("cls_token");
    let patch = std::mem::take(&mut embed.bias);
    for (token, position) in position.enumerate() {
        for (i, &p) in position.iter().enumerate() {
            let base = if token == 0 { f64::from(class[i]) } else { patch[i] };
            embed.bias.push(base + f64::from(p));
        }
    }
    embed
}
