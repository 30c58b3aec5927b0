//! The plaintext float32 reference of the whole model: what the protocols are held against.
//!
//! The block is MPCViT's, which is not plain pre-norm: the second layer norm's output, not its
//! input, is the base of the MLP's residual.
//!
//! ```text
//! x = x + attention(norm1(x))
//! x = norm2(x)
//! x = x + fc2(activation(fc1(x)))
//! ```

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, s};

use crate::arch::Attention;
use crate::images::patches;
use crate::weights::{Linear, Norm};
use crate::{Arch, Weights};

/// Added to the variance in every layer norm.
pub const NORM_EPS: f32 = 1e-5;
/// Added to the sum of a row of relu(S) in ReLU attention, like one more token that scores 1 and has no value.
///
/// MPCViT's release adds 1e-5, against a division by zero alone. There the smallest sums, of rows with hardly a
/// positive score, are scaled up without bound, and with them the rounding of any fixed-point arithmetic.
pub const RELU_EPS: f32 = 1.0;

/// Something that looks at every intermediate of a forward pass, such as a range recorder.
pub trait Probe {
    /// Called once for each intermediate, row-major, in the order of the computation.
    ///
    /// `name` is one of [`NAMES`]. What precedes the first layer counts to layer 0, what follows
    /// the last to layer `arch.layers`.
    fn see(&mut self, layer: usize, name: &'static str, values: &[f32]);

    /// Called before the intermediates of one head, whose names begin with `attn.head.`.
    fn head(&mut self, _layer: usize, _head: usize, _kind: Attention) {}
}

/// The probe that does not look.
pub struct NoProbe;

impl Probe for NoProbe {
    fn see(&mut self, _layer: usize, _name: &'static str, _values: &[f32]) {}
}

/// Every intermediate that a [`Probe`] sees, with N tokens of width d in heads of width dh.
///
/// | name | what | shape |
/// |--|--|--|
/// | `patches` | the input, one patch a row | N-1, channels patch^2 |
/// | `embed` | patches embedded, class token and positions added | N d |
/// | `ln1.centred`, `ln2.centred` | x - mean x | N d |
/// | `ln1.var`, `ln2.var` | variance, without the epsilon | N |
/// | `ln1.out`, `ln2.out` | after gain and offset | N d |
/// | `q`, `k`, `v` | of all heads, unscaled | N d |
/// | `attn.head.scores` | S = Q K^T / sqrt dh; not for linear heads with dh < N | N N |
/// | `attn.head.kv` | K^T V, unscaled; only for linear heads with dh < N | dh dh |
/// | `attn.head.row_max` | largest score of each row; only softmax | N |
/// | `attn.head.row_sum` | of exp(S - row max), or of relu(S) without the epsilon | N |
/// | `attn.head.unnormalised` | exp(S - row max) V, relu(S) V or S V | N dh |
/// | `attn.out` | of all heads, normalised | N d |
/// | `proj.out` | projection of that | N d |
/// | `residual1` | plus the block's input | N d |
/// | `fc1.out` | first product of the MLP | N mlp |
/// | `act.out` | after the activation | N mlp |
/// | `fc2.out` | second product of the MLP | N d |
/// | `residual2` | plus `ln2.out` | N d |
/// | `norm.centred`, `norm.var`, `norm.out` | final norm, class token only | d, 1, d |
/// | `logits` | the result | classes |
pub const NAMES: [&str; 27] = [
    "patches",
    "embed",
    "ln1.centred",
    "ln1.var",
    "ln1.out",
    "q",
    "k",
    "v",
    "attn.head.scores",
    "attn.head.kv",
    "attn.head.row_max",
    "attn.head.row_sum",
    "attn.head.unnormalised",
    "attn.out",
    "proj.out",
    "residual1",
    "ln2.centred",
    "ln2.var",
    "ln2.out",
    "fc1.out",
    "act.out",
    "fc2.out",
    "residual2",
    "norm.centred",
    "norm.var",
    "norm.out",
    "logits",
];

/// The logits of one picture, given as planes and normalised (see [`crate::images::normalise`]).
///
/// # Panics
/// Where `image` or `weights` do not have the architecture's shapes.
pub fn forward(arch: &Arch, weights: &Weights, image: &[f32], probe: &mut dyn Probe) -> Vec<f32> {
    let mut x = embed(arch, weights, image, probe);
    for layer in 0..arch.layers {
        let block = weights.block(layer);
        let names = ["ln1.centred", "ln1.var", "ln1.out"];
        let h = layer_norm(&x, block.norm1, layer, names, probe);
        let h = attention(arch, layer, &linear(&h, block.qkv), probe);
        let h = linear(&h, block.proj);
        probe.see(layer, "proj.out", flat(&h));
        x += &h;
        probe.see(layer, "residual1", flat(&x));

        let names = ["ln2.centred", "ln2.var", "ln2.out"];
        x = layer_norm(&x, block.norm2, layer, names, probe);
        let mut h = linear(&x, block.fc1);
        probe.see(layer, "fc1.out", flat(&h));
        let activation = arch.activation[layer];
        h.mapv_inplace(|x| activation.at(x));
        probe.see(layer, "act.out", flat(&h));
        let h = linear(&h, block.fc2);
        probe.see(layer, "fc2.out", flat(&h));
        x += &h;
        probe.see(layer, "residual2", flat(&x));
    }
    let names = ["norm.centred", "norm.var", "norm.out"];
    let class_token = x.slice(s![..1, ..]).to_owned();
    let h = layer_norm(&class_token, weights.norm("norm"), arch.layers, names, probe);
    let logits = linear(&h, weights.linear("head"));
    probe.see(arch.layers, "logits", flat(&logits));
    logits.into_iter().collect()
}

fn embed(arch: &Arch, weights: &Weights, image: &[f32], probe: &mut dyn Probe) -> Array2<f32> {
    let (tokens, d) = (arch.tokens(), arch.dim);
    let cut = patches(arch, image);
    probe.see(0, "patches", &cut);
    let cut = view(&cut, tokens - 1, arch.patch_dim());
    let mut x = view(weights.values("pos_embed"), tokens, d).to_owned();
    let mut class_token = x.row_mut(0);
    class_token += &view(weights.values("cls_token"), 1, d).row(0);
    let mut rest = x.slice_mut(s![1.., ..]);
    rest += &affine(cut, weights.linear("patch_embed"));
    probe.see(0, "embed", flat(&x));
    x
}

/// Gain times (x - mean) / sqrt(variance + epsilon) plus offset, over each row.
fn layer_norm(
    x: &Array2<f32>,
    norm: Norm<'_>,
    layer: usize,
    [centred, var, out]: [&'static str; 3],
    probe: &mut dyn Probe,
) -> Array2<f32> {
    let d = x.ncols() as f32;
    let mut h = x.clone();
    let mut vars = Vec::with_capacity(h.nrows());
    for mut row in h.rows_mut() {
        let mean = row.sum() / d;
        row -= mean;
        vars.push(row.dot(&row) / d);
    }
    probe.see(layer, centred, flat(&h));
    probe.see(layer, var, &vars);
    for (mut row, var) in h.rows_mut().into_iter().zip(&vars) {
        let inverse = 1.0 / (var + NORM_EPS).sqrt();
        for ((x, gain), offset) in row.iter_mut().zip(norm.weight).zip(norm.bias) {
            *x = *x * inverse * gain + offset;
        }
    }
    probe.see(layer, out, flat(&h));
    h
}

/// All heads of one layer; `qkv` holds queries, keys and values side by side.
fn attention(arch: &Arch, layer: usize, qkv: &Array2<f32>, probe: &mut dyn Probe) -> Array2<f32> {
    let (d, dh) = (arch.dim, arch.head_dim());
    let [q, k, v] = [0, 1, 2].map(|i| qkv.slice(s![.., i * d..(i + 1) * d]).to_owned());
    for (name, values) in [("q", &q), ("k", &k), ("v", &v)] {
        probe.see(layer, name, flat(values));
    }
    let mut out = Array2::zeros((qkv.nrows(), d));
    for (head, &kind) in arch.attention[layer].iter().enumerate() {
        probe.head(layer, head, kind);
        let columns = s![.., head * dh..(head + 1) * dh];
        let qkv = [q.slice(columns), k.slice(columns), v.slice(columns)];
        let mut see = |name, values: &[f32]| probe.see(layer, name, values);
        out.slice_mut(columns).assign(&attend(kind, qkv, &mut see));
    }
    probe.see(layer, "attn.out", flat(&out));
    out
}

/// One head: N x dh queries, keys and values to N x dh outputs.
fn attend(
    kind: Attention,
    [q, k, v]: [ArrayView2<'_, f32>; 3],
    see: &mut dyn FnMut(&'static str, &[f32]),
) -> Array2<f32> {
    let (n, dh) = q.dim();
    let scale = 1.0 / (dh as f32).sqrt();
    if kind == Attention::Linear && dh < n {
        let kv = product(1.0, k.t(), v);
        see("attn.head.kv", flat(&kv));
        let out = product(scale, q, kv.view());
        see("attn.head.unnormalised", flat(&out));
        return out / n as f32;
    }
    let mut a = product(scale, q, k.t());
    see("attn.head.scores", flat(&a));
    match kind {
        Attention::Softmax => {
            let row_max = a.rows().into_iter().map(|r| r.fold(f32::NEG_INFINITY, |m, &x| m.max(x)));
            let row_max: Vec<f32> = row_max.collect();
            see("attn.head.row_max", &row_max);
            for (mut row, max) in a.rows_mut().into_iter().zip(row_max) {
                row.mapv_inplace(|x| (x - max).exp());
            }
        }
        Attention::Relu => a.mapv_inplace(|x| x.max(0.0)),
        Attention::Linear => {}
    }
    let mut out = product(1.0, a.view(), v);
    if kind == Attention::Linear {
        see("attn.head.unnormalised", flat(&out));
        return out / n as f32;
    }
    let row_sum: Vec<f32> = a.rows().into_iter().map(|row| row.sum()).collect();
    see("attn.head.row_sum", &row_sum);
    see("attn.head.unnormalised", flat(&out));
    let eps = if kind == Attention::Relu { RELU_EPS } else { 0.0 };
    for (mut row, sum) in out.rows_mut().into_iter().zip(row_sum) {
        row /= sum + eps;
    }
    out
}

fn linear(x: &Array2<f32>, map: Linear<'_>) -> Array2<f32> {
    affine(x.view(), map)
}

/// Rows of `x` through the map: x W^T + b.
fn affine(x: ArrayView2<'_, f32>, map: Linear<'_>) -> Array2<f32> {
    let w = view(map.w, map.outputs, map.inputs);
    let mut y = product(1.0, x, w.t());
    if let Some(bias) = map.bias {
        y += &view(bias, 1, map.outputs);
    }
    y
}

/// scale a b.
fn product(scale: f32, a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> Array2<f32> {
    let mut c = Array2::zeros((a.nrows(), b.ncols()));
    general_mat_mul(scale, &a, &b, 0.0, &mut c);
    c
}

fn view(values: &[f32], rows: usize, columns: usize) -> ArrayView2<'_, f32> {
    // Checked here because `from_shape` takes longer slices too.
    let n = values.len();
    assert_eq!(n, rows * columns, "{n} values are not a {rows} x {columns} matrix");
    ArrayView2::from_shape((rows, columns), values).expect("the length was just checked")
}

fn flat(x: &Array2<f32>) -> &[f32] {
    x.as_slice().expect("every matrix here was made row-major")
}

#[cfg(test)]
mod tests;
