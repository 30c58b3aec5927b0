//! Heads that weigh values by scores, and heads by a state, in f32.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, Axis};

use super::{functions, matrix, matrix_mut, part, sum};

/// Scores become exponentials of their differences to the largest; their sum.
pub(crate) fn exponentials(row: &mut [f32]) -> f32 {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|s| *s = functions::exp(*s - top));
    sum(|j| row[j], row.len())
}

/// One head of attention, into its columns of `out`: `weigh` makes a row's scores `q K^T / sqrt(dh)` weights, and says what their sum is
/// divided by.
pub(crate) fn attend(
    shape: (usize, usize, usize),
    head: usize,
    qkv: &[f32],
    out: &mut [f32],
    weigh: impl FnMut(&mut [f32]) -> f32,
) {
    let [q, k, v] = [0, 1, 2].map(|which| part(qkv, shape, which, head));
    let scale = 1.0 / (shape.2 as f32).sqrt();
    attend_by(shape, head, products(scale, q, k), v, out, weigh);
}

/// The same with scores that are `scale` times the cosine of query and key.
pub(crate) fn attend_by_cosines(
    shape: (usize, usize, usize),
    head: usize,
    scale: f32,
    qkv: &[f32],
    out: &mut [f32],
    weigh: impl FnMut(&mut [f32]) -> f32,
) {
    let [q, k] = [0, 1].map(|which| {
        let mut rows = part(qkv, shape, which, head).to_owned();
        for mut row in rows.rows_mut() {
            let length = sum(|c| row[c] * row[c], row.len()).sqrt().max(1e-12);
            row.mapv_inplace(|x| x / length);
        }
        rows
    });
    let v = part(qkv, shape, 2, head);
    attend_by(shape, head, products(scale, q.view(), k.view()), v, out, weigh);
}

/// One head that weighs values by `exp(-scale |q_i - q_j|^2)`, of rows of queries and values.
pub(crate) fn attend_by_distances(
    shape: (usize, usize, usize),
    head: usize,
    scale: f32,
    qv: &[f32],
    out: &mut [f32],
) {
    let (n, heads, dh) = shape;
    let row = |i: usize| &qv[(i * 2 * heads + head) * dh..][..dh];
    let mut scores = Vec::with_capacity(n * n);
    for i in 0..n {
        let q = row(i);
        scores.extend((0..n).map(|j| {
            let k = row(j);
            -scale * sum(|c| (q[c] - k[c]) * (q[c] - k[c]), dh)
        }));
    }
    let v = matrix(&qv[(heads + head) * dh..], n, dh, 2 * heads * dh);
    attend_by(shape, head, scores, v, out, |row| {
        row.iter_mut().for_each(|s| *s = functions::exp(*s));
        1.0
    });
}

/// One head by its state, into its columns of `out`: `finish` of `s / N f(q) (f(K)^T V)`, `s f(q) mean f(K)` and the mean of V, with the
/// `feature` f and s = 1 / sqrt(dh).
pub(crate) fn attend_by_means(
    shape: (usize, usize, usize),
    head: usize,
    qkv: &[f32],
    out: &mut [f32],
    feature: impl Fn(f32) -> f32,
    finish: impl Fn(f32, f32, f32) -> f32,
) {
    let (n, heads, dh) = shape;
    let [q, k] = [0, 1].map(|which| part(qkv, shape, which, head).mapv(&feature));
    let v = part(qkv, shape, 2, head);
    let scale = 1.0 / (dh as f32).sqrt();
    let mut state = Array2::zeros((dh, dh));
    general_mat_mul(scale / n as f32, &k.t(), &v, 0.0, &mut state);
    let [likeness, mean] = [k.view(), v].map(|x| x.mean_axis(Axis(0)).expect("there are rows"));
    let likeness = q.dot(&likeness) * scale;
    let mut made = matrix_mut(&mut out[head * dh..], n, dh, heads * dh);
    general_mat_mul(1.0, &q, &state, 0.0, &mut made);
    for (mut row, &likeness) in made.rows_mut().into_iter().zip(&likeness) {
        row.zip_mut_with(&mean, |y, &mean| *y = finish(*y, likeness, mean));
    }
}

/// `scale q k^T`, row by row.
fn products(scale: f32, q: ArrayView2<'_, f32>, k: ArrayView2<'_, f32>) -> Vec<f32> {
    let n = q.nrows();
    let mut scores = vec![0.0; n * n];
    general_mat_mul(scale, &q, &k.t(), 0.0, &mut matrix_mut(&mut scores, n, n, n));
    scores
}

/// One head whose rows of scores become weights by `weigh`, which says what their sum is divided by.
fn attend_by(
    (n, heads, dh): (usize, usize, usize),
    head: usize,
    mut scores: Vec<f32>,
    v: ArrayView2<'_, f32>,
    out: &mut [f32],
    weigh: impl FnMut(&mut [f32]) -> f32,
) {
    let by: Vec<f32> = scores.chunks_exact_mut(n).map(weigh).collect();
    let out = &mut out[head * dh..];
    let weights = matrix(&scores, n, n, n);
    general_mat_mul(1.0, &weights, &v, 0.0, &mut matrix_mut(out, n, dh, heads * dh));
    for (row, by) in out.chunks_mut(heads * dh).zip(by) {
        row[..dh].iter_mut().for_each(|y| *y /= by);
    }
}
