//! The tile product in plain Rust: 4 rows by 8 columns.

use super::{Kernel, Tile};

pub(super) const KERNEL: Kernel = Kernel {
    name: "portable",
    max_width: 64,
    tile_rows: 4,
    tile_cols: 8,
    one_more_row: false,
    tile,
};

fn tile(tile: Tile<'_>) {
    match tile.rows {
        1 => rows::<1>(tile),
        2 => rows::<2>(tile),
        3 => rows::<3>(tile),
        4 => rows::<4>(tile),
        rows => unreachable!("the driver cuts tiles of at most 4 rows, not {rows}"),
    }
}

fn rows<const R: usize>(tile: Tile<'_>) {
    let mut sums = [[0u64; 8]; R];
    let b = &tile.b.as_chunks::<8>().0[..tile.depth];
    for (p, b) in b.iter().enumerate() {
        for (i, sums) in sums.iter_mut().enumerate() {
            let a = tile.a[i * tile.a_row + p * tile.a_step];
            for (sum, &b) in sums.iter_mut().zip(b) {
                *sum = sum.wrapping_add(a.wrapping_mul(b));
            }
        }
    }
    for (sums, c) in sums.iter().zip(tile.c.chunks_mut(tile.ldc)) {
        for (c, sum) in c[..tile.cols].iter_mut().zip(sums) {
            *c = c.wrapping_add(*sum);
        }
    }
}
