//! The kernels' arithmetic on this processor, in f32.

mod functions;
pub(crate) mod heads;

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder};
use sotto_models::{arch::Activation, float::RELU_EPS};

use crate::scores::Scores;

/// A rows x columns matrix whose rows are `stride` apart.
fn matrix(x: &[f32], rows: usize, columns: usize, stride: usize) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape((rows, columns).strides((stride, 1)), x).expect("the kernel's shape")
}

fn matrix_mut(x: &mut [f32], rows: usize, columns: usize, stride: usize) -> ArrayViewMut2<'_, f32> {
    ArrayViewMut2::from_shape((rows, columns).strides((stride, 1)), x).expect("the kernel's shape")
}

/// `out = x W^T`, of rows x inputs and outputs x inputs.
pub(crate) fn product_by_rows(
    (rows, inputs, outputs): (usize, usize, usize),
    x: &[f32],
    w: &[f32],
    out: &mut [f32],
) {
    let (x, w) = (matrix(x, rows, inputs, inputs), matrix(w, outputs, inputs, inputs));
    general_mat_mul(1.0, &x, &w.t(), 0.0, &mut matrix_mut(out, rows, outputs, outputs));
}

/// Bias, activation and residual of a product, in place.
pub(crate) fn finish(
    activation: Activation,
    outputs: usize,
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    out: &mut [f32],
) {
    if let Some(bias) = bias {
        for row in out.chunks_exact_mut(outputs) {
            row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
        }
    }
    functions::activate(activation, out);
    if let Some(residual) = residual {
        out.iter_mut().zip(residual).for_each(|(y, r)| *y += r);
    }
}

/// Sums in eight lanes, which a processor adds side by side, and whose rounding is that of an eighth of the length.
pub(crate) fn sum(values: impl Fn(usize) -> f32, count: usize) -> f32 {
    let mut lanes = [0.0f32; 8];
    let whole = count / 8 * 8;
    for start in (0..whole).step_by(8) {
        for (lane, total) in lanes.iter_mut().enumerate() {
            *total += values(start + lane);
        }
    }
    lanes.iter().sum::<f32>() + (whole..count).map(values).sum::<f32>()
}

/// The layer norm of the first rows of `x`, as many as `out` has.
pub(crate) fn norm(
    width: usize,
    eps: f32,
    x: &[f32],
    [gain, offset]: [&[f32]; 2],
    out: &mut [f32],
) {
    for (x, y) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let mean = sum(|c| x[c], width) / width as f32;
        y.iter_mut().zip(x).for_each(|(y, x)| *y = x - mean);
        let variance = sum(|c| y[c] * y[c], width) / width as f32;
        let scale = 1.0 / (variance + eps).sqrt();
        for (y, (gain, offset)) in y.iter_mut().zip(gain.iter().zip(offset)) {
            *y = *y * scale * gain + offset;
        }
    }
}

/// Queries, keys or values of a head: rows x dh.
fn part(
    qkv: &[f32],
    (rows, heads, dh): (usize, usize, usize),
    which: usize,
    head: usize,
) -> ArrayView2<'_, f32> {
    matrix(&qkv[(which * heads + head) * dh..], rows, dh, 3 * heads * dh)
}

/// One head of attention of a kind, into its columns of `out`.
pub(crate) fn attend(
    kind: Scores,
    shape: (usize, usize, usize),
    head: usize,
    qkv: &[f32],
    out: &mut [f32],
) {
    let n = shape.0;
    heads::attend(shape, head, qkv, out, |row| match kind {
        Scores::Softmax | Scores::Unified { .. } | Scores::TwoPass => heads::exponentials(row),
        Scores::Relu => {
            row.iter_mut().for_each(|s| *s = s.max(0.0));
            sum(|j| row[j], n) + RELU_EPS
        }
        Scores::Linear => n as f32,
        Scores::Sigmoid => {
            row.iter_mut().for_each(|s| *s = 1.0 / (1.0 + n as f32 * functions::exp(-*s)));
            1.0
        }
        Scores::Softplus => {
            row.iter_mut().for_each(|s| *s = s.max(0.0) + functions::exp(-s.abs()).ln_1p());
            sum(|j| row[j], n)
        }
        Scores::StableMax => {
            let weigh = |s: f32| if s < 0.0 { 1.0 / (1.0 - s) } else { s + 1.0 };
            row.iter_mut().for_each(|s| *s = weigh(*s));
            sum(|j| row[j], n)
        }
    });
}

/// One linear head by its state, into its columns of `out`.
pub(crate) fn attend_by_state(
    shape: (usize, usize, usize),
    head: usize,
    qkv: &[f32],
    out: &mut [f32],
) {
    let (n, heads, dh) = shape;
    let [q, k, v] = [0, 1, 2].map(|which| part(qkv, shape, which, head));
    let mut state = vec![0.0; dh * dh];
    let scale = 1.0 / (n as f32 * (dh as f32).sqrt());
    general_mat_mul(scale, &k.t(), &v, 0.0, &mut matrix_mut(&mut state, dh, dh, dh));
    let mut out = matrix_mut(&mut out[head * dh..], n, dh, heads * dh);
    general_mat_mul(1.0, &q, &matrix(&state, dh, dh, dh), 0.0, &mut out);
}
