//! Blocking and panel packing around the tile kernels.

use super::{Kernel, Mat, Right, Tile};
use crate::pack::Packed;
use std::cell::RefCell;

/// Depth of a block: an A panel of 8 rows is then 16 KiB and a B panel of 24 columns 48 KiB.
const DEPTH: usize = 256;

thread_local! {
    // Panels of A and B, kept for the next product; they hold operand words until then.
    static SCRATCH: RefCell<(Vec<u64>, Vec<u64>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// `C += A B` with shapes already checked.
pub(super) fn run(
    kernel: &Kernel,
    m: usize,
    k: usize,
    n: usize,
    a: Mat<'_>,
    b: Right<'_>,
    c: &mut [u64],
) {
    if m == 0 || n == 0 {
        return;
    }
    SCRATCH.with_borrow_mut(|(a_words, b_words)| {
        for p in (0..k).step_by(DEPTH) {
            let depth = DEPTH.min(k - p);
            // Kernels read single words of A, so rows serve as they lie; columns would cost a page
            // each and are turned into rows first.
            let a = if a.col_stride == 1 {
                Mat::strided(&a.data[p..], a.row_stride, 1)
            } else {
                transpose(a, m, p, depth, a_words);
                Mat::strided(a_words, depth, 1)
            };
            for j in (0..n).step_by(kernel.tile_cols) {
                let cols = kernel.tile_cols.min(n - j);
                match b {
                    Right::Words(b) => pack_b(b, p, depth, j, cols, b_words),
                    Right::Transposed(b) => unpack_b(b, k, (p, depth), (j, cols), b_words),
                }
                let mut i = 0;
                while i < m {
                    let rows = tile_rows(kernel, m - i);
                    if let Right::Transposed(b) = b {
                        // While this panel is worked on the next one comes, a part a tile.
                        let part = |i: usize| kernel.tile_cols * i / m;
                        for q in (j + cols + part(i))..(j + cols + part(i + rows)).min(n) {
                            b.prefetch(q * k + p, depth);
                        }
                    }
                    (kernel.tile)(Tile {
                        rows,
                        cols,
                        depth,
                        a: &a.data[i * a.row_stride..],
                        a_row: a.row_stride,
                        a_step: 1,
                        b: b_words,
                        c: &mut c[i * n + j..],
                        ldc: n,
                    });
                    i += rows;
                }
            }
        }
    });
}

/// Rows of the next tile when `left` rows are left.
fn tile_rows(kernel: &Kernel, left: usize) -> usize {
    if kernel.one_more_row && left == kernel.tile_rows + 1 {
        left
    } else {
        left.min(kernel.tile_rows)
    }
}

/// Writes the columns `p..p + depth` of all `m` rows in row-major order.
fn transpose(a: Mat<'_>, m: usize, p: usize, depth: usize, out: &mut Vec<u64>) {
    out.resize(m * depth, 0);
    for i in (0..m).step_by(8) {
        let lanes = 8.min(m - i);
        let source = &a.data[i * a.row_stride + p * a.col_stride..];
        interleave(
            source,
            (a.col_stride, a.row_stride),
            (depth, lanes),
            &mut out[i * depth..],
            (1, depth),
        );
    }
}

/// Packs a `depth x cols` block at `(p, j)` row by row, each row padded with zeros to a multiple of 8.
fn pack_b(b: Mat<'_>, p: usize, depth: usize, j: usize, cols: usize, out: &mut Vec<u64>) {
    let stride = cols.next_multiple_of(8);
    out.resize(depth * stride, 0);
    let source = &b.data[p * b.row_stride + j * b.col_stride..];
    if b.col_stride == 1 {
        for (r, row) in out.chunks_exact_mut(stride).enumerate() {
            row[..cols].copy_from_slice(&source[r * b.row_stride..][..cols]);
        }
    } else {
        for q in (0..cols).step_by(8) {
            interleave(
                &source[q * b.col_stride..],
                (b.row_stride, b.col_stride),
                (depth, 8.min(cols - q)),
                &mut out[q..],
                (stride, 1),
            );
        }
    }
    pad(cols, stride, out);
}

/// [`pack_b`] of the transpose of packed rows of `k` words.
fn unpack_b(
    b: Packed<'_>,
    k: usize,
    (p, depth): (usize, usize),
    (j, cols): (usize, usize),
    out: &mut Vec<u64>,
) {
    let stride = cols.next_multiple_of(8);
    out.resize(depth * stride, 0);
    let mut rows = [0; 8 * DEPTH];
    for q in (0..cols).step_by(8) {
        let lanes = 8.min(cols - q);
        for (lane, row) in rows.chunks_exact_mut(DEPTH).take(lanes).enumerate() {
            b.unpack((j + q + lane) * k + p, &mut row[..depth]);
        }
        interleave(&rows, (1, DEPTH), (depth, lanes), &mut out[q..], (stride, 1));
    }
    pad(cols, stride, out);
}

/// Zeros behind the first `cols` words of each row.
fn pad(cols: usize, stride: usize, out: &mut [u64]) {
    if cols < stride {
        for row in out.chunks_exact_mut(stride) {
            row[cols..].fill(0);
        }
    }
}

/// Copies a strided block of `steps x lanes` words, at most 8 lanes, which run side by side so that
/// every cache line of either side is used up while it is there.
fn interleave(
    source: &[u64],
    (from_step, from_lane): (usize, usize),
    (steps, lanes): (usize, usize),
    out: &mut [u64],
    (to_step, to_lane): (usize, usize),
) {
    if lanes == 8 {
        let source: [&[u64]; 8] = std::array::from_fn(|lane| &source[lane * from_lane..]);
        #[cfg(target_arch = "x86_64")]
        let done = match (from_step, to_lane) {
            (1, 1) => super::avx512::interleave(source, steps, out, to_step),
            _ => 0,
        };
        #[cfg(not(target_arch = "x86_64"))]
        let done = 0;
        for step in done..steps {
            for (lane, source) in source.iter().enumerate() {
                out[step * to_step + lane * to_lane] = source[step * from_step];
            }
        }
    } else {
        for step in 0..steps {
            for lane in 0..lanes {
                out[step * to_step + lane * to_lane] = source[step * from_step + lane * from_lane];
            }
        }
    }
}
