//! Arithmetic on tensors, wrapping mod 2^64.

use super::{Tensor, volume};
use crate::gemm::{Mat, gemm};

impl Tensor {
    /// `self += other`, word by word.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn add_assign(&mut self, other: &Tensor) {
        self.same_shape("add_assign", other);
        for (x, y) in self.words.iter_mut().zip(&other.words) {
            *x = x.wrapping_add(*y);
        }
    }

    /// `self -= other`, word by word.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn sub_assign(&mut self, other: &Tensor) {
        self.same_shape("sub_assign", other);
        for (x, y) in self.words.iter_mut().zip(&other.words) {
            *x = x.wrapping_sub(*y);
        }
    }

    /// Negates every word in place.
    pub fn neg(&mut self) {
        for x in &mut self.words {
            *x = x.wrapping_neg();
        }
    }

    /// Multiplies every word by a public constant in place.
    pub fn scale(&mut self, factor: u64) {
        for x in &mut self.words {
            *x = x.wrapping_mul(factor);
        }
    }

    /// Shifts every word left by `bits` in place.
    ///
    /// # Panics
    /// When `bits >= 64`.
    pub fn shl(&mut self, bits: u32) {
        assert!(bits < 64, "shl: by {bits} bits");
        for x in &mut self.words {
            *x <<= bits;
        }
    }

    /// The sums along `axis`, which disappears from the shape.
    ///
    /// # Panics
    /// When there is no such axis.
    pub fn sum_axis(&self, axis: usize) -> Self {
        assert!(axis < self.shape.len(), "sum_axis: axis {axis} of shape {:?}", self.shape);
        let inner = volume(&self.shape[axis + 1..]);
        let block = self.shape[axis] * inner;
        let mut shape = self.shape.clone();
        shape.remove(axis);
        let mut sums = Self::zeros(shape);
        if block > 0 {
            let outer = self.words.chunks_exact(block);
            for (sums, part) in sums.words.chunks_exact_mut(inner).zip(outer) {
                for row in part.chunks_exact(inner) {
                    for (sum, x) in sums.iter_mut().zip(row) {
                        *sum = sum.wrapping_add(*x);
                    }
                }
            }
        }
        sums
    }

    /// The matrix products `(.., m, k) x (.., k, n) -> (.., m, n)` mod 2^`width`, over equal leading
    /// axes; with `transpose_b` the last axes of `b` are `(n, k)`. A `b` of rank 2 serves every
    /// leading index. Only the low `width` bits of the result are defined.
    ///
    /// # Panics
    /// When the shapes do not fit.
    pub fn bmm(width: u32, a: &Tensor, b: &Tensor, transpose_b: bool) -> Self {
        let misfit = || -> ! {
            panic!("bmm: shapes {:?} and {:?} (transpose_b: {transpose_b})", a.shape, b.shape)
        };
        let ([a_lead @ .., m, k], [b_lead @ .., b0, b1]) = (&a.shape[..], &b.shape[..]) else {
            misfit()
        };
        let (inner, n) = if transpose_b { (b1, b0) } else { (b0, b1) };
        if inner != k || !(b_lead.is_empty() || b_lead == a_lead) {
            misfit()
        }
        let shape: Vec<usize> = a_lead.iter().chain([m, n]).copied().collect();
        let mut c = Self::zeros(shape);
        // A shared `b` makes one tall product of all leading axes.
        let (batch, m) =
            if b_lead.is_empty() { (1, volume(a_lead) * m) } else { (volume(a_lead), *m) };
        for i in 0..batch {
            let b_view = Mat::rows(&b.words[i * k * n..(i + 1) * k * n], *b1);
            gemm(
                width,
                m,
                *k,
                *n,
                Mat::rows(&a.words[i * m * k..(i + 1) * m * k], *k),
                if transpose_b { b_view.t() } else { b_view },
                &mut c.words[i * m * n..(i + 1) * m * n],
            );
        }
        c
    }

    fn same_shape(&self, operation: &str, other: &Tensor) {
        assert!(
            self.shape == other.shape,
            "{operation}: shapes {:?} and {:?}",
            self.shape,
            other.shape
        );
    }
}

#[cfg(test)]
mod tests {
    use super::Tensor;
    use crate::mask;

    fn filled(shape: &[usize], seed: u64) -> Tensor {
        let count = shape.iter().product::<usize>() as u64;
        let word = |i: u64| (i + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        Tensor::new(shape, (0..count).map(word).collect())
    }

    #[test]
    fn elementwise_operations_wrap() {
        let mut t = Tensor::new([3], vec![1, u64::MAX, 5]);
        t.add_assign(&Tensor::new([3], vec![2, 1, u64::MAX]));
        assert_eq!(t.words(), [3, 0, 4]);
        t.sub_assign(&Tensor::new([3], vec![4, 1, 0]));
        assert_eq!(t.words(), [u64::MAX, u64::MAX, 4]);
        t.neg();
        assert_eq!(t.words(), [1, 1, u64::MAX - 3]);
        t.scale(3);
        assert_eq!(t.words(), [3, 3, 12u64.wrapping_neg()]);
        t.shl(62);
        assert_eq!(t.words(), [3 << 62, 3 << 62, 0]);
    }

    #[test]
    fn sum_axis_sums_and_drops_the_axis() {
        let t = Tensor::new([2, 3, 2], (0..12).collect());
        assert_eq!(t.sum_axis(0), Tensor::new([3, 2], vec![6, 8, 10, 12, 14, 16]));
        assert_eq!(t.sum_axis(1), Tensor::new([2, 2], vec![6, 9, 24, 27]));
        assert_eq!(t.sum_axis(2), Tensor::new([2, 3], vec![1, 5, 9, 13, 17, 21]));
        let wrapped = Tensor::new([2], vec![u64::MAX, 2]).sum_axis(0);
        assert_eq!(wrapped, Tensor::new([], vec![1]));
        assert_eq!(Tensor::zeros([2, 0]).sum_axis(1), Tensor::zeros([2]));
    }

    /// The batched product by its definition, for rank 3.
    fn naive(a: &Tensor, b: &Tensor) -> Vec<u64> {
        let (&[batch, m, k], &[_, _, n]) = (a.shape(), b.shape()) else { panic!("rank 3") };
        let mut c = Vec::new();
        for (s, i, j) in (0..batch * m * n).map(|at| (at / (m * n), at / n % m, at % n)) {
            let terms = (0..k).map(|p| {
                a.words()[(s * m + i) * k + p].wrapping_mul(b.words()[(s * k + p) * n + j])
            });
            c.push(terms.fold(0, u64::wrapping_add));
        }
        c
    }

    #[test]
    fn bmm_multiplies_every_batch() {
        let (a, b) = (filled(&[3, 5, 7], 1), filled(&[3, 7, 4], 2));
        let b_t = b.permute(&[0, 2, 1]);
        for width in [20, 52, 53, 64] {
            for (b, transposed) in [(&b, false), (&b_t, true)] {
                let c = Tensor::bmm(width, &a, b, transposed);
                assert_eq!(c.shape(), [3, 5, 4]);
                let expected = naive(&a, &filled(&[3, 7, 4], 2));
                let equal = c.words().iter().zip(expected);
                assert!(equal.into_iter().all(|(x, y)| (x ^ y) & mask(width) == 0));
            }
        }
    }

    #[test]
    fn bmm_shares_a_matrix_over_the_batch() {
        let (a, b) = (filled(&[2, 3, 4, 5], 3), filled(&[5, 6], 4));
        let c = Tensor::bmm(64, &a, &b, false);
        assert_eq!(c.shape(), [2, 3, 4, 6]);
        let (flat, b) = (a.reshape([1, 24, 5]), b.reshape([1, 5, 6]));
        assert_eq!(c.words(), naive(&flat, &b));
    }

    #[test]
    #[should_panic(expected = "bmm: shapes [2, 3, 4] and [2, 3, 4] (transpose_b: false)")]
    fn bmm_of_other_depths_panics() {
        Tensor::bmm(64, &Tensor::zeros([2, 3, 4]), &Tensor::zeros([2, 3, 4]), false);
    }

    #[test]
    #[should_panic(expected = "bmm: shapes [2, 3, 4] and [3, 4, 5] (transpose_b: false)")]
    fn bmm_of_other_batches_panics() {
        Tensor::bmm(64, &Tensor::zeros([2, 3, 4]), &Tensor::zeros([3, 4, 5]), false);
    }

    #[test]
    #[should_panic(expected = "add_assign: shapes [2, 3] and [3, 2]")]
    fn add_of_other_shapes_panics() {
        Tensor::zeros([2, 3]).add_assign(&Tensor::zeros([3, 2]));
    }
}
