//! Rows of float32: the products of the float reference.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2};

use crate::weights::Linear;

/// Rows of `x` through the map: x W^T + b.
pub(crate) fn linear(x: &Array2<f32>, map: Linear<'_>) -> Array2<f32> {
    affine(x.view(), map)
}

pub(crate) fn affine(x: ArrayView2<'_, f32>, map: Linear<'_>) -> Array2<f32> {
    let w = view(map.w, map.outputs, map.inputs);
    let mut y = product(1.0, x, w.t());
    if let Some(bias) = map.bias {
        y += &view(bias, 1, map.outputs);
    }
    y
}

/// scale a b.
pub(crate) fn product(scale: f32, a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> Array2<f32> {
    let mut c = Array2::zeros((a.nrows(), b.ncols()));
    general_mat_mul(scale, &a, &b, 0.0, &mut c);
    c
}

/// # Panics
/// Where there are not `rows * columns` values.
pub(crate) fn view(values: &[f32], rows: usize, columns: usize) -> ArrayView2<'_, f32> {
    // Checked here because `from_shape` takes longer slices too.
    let n = values.len();
    assert_eq!(n, rows * columns, "{n} values are not a {rows} x {columns} matrix");
    ArrayView2::from_shape((rows, columns), values).expect("the length was just checked")
}

pub(crate) fn flat(x: &Array2<f32>) -> &[f32] {
    x.as_slice().expect("every matrix here was made row-major")
}
