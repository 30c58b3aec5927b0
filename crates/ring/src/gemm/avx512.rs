//! Tile products with AVX-512: 8 (or 9) rows by 24 columns held in 24 (27) registers.
//!
//! Two products fill the same loop. `vpmullq` gives the low 64 bits. `vpmadd52luq` adds the low 52
//! bits of the product of the low 52 bits of its operands to a 64-bit accumulator.
//!
//! Why the second is exact mod 2^52: `x*y mod 2^52` depends on `x mod 2^52` and `y mod 2^52` only,
//! so every term that is added is congruent to the true one mod 2^52. The accumulator is 64 bits
//! wide and wraps mod 2^64, and 2^52 divides 2^64, so it stays congruent mod 2^52 however many
//! terms are added: no bound on the depth is needed. Bits 52..64 of the result are meaningless.
#![allow(unsafe_code)]

use super::{Kernel, Tile};
use std::arch::x86_64::*;

/// The `vpmullq` kernel, if the machine has it.
pub(super) fn mullo() -> Option<Kernel> {
    (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq")).then_some(
        Kernel {
            name: "avx512-mullo",
            max_width: 64,
            tile_rows: 8,
            tile_cols: 24,
            one_more_row: true,
            tile: mullo_tile,
        },
    )
}

/// The `vpmadd52luq` kernel, if the machine has it.
pub(super) fn ifma() -> Option<Kernel> {
    (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma")).then_some(
        Kernel {
            name: "avx512-ifma",
            max_width: 52,
            tile_rows: 8,
            tile_cols: 24,
            one_more_row: true,
            tile: ifma_tile,
        },
    )
}

fn mullo_tile(tile: Tile<'_>) {
    let tile = Checked::new(tile);
    // SAFETY: this function is reachable through the kernel of `mullo()` only, which is handed out
    // after the features were detected.
    unsafe { dispatch_mullo(tile) }
}

fn ifma_tile(tile: Tile<'_>) {
    let tile = Checked::new(tile);
    // SAFETY: this function is reachable through the kernel of `ifma()` only, which is handed out
    // after the features were detected.
    unsafe { dispatch_ifma(tile) }
}

/// A tile whose slices are proven to be large enough for every access of the loops below.
struct Checked<'a> {
    tile: Tile<'a>,
    vectors: usize,
    tail: __mmask8,
}

impl<'a> Checked<'a> {
    fn new(tile: Tile<'a>) -> Self {
        let vectors = tile.cols.div_ceil(8);
        assert!((1..=9).contains(&tile.rows) && (1..=3).contains(&vectors));
        assert!(tile.depth > 0);
        assert!(tile.a.len() > (tile.rows - 1) * tile.a_row + (tile.depth - 1) * tile.a_step);
        assert!(tile.b.len() >= tile.depth * vectors * 8);
        assert!(tile.cols <= tile.ldc);
        assert!(tile.c.len() >= (tile.rows - 1) * tile.ldc + tile.cols);
        let tail = u8::MAX >> (vectors * 8 - tile.cols);
        Self { tile, vectors, tail }
    }
}

/// Writes `out[step * to_step + lane] = source[lane][step]` for as many whole eights of the first `steps` as
/// there are; returns how many steps that is, 0 where the machine lacks AVX-512.
pub(super) fn interleave(
    source: [&[u64]; 8],
    steps: usize,
    out: &mut [u64],
    to_step: usize,
) -> usize {
    if !is_x86_feature_detected!("avx512f") {
        return 0;
    }
    let whole = steps / 8 * 8;
    for at in (0..whole).step_by(8) {
        let rows = source.map(|s| s[at..].first_chunk().expect("8 steps of each lane"));
        // SAFETY: the feature was detected above.
        unsafe { transpose(rows, &mut out[at * to_step..], to_step) }
    }
    whole
}

/// Writes the columns of 8 rows, each `to_step` words after the one before.
#[target_feature(enable = "avx512f")]
fn transpose(rows: [&[u64; 8]; 8], out: &mut [u64], to_step: usize) {
    // SAFETY: each row holds the 64 bytes that are read.
    let r = rows.map(|row| unsafe { _mm512_loadu_si512(row.as_ptr().cast()) });
    for odd in [0, 1] {
        // Pairs of rows: the even or the odd columns, 128 bits each.
        let pair = |i: usize| match odd {
            0 => _mm512_unpacklo_epi64(r[i], r[i + 1]),
            _ => _mm512_unpackhi_epi64(r[i], r[i + 1]),
        };
        let p = [pair(0), pair(2), pair(4), pair(6)];
        let [low, low2] =
            [(p[0], p[1]), (p[2], p[3])].map(|(x, y)| _mm512_shuffle_i64x2::<0x88>(x, y));
        let [high, high2] =
            [(p[0], p[1]), (p[2], p[3])].map(|(x, y)| _mm512_shuffle_i64x2::<0xdd>(x, y));
        let whole = [
            (odd, _mm512_shuffle_i64x2::<0x88>(low, low2)),
            (odd + 2, _mm512_shuffle_i64x2::<0x88>(high, high2)),
            (odd + 4, _mm512_shuffle_i64x2::<0xdd>(low, low2)),
            (odd + 6, _mm512_shuffle_i64x2::<0xdd>(high, high2)),
        ];
        for (column, words) in whole {
            let out: &mut [u64; 8] =
                out[column * to_step..].first_chunk_mut().expect("8 lanes of each step");
            // SAFETY: a column holds the 64 bytes that are written.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), words) };
        }
    }
}

macro_rules! tile_kernel {
    ($dispatch:ident, $rows:ident, $kernel:ident, $features:literal, |$sum:ident, $a:ident, $b:ident| $madd:expr) => {
        #[target_feature(enable = $features)]
        fn $dispatch(t: Checked<'_>) {
            match t.vectors {
                1 => $rows::<1>(t),
                2 => $rows::<2>(t),
                _ => $rows::<3>(t),
            }
        }

        #[target_feature(enable = $features)]
        fn $rows<const V: usize>(t: Checked<'_>) {
            match t.tile.rows {
                1 => $kernel::<1, V>(t),
                2 => $kernel::<2, V>(t),
                3 => $kernel::<3, V>(t),
                4 => $kernel::<4, V>(t),
                5 => $kernel::<5, V>(t),
                6 => $kernel::<6, V>(t),
                7 => $kernel::<7, V>(t),
                8 => $kernel::<8, V>(t),
                _ => $kernel::<9, V>(t),
            }
        }

        #[target_feature(enable = $features)]
        fn $kernel<const R: usize, const V: usize>(t: Checked<'_>) {
            assert!(t.tile.rows == R && t.vectors == V);
            let mut sums = [[_mm512_setzero_si512(); V]; R];
            let (a, b) = (t.tile.a.as_ptr(), t.tile.b.as_ptr());
            let (a_row, a_step) = (t.tile.a_row, t.tile.a_step);
            for p in 0..t.tile.depth {
                // SAFETY: `Checked::new` proved that `b` holds `depth * 8 V` words, of which step
                // `p` reads `8 V p..8 V (p + 1)`, and that `a` holds the word of the last row and
                // step, whose index `r * a_row + p * a_step` is the largest.
                unsafe {
                    let mut row = [_mm512_setzero_si512(); V];
                    for (v, row) in row.iter_mut().enumerate() {
                        *row = _mm512_loadu_si512(b.add(8 * (V * p + v)).cast());
                    }
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let $a = _mm512_set1_epi64(*a.add(r * a_row + p * a_step) as i64);
                        for ($sum, $b) in sums.iter_mut().zip(row) {
                            *$sum = $madd;
                        }
                    }
                }
            }
            let c = t.tile.c.as_mut_ptr();
            for (r, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    let lanes = if v + 1 == V { t.tail } else { u8::MAX };
                    // SAFETY: `Checked::new` proved that `c` reaches beyond `r * ldc + cols` for
                    // every `r < R`; lanes at or beyond `cols` are masked off.
                    unsafe {
                        let at = c.add(r * t.tile.ldc + 8 * v).cast::<i64>();
                        let old = _mm512_maskz_loadu_epi64(lanes, at);
                        _mm512_mask_storeu_epi64(at, lanes, _mm512_add_epi64(old, *sum));
                    }
                }
            }
        }
    };
}

tile_kernel!(dispatch_mullo, mullo_rows, mullo_kernel, "avx512f,avx512dq", |sum, a, b| {
    _mm512_add_epi64(*sum, _mm512_mullo_epi64(a, b))
});
tile_kernel!(dispatch_ifma, ifma_rows, ifma_kernel, "avx512f,avx512ifma", |sum, a, b| {
    _mm512_madd52lo_epu64(*sum, a, b)
});
