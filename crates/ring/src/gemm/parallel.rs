//! A large product by all cores of the machine: a part of its columns each.

use std::{
    panic::resume_unwind,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{Kernel, Mat, Right, driver};

/// Multiply-adds that are worth it: some milliseconds of one core, beside the tens of microseconds in which a thread starts.
pub(super) const WORTH: usize = 1 << 26;

/// Parts a core, so that one which is busy elsewhere does fewer of them.
const PARTS: usize = 4;

/// Cores that this process may use.
fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}

/// [`driver::run`], with shapes already checked.
pub(super) fn run(
    kernel: &Kernel,
    (m, k, n): (usize, usize, usize),
    a: Mat<'_>,
    b: Right<'_>,
    c: &mut [u64],
) {
    // Panels stay whole, and packed rows start at whole bytes: kernels' tiles are multiples of 8 columns.
    let tile = kernel.tile_cols.next_multiple_of(8);
    let width = n.div_ceil(PARTS * cores()).next_multiple_of(tile);
    let (parts, next) = (n.div_ceil(width), AtomicUsize::new(0));
    let work = || {
        let mut done = Vec::new();
        loop {
            let from = next.fetch_add(1, Ordering::Relaxed) * width;
            if from >= n {
                return done;
            }
            let cols = width.min(n - from);
            let mut own = vec![0; m * cols];
            driver::run(kernel, m, k, cols, a, b.columns(k, from, cols), &mut own);
            done.push((from, own));
        }
    };
    let all = thread::scope(|scope| {
        // A thread that does not start leaves its part to the others.
        let other = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..cores().min(parts)).filter_map(other).collect();
        let mut all = work();
        for other in others {
            all.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        all
    });
    for (from, own) in all {
        for (row, own) in c.chunks_exact_mut(n).zip(own.chunks_exact(own.len() / m)) {
            let row = row[from..].iter_mut();
            row.zip(own).for_each(|(sum, part)| *sum = sum.wrapping_add(*part));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gemm::kernels,
        mask,
        pack::{Packed, pack},
    };

    #[test]
    fn parts_make_the_whole() {
        let words = |count: usize, seed: u64| -> Vec<u64> {
            let word =
                |i: u64| (i ^ seed << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
            (0..count as u64).map(word).collect()
        };
        for (m, k, n) in [(1, 9, 1), (9, 257, 23), (5, 300, 25), (8, 40, 200), (17, 33, 1001)] {
            let (a, b, before) = (words(m * k, 1), words(k * n, 2), words(m * n, 3));
            let mut bytes = Vec::new();
            pack(&b, 41, &mut bytes);
            let packed = Packed::new(&bytes, n * k, 41);
            let (rows, columns) = (Mat::rows(&b, n), Mat::rows(&b, k).t());
            for kernel in kernels() {
                let low = mask(kernel.max_width());
                for right in [rows.into(), columns.into(), packed.into(), packed.signed().into()] {
                    for a in [Mat::rows(&a, k), Mat::rows(&a, m).t()] {
                        let (mut whole, mut shared) = (before.clone(), before.clone());
                        driver::run(&kernel, m, k, n, a, right, &mut whole);
                        run(&kernel, (m, k, n), a, right, &mut shared);
                        let same = whole.iter().zip(&shared).all(|(x, y)| (x ^ y) & low == 0);
                        assert!(same, "{} at {m} x {k} x {n}", kernel.name());
                    }
                }
            }
        }
    }
}
