//! Attention in float32.

use ndarray::{Array2, ArrayView2, s};

use crate::{
    Model, Weights,
    kind::{Attention, RELU_EPS},
    probe::{HeadPart, Probe, Tensor},
    rows::{flat, linear, product},
};

/// Attention of the rows `n`, projected.
pub fn float(
    model: &Model,
    weights: &Weights,
    layer: usize,
    n: &Array2<f32>,
    probe: &mut dyn Probe,
) -> Array2<f32> {
    let block = model.block(layer);
    let qkv = linear(n, weights.linear(&format!("{block}.attn.qkv")));
    let (d, dh) = (model.stack.width, model.stack.head_dim());
    let [q, k, v] = [0, 1, 2].map(|i| qkv.slice(s![.., i * d..(i + 1) * d]).to_owned());
    for (tensor, values) in [(Tensor::Query, &q), (Tensor::Key, &k), (Tensor::Value, &v)] {
        probe.see(layer, tensor, flat(values));
    }
    let mut out = Array2::zeros((qkv.nrows(), d));
    for (head, &kind) in model.stack.attention[layer].iter().enumerate() {
        let columns = s![.., head * dh..(head + 1) * dh];
        let qkv = [q.slice(columns), k.slice(columns), v.slice(columns)];
        let mut see = |part, values: &[f32]| probe.see(layer, Tensor::Head(kind, part), values);
        out.slice_mut(columns).assign(&attend(kind, qkv, &mut see));
    }
    probe.see(layer, Tensor::Context, flat(&out));
    let y = linear(&out, weights.linear(&format!("{block}.attn.proj")));
    probe.see(layer, Tensor::Projected, flat(&y));
    y
}

/// One head: N x dh queries, keys and values to N x dh outputs.
pub(crate) fn attend(
    kind: Attention,
    [q, k, v]: [ArrayView2<'_, f32>; 3],
    see: &mut dyn FnMut(HeadPart, &[f32]),
) -> Array2<f32> {
    let (n, dh) = q.dim();
    let scale = 1.0 / (dh as f32).sqrt();
    if kind == Attention::Linear && dh < n {
        let kv = product(1.0, k.t(), v);
        see(HeadPart::KeyValue, flat(&kv));
        let out = product(scale, q, kv.view());
        see(HeadPart::Unnormalised, flat(&out));
        return out / n as f32;
    }
    let mut a = product(scale, q, k.t());
    see(HeadPart::Scores, flat(&a));
    match kind {
        Attention::Softmax => {
            let row_max = a.rows().into_iter().map(|r| r.fold(f32::NEG_INFINITY, |m, &x| m.max(x)));
            let row_max: Vec<f32> = row_max.collect();
            see(HeadPart::RowMax, &row_max);
            for (mut row, max) in a.rows_mut().into_iter().zip(row_max) {
                row.mapv_inplace(|x| (x - max).exp());
            }
        }
        Attention::Relu => a.mapv_inplace(|x| x.max(0.0)),
        Attention::Linear => {}
    }
    let mut out = product(1.0, a.view(), v);
    if kind == Attention::Linear {
        see(HeadPart::Unnormalised, flat(&out));
        return out / n as f32;
    }
    let row_sum: Vec<f32> = a.rows().into_iter().map(|row| row.sum()).collect();
    see(HeadPart::RowSum, &row_sum);
    see(HeadPart::Unnormalised, flat(&out));
    let eps = if kind == Attention::Relu { RELU_EPS } else { 0.0 };
    for (mut row, sum) in out.rows_mut().into_iter().zip(row_sum) {
        row /= sum + eps;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: &[f32], expected: &[f64]) {
        assert_eq!(got.len(), expected.len());
        for (g, e) in got.iter().zip(expected) {
            assert!((f64::from(*g) - e).abs() <= 1e-6 * (1.0 + e.abs()), "{g} is not {e}");
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
            let mut see = |part, values: &[f32]| {
                if part == HeadPart::RowSum {
                    sums = values.to_vec();
                }
            };
            let out = attend(kind, [q.view(), k.view(), v.view()], &mut see);
            (out.into_iter().collect::<Vec<f32>>(), sums)
        };
        let e = (-2f64).exp();
        let soft = [(3.0 + 7.0 * e) / (1.0 + e), (5.0 - e) / (1.0 + e)];
        let (out, sums) = run(Attention::Softmax);
        close(&out, &[soft[0], soft[1], soft[0], soft[1]]);
        close(&sums, &[1.0 + e, 1.0 + e]);
        let (out, sums) = run(Attention::Relu);
        // The second row has no positive score: 0 / (0 + 1), not NaN.
        close(&out, &[1.5, 2.5, 0.0, 0.0]);
        close(&sums, &[1.0, 0.0]);
        let (out, sums) = run(Attention::Linear);
        close(&out, &[-2.0, 3.0, -7.0, 1.0]);
        assert!(sums.is_empty());
    }

    #[test]
    fn large_scores_do_not_overflow() {
        let q = Array2::from_elem((3, 2), 40.0f32);
        let out = attend(Attention::Softmax, [q.view(), q.view(), q.view()], &mut |_, _| ());
        assert!(out.iter().all(|x| (x - 40.0).abs() < 1e-4));
    }
}
