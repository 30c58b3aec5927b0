//! Tile products with AVX2: 3 rows by 8 columns.
//!
//! There is no 64-bit product; with `a = a0 + 2^32 a1` and `b = b0 + 2^32 b1` it is
//! `a0 b0 + 2^32 (a0 b1 + a1 b0) mod 2^64`. The crossed products go to their own sums, which are
//! shifted once at the end.
#![allow(unsafe_code)]

use super::{Kernel, Tile};
use std::arch::x86_64::*;

/// The kernel, if the machine has it.
pub(super) fn kernel() -> Option<Kernel> {
    is_x86_feature_detected!("avx2").then_some(Kernel {
        name: "avx2",
        max_width: 64,
        tile_rows: 3,
        tile_cols: 8,
        one_more_row: false,
        tile,
    })
}

fn tile(tile: Tile<'_>) {
    assert!((1..=8).contains(&tile.cols) && tile.cols <= tile.ldc);
    assert!(tile.b.len() >= tile.depth * 8);
    assert!((1..=3).contains(&tile.rows));
    // SAFETY: this function is reachable through `kernel()` only, after the feature was detected.
    unsafe {
        match tile.rows {
            1 => rows::<1>(tile),
            2 => rows::<2>(tile),
            _ => rows::<3>(tile),
        }
    }
}

#[target_feature(enable = "avx2")]
fn rows<const R: usize>(tile: Tile<'_>) {
    let zero = _mm256_setzero_si256();
    let (mut low, mut cross) = ([[zero; 2]; R], [[zero; 2]; R]);
    let b = &tile.b.as_chunks::<8>().0[..tile.depth];
    for (p, b) in b.iter().enumerate() {
        let a: [u64; R] = std::array::from_fn(|r| tile.a[r * tile.a_row + p * tile.a_step]);
        for v in 0..2 {
            // SAFETY: `b` holds 8 words, of which 4 are read at 0 and at 4.
            let b0 = unsafe { _mm256_loadu_si256(b.as_ptr().add(4 * v).cast()) };
            let b1 = _mm256_srli_epi64::<32>(b0);
            for r in 0..R {
                let a0 = _mm256_set1_epi64x(a[r] as i64);
                let a1 = _mm256_srli_epi64::<32>(a0);
                low[r][v] = _mm256_add_epi64(low[r][v], _mm256_mul_epu32(a0, b0));
                let crossed = _mm256_add_epi64(_mm256_mul_epu32(a0, b1), _mm256_mul_epu32(a1, b0));
                cross[r][v] = _mm256_add_epi64(cross[r][v], crossed);
            }
        }
    }
    for (r, c) in tile.c.chunks_mut(tile.ldc).take(R).enumerate() {
        let mut sums = [0u64; 8];
        for v in 0..2 {
            let sum = _mm256_add_epi64(low[r][v], _mm256_slli_epi64::<32>(cross[r][v]));
            // SAFETY: `sums` holds 8 words, of which 4 are written at 0 and at 4.
            unsafe { _mm256_storeu_si256(sums.as_mut_ptr().add(4 * v).cast(), sum) };
        }
        for (c, sum) in c[..tile.cols].iter_mut().zip(sums) {
            *c = c.wrapping_add(sum);
        }
    }
}
