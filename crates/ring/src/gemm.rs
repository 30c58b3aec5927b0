//! Matrix products mod 2^64 (or mod 2^52 where that is enough).
//!
//! [`gemm`] packs panels of `B` and hands tiles of `C` to the fastest kernel of the machine. All kernels agree mod 2^width for every width that they take.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod driver;
#[cfg(feature = "parallel")]
mod parallel;
mod portable;

use std::sync::OnceLock;

use crate::pack::Packed;

/// A view of a matrix: element `(i, j)` is `data[i * row_stride + j * col_stride]`.
#[derive(Clone, Copy)]
pub struct Mat<'a> {
    data: &'a [u64],
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Mat<'a> {
    /// A row-major matrix of `cols` columns.
    pub fn rows(data: &'a [u64], cols: usize) -> Self {
        Self::strided(data, cols, 1)
    }

    /// A view with explicit strides, in elements.
    pub fn strided(data: &'a [u64], row_stride: usize, col_stride: usize) -> Self {
        Self { data, row_stride, col_stride }
    }

    /// The transposed view of the same words.
    pub fn t(self) -> Self {
        Self { data: self.data, row_stride: self.col_stride, col_stride: self.row_stride }
    }

    fn check(&self, rows: usize, cols: usize, name: &str) {
        if rows > 0 && cols > 0 {
            // Checked, as the kernels rely on it: strides come from the caller.
            let down = (rows - 1).checked_mul(self.row_stride);
            let across = (cols - 1).checked_mul(self.col_stride);
            let last = down.zip(across).and_then(|(i, j)| i.checked_add(j));
            assert!(
                last.is_some_and(|last| last < self.data.len()),
                "gemm: {name} is {rows} x {cols} with strides {} and {}, but has {} words",
                self.row_stride,
                self.col_stride,
                self.data.len()
            );
        }
    }
}

/// The right factor of a product.
#[derive(Clone, Copy)]
pub enum Right<'a> {
    /// Words.
    Words(Mat<'a>),
    /// The transpose of a row-major matrix that stays packed: a panel is unpacked as it is copied.
    Transposed(Packed<'a>),
}

impl<'a> From<Mat<'a>> for Right<'a> {
    fn from(words: Mat<'a>) -> Self {
        Self::Words(words)
    }
}

impl<'a> From<Packed<'a>> for Right<'a> {
    fn from(rows: Packed<'a>) -> Self {
        Self::Transposed(rows)
    }
}

impl Right<'_> {
    /// Columns `j..j + cols` of `k` rows, where `j` is a multiple of 8.
    #[cfg(feature = "parallel")]
    fn columns(self, k: usize, j: usize, cols: usize) -> Self {
        match self {
            Right::Words(words) => {
                let data = &words.data[j * words.col_stride..];
                Right::Words(Mat { data, ..words })
            }
            Right::Transposed(rows) => Right::Transposed(rows.part(j * k, cols * k)),
        }
    }

    fn check(&self, k: usize, n: usize) {
        match self {
            Right::Words(words) => words.check(k, n, "B"),
            Right::Transposed(rows) => assert!(
                Some(rows.count()) == k.checked_mul(n),
                "gemm: B is {n} rows of {k}, but has {} words",
                rows.count()
            ),
        }
    }
}

/// Computes one tile: `c[i * ldc + j] += sum_p a[i * a_row + p * a_step] * b[p * stride + j]` for
/// `i < rows`, `j < cols`, `p < depth`, where `stride` is `cols` rounded up to a multiple of 8.
type TileFn = fn(Tile<'_>);

/// What a kernel gets: the corners of `A` and `C` where the tile starts and a packed panel of `B`.
struct Tile<'a> {
    rows: usize,
    cols: usize,
    depth: usize,
    a: &'a [u64],
    a_row: usize,
    a_step: usize,
    /// `depth * stride` words, zero beyond `cols`.
    b: &'a [u64],
    c: &'a mut [u64],
    ldc: usize,
}

/// One implementation of the tile product.
#[derive(Clone, Copy)]
pub struct Kernel {
    name: &'static str,
    max_width: u32,
    tile_rows: usize,
    tile_cols: usize,
    /// Whether a tile may take one row more, so that `m = 8 q + 1` leaves no thin tail.
    one_more_row: bool,
    tile: TileFn,
}

impl Kernel {
    /// The name for tests and benches.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The largest ring width for which the result is defined.
    pub fn max_width(&self) -> u32 {
        self.max_width
    }

    /// [`gemm`] by this kernel; defined mod 2^`max_width`.
    ///
    /// # Panics
    /// As [`gemm`].
    pub fn run<'a>(
        &self,
        m: usize,
        k: usize,
        n: usize,
        a: Mat<'_>,
        b: impl Into<Right<'a>>,
        c: &mut [u64],
    ) {
        let b = b.into();
        a.check(m, k, "A");
        b.check(k, n);
        assert!(
            Some(c.len()) == m.checked_mul(n),
            "gemm: C is {m} x {n}, but has {} words",
            c.len()
        );
        #[cfg(feature = "parallel")]
        if m * k * n >= parallel::WORTH {
            return parallel::run(self, (m, k, n), a, b, c);
        }
        driver::run(self, m, k, n, a, b, c);
    }
}

/// The kernels that this machine can run, slowest first.
pub fn kernels() -> Vec<Kernel> {
    #[cfg(target_arch = "x86_64")]
    let native = [avx2::kernel(), avx512::mullo(), avx512::ifma()];
    #[cfg(not(target_arch = "x86_64"))]
    let native = [None; 0];
    let native = native.into_iter().flatten();
    std::iter::once(portable::KERNEL).chain(native).collect()
}

/// `C += A * B` mod 2^`width`, with `A` m x k, `B` k x n, `C` m x n in row-major order.
///
/// Only the low `width` bits of `C` are defined afterwards: up to 52 bits a kernel with 52-bit
/// products may be used, and high bits of the operands never matter for the low bits of `C`.
///
/// Cost: m·k·n multiply-adds on the calling thread; with the feature `parallel` the machine's cores share products from 2^26 of them
/// on. Security: constant time in the words.
///
/// # Panics
/// When `width` is not in 1..=64 or a matrix is smaller than its shape.
pub fn gemm<'a>(
    width: u32,
    m: usize,
    k: usize,
    n: usize,
    a: Mat<'_>,
    b: impl Into<Right<'a>>,
    c: &mut [u64],
) {
    static CHOICE: OnceLock<[Kernel; 2]> = OnceLock::new();
    assert!((1..=64).contains(&width), "gemm: the width {width}");
    let [narrow, full] = CHOICE.get_or_init(|| {
        let all = kernels();
        let best = |width: u32| {
            *all.iter()
                .rfind(|kernel| kernel.max_width >= width)
                .expect("the portable kernel takes every width")
        };
        [best(52), best(64)]
    });
    let kernel = if width <= 52 { narrow } else { full };
    kernel.run(m, k, n, a, b, c);
}

#[cfg(test)]
mod tests {
    use super::{Mat, gemm, kernels};
    use crate::{
        mask,
        pack::{Packed, pack},
    };
    use proptest::prelude::*;

    fn words(count: usize, seed: u64) -> Vec<u64> {
        let mut state = seed;
        (0..count)
            .map(|_| {
                // splitmix64
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                z ^ (z >> 31)
            })
            .collect()
    }

    fn naive(m: usize, k: usize, n: usize, a: Mat<'_>, b: Mat<'_>, c: &mut [u64]) {
        for i in 0..m {
            for j in 0..n {
                for p in 0..k {
                    let x = a.data[i * a.row_stride + p * a.col_stride];
                    let y = b.data[p * b.row_stride + j * b.col_stride];
                    c[i * n + j] = c[i * n + j].wrapping_add(x.wrapping_mul(y));
                }
            }
        }
    }

    /// Every kernel, every combination of transposed views, against the definition.
    fn check(m: usize, k: usize, n: usize, seed: u64) {
        let (a, b, c) = (words(m * k, seed), words(k * n, seed ^ 1), words(m * n, seed ^ 2));
        for (a_t, b_t) in [(false, false), (true, false), (false, true), (true, true)] {
            let a = if a_t { Mat::rows(&a, m).t() } else { Mat::rows(&a, k) };
            let b = if b_t { Mat::rows(&b, k).t() } else { Mat::rows(&b, n) };
            let mut expected = c.clone();
            naive(m, k, n, a, b, &mut expected);
            for kernel in kernels() {
                let low = mask(kernel.max_width());
                let mut got = c.clone();
                kernel.run(m, k, n, a, b, &mut got);
                let equal = got.iter().zip(&expected).all(|(x, y)| (x ^ y) & low == 0);
                assert!(
                    equal,
                    "kernel {} at {m} x {k} x {n}, transposed {a_t} {b_t}, seed {seed}",
                    kernel.name()
                );
            }
        }
    }

    #[test]
    fn every_kernel_equals_the_definition() {
        for (m, k, n) in [
            (1, 1, 1),
            (0, 3, 2),
            (3, 3, 0),
            (3, 0, 5),
            (2, 7, 3),
            (8, 16, 24),
            (9, 5, 25),
            (10, 300, 49),
            (17, 257, 8),
            (65, 64, 65),
            (65, 65, 64),
            (65, 256, 768),
            (257, 16, 257),
            (64, 513, 23),
        ] {
            check(m, k, n, (m * 1_000_003 + k * 1009 + n) as u64);
        }
    }

    #[test]
    fn packed_factors_are_those_that_were_packed() {
        for (m, k, n) in [(1, 1, 1), (3, 7, 5), (9, 257, 26), (17, 300, 49), (8, 520, 24)] {
            let a = words(m * k, 3);
            for width in [5, 24, 41, 64] {
                let mut bytes = Vec::new();
                pack(&words(n * k, 4), width, &mut bytes);
                let packed = Packed::new(&bytes, n * k, width);
                for packed in [packed, packed.signed()] {
                    let b = packed.to_words();
                    for kernel in kernels() {
                        let (mut got, mut expected) = (words(m * n, 5), words(m * n, 5));
                        kernel.run(m, k, n, Mat::rows(&a, k), packed, &mut got);
                        naive(m, k, n, Mat::rows(&a, k), Mat::rows(&b, k).t(), &mut expected);
                        let low = mask(kernel.max_width());
                        let equal = got.iter().zip(&expected).all(|(x, y)| (x ^ y) & low == 0);
                        assert!(equal, "{} at {m} x {k} x {n}, {width} bits", kernel.name());
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "gemm: B is 2 rows of 3, but has 5 words")]
    fn a_small_packed_matrix_panics() {
        gemm(64, 1, 3, 2, Mat::rows(&[1; 3], 3), Packed::new(&[0; 5], 5, 8), &mut [0; 2]);
    }

    #[test]
    fn extreme_words_wrap() {
        let (m, k, n) = (9, 600, 25);
        for (x, y) in [(u64::MAX, u64::MAX), (1 << 51, (1 << 52) - 1), (1 << 63, 3)] {
            let (a, b) = (vec![x; m * k], vec![y; k * n]);
            let expected = x.wrapping_mul(y).wrapping_mul(k as u64);
            for kernel in kernels() {
                let mut c = vec![0; m * n];
                kernel.run(m, k, n, Mat::rows(&a, k), Mat::rows(&b, n), &mut c);
                let low = mask(kernel.max_width());
                assert!(c.iter().all(|c| (c ^ expected) & low == 0), "{}", kernel.name());
            }
        }
    }

    #[test]
    fn gemm_is_exact_at_every_width() {
        let (m, k, n) = (5, 9, 11);
        let (a, b) = (words(m * k, 5), words(k * n, 6));
        let mut expected = vec![0; m * n];
        naive(m, k, n, Mat::rows(&a, k), Mat::rows(&b, n), &mut expected);
        for width in 1..=64 {
            let mut c = vec![0; m * n];
            gemm(width, m, k, n, Mat::rows(&a, k), Mat::rows(&b, n), &mut c);
            let equal = c.iter().zip(&expected).all(|(x, y)| (x ^ y) & mask(width) == 0);
            assert!(equal, "width {width}");
        }
    }

    #[test]
    #[should_panic(expected = "gemm: A is 3 x 2")]
    fn overflowing_strides_panic() {
        let a = Mat::strided(&[1; 6], usize::MAX / 2 + 1, 1);
        gemm(64, 3, 2, 1, a, Mat::rows(&[1; 2], 1), &mut [0; 3]);
    }

    #[test]
    #[should_panic(expected = "gemm: B is 3 x 2 with strides 2 and 1, but has 5 words")]
    fn a_small_matrix_panics() {
        gemm(64, 1, 3, 2, Mat::rows(&[1; 3], 3), Mat::rows(&[1; 5], 2), &mut [0; 2]);
    }

    proptest! {
        #[test]
        fn random_shapes(m in 1usize..40, k in 0usize..40, n in 1usize..60, seed: u64) {
            check(m, k, n, seed);
        }
    }
}
