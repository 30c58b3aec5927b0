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

use std::f32::consts::FRAC_1_SQRT_2;

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, s};

use crate::arch::{Activation, Attention};
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
        match arch.activation[layer] {
            Activation::Gelu => h.mapv_inplace(gelu),
            Activation::Relu => h.mapv_inplace(|x| x.max(0.0)),
            Activation::None => {}
        }
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

/// The exact GELU, x (1 + erf(x / sqrt 2)) / 2.
pub fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + libm::erff(x * FRAC_1_SQRT_2))
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
mod tests {
    use std::collections::BTreeSet;

    use safetensors::SafeTensors;

    use super::*;

    /// Three layers with every kind of head and activation.
    fn mixed(image: usize) -> Arch {
        use Attention::*;
        let mut arch = Arch::vit(3, 2, 16, 24, image, 4, 5);
        arch.attention = vec![vec![Softmax, Relu], vec![Relu, Linear], vec![Linear, Softmax]];
        arch.activation = vec![Activation::Relu, Activation::Gelu, Activation::None];
        arch
    }

    fn picture(arch: &Arch) -> Vec<f32> {
        let count = 3 * arch.image * arch.image;
        (0..count).map(|i| ((i * 7919 % 1009) as f32 / 504.5 - 1.0) * 1.7).collect()
    }

    #[derive(Default)]
    struct Record {
        seen: Vec<(usize, &'static str, Vec<f32>)>,
        heads: Vec<(usize, usize, Attention)>,
    }

    impl Probe for Record {
        fn see(&mut self, layer: usize, name: &'static str, values: &[f32]) {
            self.seen.push((layer, name, values.to_vec()));
        }

        fn head(&mut self, layer: usize, head: usize, kind: Attention) {
            self.heads.push((layer, head, kind));
        }
    }

    impl Record {
        fn all(&self, layer: usize, name: &str) -> Vec<&[f32]> {
            let of = self.seen.iter().filter(|(l, n, _)| *l == layer && *n == name);
            of.map(|(_, _, values)| &values[..]).collect()
        }
    }

    /// The same model once more: one number at a time in f64, straight from the formulas.
    mod slow {
        use super::*;

        type Rows = Vec<Vec<f64>>;

        fn apply(rows: &Rows, map: Linear<'_>) -> Rows {
            let one = |x: &Vec<f64>, o: usize| {
                let w = &map.w[o * map.inputs..(o + 1) * map.inputs];
                let bias = map.bias.map_or(0.0, |b| b[o] as f64);
                bias + w.iter().zip(x).map(|(&w, x)| w as f64 * x).sum::<f64>()
            };
            rows.iter().map(|x| (0..map.outputs).map(|o| one(x, o)).collect()).collect()
        }

        fn norm(rows: &Rows, norm: Norm<'_>) -> Rows {
            let one = |x: &Vec<f64>| {
                let n = x.len() as f64;
                let mean = x.iter().sum::<f64>() / n;
                let var = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
                let gains = norm.weight.iter().zip(norm.bias);
                let y = |(x, (&g, &b)): (&f64, (&f32, &f32))| {
                    (x - mean) / (var + 1e-5).sqrt() * g as f64 + b as f64
                };
                x.iter().zip(gains).map(y).collect()
            };
            rows.iter().map(one).collect()
        }

        fn add(a: &Rows, b: &Rows) -> Rows {
            let row =
                |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a + b).collect();
            a.iter().zip(b).map(row).collect()
        }

        pub fn forward(arch: &Arch, weights: &Weights, image: &[f32]) -> Vec<f64> {
            let (p, side, dh, n) = (arch.patch, arch.image, arch.head_dim(), arch.tokens());
            let class: Vec<f64> = weights.values("cls_token").iter().map(|&x| x as f64).collect();
            let mut x = vec![class];
            for t in 0..n - 1 {
                let (row, column) = (t / (side / p) * p, t % (side / p) * p);
                let mut patch = Vec::new();
                for (c, i, j) in (0..3).flat_map(|c| (0..p * p).map(move |k| (c, k / p, k % p))) {
                    patch.push(image[(c * side + row + i) * side + column + j] as f64);
                }
                x.extend(apply(&vec![patch], weights.linear("patch_embed")));
            }
            let positions = weights.values("pos_embed").chunks(arch.dim);
            x = add(&x, &positions.map(|r| r.iter().map(|&x| x as f64).collect()).collect());
            for layer in 0..arch.layers {
                let block = weights.block(layer);
                let qkv = apply(&norm(&x, block.norm1), block.qkv);
                let mut out = vec![vec![0.0; arch.dim]; n];
                for (head, kind) in arch.attention[layer].iter().enumerate() {
                    let at =
                        |which: usize, t: usize, j: usize| qkv[t][which * arch.dim + head * dh + j];
                    for (i, out) in out.iter_mut().enumerate() {
                        let score = |j| {
                            (0..dh).map(|c| at(0, i, c) * at(1, j, c)).sum::<f64>()
                                / (dh as f64).sqrt()
                        };
                        let scores: Vec<f64> = (0..n).map(score).collect();
                        let (a, sum): (Vec<f64>, f64) = match kind {
                            Attention::Softmax => {
                                let e: Vec<f64> = scores.iter().map(|s| s.exp()).collect();
                                (e.clone(), e.iter().sum())
                            }
                            Attention::Relu => {
                                let r: Vec<f64> = scores.iter().map(|s| s.max(0.0)).collect();
                                (r.clone(), r.iter().sum::<f64>() + 1.0)
                            }
                            Attention::Linear => (scores, n as f64),
                        };
                        for c in 0..dh {
                            out[head * dh + c] =
                                (0..n).map(|j| a[j] * at(2, j, c)).sum::<f64>() / sum;
                        }
                    }
                }
                x = norm(&add(&x, &apply(&out, block.proj)), block.norm2);
                let mut hidden = apply(&x, block.fc1);
                for h in hidden.iter_mut().flatten() {
                    *h = match arch.activation[layer] {
                        Activation::Gelu => 0.5 * *h * (1.0 + libm::erf(*h / 2f64.sqrt())),
                        Activation::Relu => h.max(0.0),
                        Activation::None => *h,
                    };
                }
                x = add(&x, &apply(&hidden, block.fc2));
            }
            apply(&norm(&vec![x.swap_remove(0)], weights.norm("norm")), weights.linear("head"))
                .remove(0)
        }
    }

    fn close(got: &[f32], expected: &[f64], bound: f64) {
        assert_eq!(got.len(), expected.len());
        for (g, e) in got.iter().zip(expected) {
            assert!((*g as f64 - e).abs() <= bound * (1.0 + e.abs()), "{g} is not {e}");
        }
    }

    #[test]
    fn agrees_with_the_slow_model() {
        // 5 tokens take the score path of linear attention, 17 the re-associated one.
        for image in [8, 16] {
            for seed in 0..3 {
                let arch = mixed(image);
                let weights = Weights::random(&arch, seed);
                let input = picture(&arch);
                let got = forward(&arch, &weights, &input, &mut NoProbe);
                close(&got, &slow::forward(&arch, &weights, &input), 2e-5);
            }
        }
    }

    #[test]
    fn heads_by_hand() {
        let matrix = |values: [f32; 4]| Array2::from_shape_vec((2, 2), values.to_vec()).unwrap();
        let root = 2f32.sqrt();
        let q = matrix([root, 0.0, 0.0, -root]);
        let (k, v) = (matrix([1.0, 0.0, -1.0, 2.0]), matrix([3.0, 5.0, 7.0, -1.0]));
        // S = [[1, -1], [0, -2]].
        let run = |kind| {
            let mut sums = Vec::new();
            let mut see = |name, values: &[f32]| {
                if name == "attn.head.row_sum" {
                    sums = values.to_vec();
                }
            };
            let out = attend(kind, [q.view(), k.view(), v.view()], &mut see);
            (out.into_iter().collect::<Vec<f32>>(), sums)
        };
        let e = (-2f64).exp();
        let soft = [(3.0 + 7.0 * e) / (1.0 + e), (5.0 - e) / (1.0 + e)];
        let (out, sums) = run(Attention::Softmax);
        close(&out, &[soft[0], soft[1], soft[0], soft[1]], 1e-6);
        close(&sums, &[1.0 + e, 1.0 + e], 1e-6);
        let (out, sums) = run(Attention::Relu);
        // The second row has no positive score: 0 / (0 + 1), not NaN.
        close(&out, &[1.5, 2.5, 0.0, 0.0], 1e-6);
        close(&sums, &[1.0, 0.0], 1e-6);
        let (out, sums) = run(Attention::Linear);
        close(&out, &[-2.0, 3.0, -7.0, 1.0], 1e-6);
        assert!(sums.is_empty());
    }

    #[test]
    fn gelu_by_hand() {
        let known = [(0.0, 0.0), (1.0, 0.841344746), (-1.0, -0.158655254), (3.0, 2.995950306)];
        for (x, y) in known {
            close(&[gelu(x)], &[y], 3e-7);
        }
        assert_eq!((gelu(20.0), gelu(-20.0)), (20.0, 0.0));
    }

    #[test]
    fn large_scores_do_not_overflow() {
        let q = Array2::from_elem((3, 2), 40.0f32);
        let out = attend(Attention::Softmax, [q.view(), q.view(), q.view()], &mut |_, _| ());
        assert!(out.iter().all(|x| (x - 40.0).abs() < 1e-4));
    }

    #[test]
    fn probes_see_every_intermediate() {
        let arch = mixed(16);
        let mut record = Record::default();
        let logits = forward(&arch, &Weights::random(&arch, 1), &picture(&arch), &mut record);
        let seen: BTreeSet<&str> = record.seen.iter().map(|(_, name, _)| *name).collect();
        assert_eq!(seen, NAMES.into_iter().collect());
        assert_eq!(record.all(3, "logits"), [&logits[..]]);

        let (n, d, dh) = (17, 16, 8);
        for (name, count) in [("patches", 16 * 48), ("embed", n * d)] {
            assert_eq!(record.all(0, name)[0].len(), count, "{name}");
        }
        for (name, count) in [("norm.centred", d), ("norm.var", 1), ("norm.out", d)] {
            assert_eq!(record.all(3, name)[0].len(), count, "{name}");
        }
        // Layer 1 is ReLU, linear; layer 2 linear, softmax.
        for (layer, name, times, count) in [
            (1, "attn.head.scores", 1, n * n),
            (1, "attn.head.kv", 1, dh * dh),
            (1, "attn.head.row_max", 0, 0),
            (1, "attn.head.row_sum", 1, n),
            (2, "attn.head.row_max", 1, n),
            (2, "attn.head.unnormalised", 2, n * dh),
            (2, "q", 1, n * d),
            (2, "ln2.var", 1, n),
            (2, "act.out", 1, n * 24),
            (2, "residual2", 1, n * d),
        ] {
            let all = record.all(layer, name);
            assert_eq!(all.len(), times, "{name}");
            assert!(all.iter().all(|values| values.len() == count), "{name}");
        }
        let kinds: Vec<_> = record.heads.iter().map(|h| arch.attention[h.0][h.1] == h.2).collect();
        assert_eq!(kinds, [true; 6]);
        // The MLP's residual starts from the norm's output.
        let [base, more, sum] =
            ["ln2.out", "fc2.out", "residual2"].map(|name| record.all(1, name)[0]);
        assert!(base.iter().zip(more).zip(sum).all(|((a, b), c)| a + b == *c));
    }

    #[test]
    fn agrees_with_numpy() {
        // Made by tests/data/make_fixture.py.
        let arch = Arch::from_toml(include_str!("../tests/data/tiny.toml")).unwrap();
        let bytes = include_bytes!("../tests/data/tiny.safetensors");
        let weights = Weights::from_bytes(&arch, bytes).unwrap();
        let case = SafeTensors::deserialize(include_bytes!("../tests/data/tiny_case.safetensors"));
        let case = case.unwrap();
        let read = |name| -> Vec<f32> {
            let tensor = case.tensor(name).unwrap();
            let words = tensor.data().chunks_exact(4);
            words.map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
        };
        let wide = |name| -> Vec<f64> { read(name).into_iter().map(f64::from).collect() };
        let mut record = Record::default();
        let got = forward(&arch, &weights, &read("input"), &mut record);
        close(record.all(0, "embed")[0], &wide("embed"), 1e-5);
        close(record.all(0, "residual2")[0], &wide("layer0"), 1e-4);
        close(record.all(1, "attn.out")[0], &wide("attention1"), 1e-4);
        close(record.all(1, "residual2")[0], &wide("layer1"), 1e-4);
        close(&got, &wide("logits"), 1e-4);
    }

    #[test]
    #[should_panic(expected = "16 values are not a 2 x 4 matrix")]
    fn weights_of_another_model_panic() {
        let arch = Arch::vit(1, 1, 4, 4, 4, 4, 2);
        let other = Weights::random(&Arch::vit(1, 1, 8, 4, 4, 4, 2), 1);
        forward(&arch, &other, &[0.0; 48], &mut NoProbe);
    }
}
