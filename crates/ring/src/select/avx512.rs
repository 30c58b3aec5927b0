//! Masked sums with AVX-512.
//!
//! A batch runs 16 elements side by side, one a lane. For four neighbouring bits the table holds
//! all 16 subset sums of their four values in one register; the four secret bits of every lane pick
//! one of them by a register permutation (`vpermd`), which has no address and no branch and takes
//! the same time for every pick. So 64 terms cost one permutation and one addition. Lanes have
//! different `c`, so every element's bits are first rotated right by its public `c`, which makes the
//! table's position the same for all lanes.
//!
//! Single elements, and tables without subset sums, take 16 neighbouring bits as a lane mask.
#![allow(unsafe_code)]

use super::table::{Row, Table};
use super::{Kernel, portable};
use std::arch::x86_64::*;

/// The kernel, if the machine has it.
pub(super) fn kernel() -> Option<Kernel> {
    is_x86_feature_detected!("avx512f").then_some(Kernel {
        name: "avx512",
        one: |e, tables, c, out| sums(e, tables, c, out),
        two: |e, tables, c, out| sums(e, tables, c, out),
    })
}

/// Fewer elements than this are cheaper one by one.
const WORTH_A_BATCH: usize = 6;

fn sums<const N: usize>(e: &[u8], tables: [&Table; N], c: &[u64], mut out: [&mut [u64]; N]) {
    let (k, bytes) = (tables[0].k, tables[0].bytes());
    if k < 4 {
        return portable::sums(e, tables, c, out);
    }
    let batched = tables.iter().all(|table| !table.subset_sums.is_empty());
    let mut at = 0;
    while at < c.len() {
        let count = (c.len() - at).min(16);
        let bits = &e[at * bytes..(at + count) * bytes];
        // SAFETY: this function is reachable through `kernel()` only, after the feature was
        // detected.
        let lanes = unsafe {
            if batched && count >= WORTH_A_BATCH {
                batch(bits, tables, &c[at..at + count])
            } else {
                let mut lanes = [[0; 16]; N];
                for (i, bits) in bits.chunks_exact(bytes).enumerate() {
                    for (lanes, sum) in lanes.iter_mut().zip(single(bits, tables, c[at + i])) {
                        lanes[i] = sum;
                    }
                }
                lanes
            }
        };
        for (out, lanes) in out.iter_mut().zip(lanes) {
            for (out, lane) in out[at..at + count].iter_mut().zip(lanes) {
                *out = i64::from(lane) as u64;
            }
        }
        at += count;
    }
}

/// One element: 16 bits at a time as a mask over the window of its `c`.
#[target_feature(enable = "avx512f")]
fn single<const N: usize>(e: &[u8], tables: [&Table; N], c: u64) -> [i32; N] {
    let masks = e.as_chunks::<2>().0;
    tables.map(|table| {
        let window = table.window(c as usize).as_chunks::<16>().0;
        let mut sums = [_mm512_setzero_si512(); 2];
        for (i, (mask, values)) in masks.iter().zip(window).enumerate() {
            // SAFETY: `values` holds the 16 values that are read.
            let values = unsafe { _mm512_loadu_si512(values.as_ptr().cast()) };
            let sum = &mut sums[i % 2];
            *sum = _mm512_mask_add_epi32(*sum, u16::from_le_bytes(*mask), *sum, values);
        }
        _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]))
    })
}

/// Up to 16 elements side by side; lanes beyond `c.len()` come back as garbage.
#[target_feature(enable = "avx512f")]
fn batch<const N: usize>(e: &[u8], tables: [&Table; N], c: &[u64]) -> [[i32; 16]; N] {
    let words = tables[0].bytes() / 4;
    assert!(words.is_power_of_two() && c.len() <= 16 && e.len() == 4 * words * c.len());
    let rows = tables.map(|table| {
        let (rows, rest) = table.subset_sums.as_chunks::<8>();
        assert!(rows.len() == words && rest.is_empty());
        rows
    });
    let active = u16::MAX >> (16 - c.len());
    let mut starts = [0u32; 16];
    for (start, c) in starts.iter_mut().zip(c) {
        *start = (c % (32 * words as u64)) as u32;
    }
    // SAFETY: `starts` holds the 16 values that are read.
    let start = unsafe { _mm512_loadu_si512(starts.as_ptr().cast()) };
    let lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    let base = _mm512_mullo_epi32(lane, _mm512_set1_epi32(words as i32));
    let wrap = _mm512_set1_epi32(words as i32 - 1);
    let down = _mm512_and_si512(start, _mm512_set1_epi32(31));
    let up = _mm512_sub_epi32(_mm512_set1_epi32(32), down);
    let first = _mm512_srli_epi32::<5>(start);
    let fetch = |word: usize| {
        let within = _mm512_add_epi32(first, _mm512_set1_epi32(word as i32));
        let index = _mm512_add_epi32(base, _mm512_and_si512(within, wrap));
        // SAFETY: an active lane is below `c.len()` and `within & wrap` is below `words`, so the
        // index is below `words * c.len()`, and `e` holds that many 4-byte words.
        unsafe {
            _mm512_mask_i32gather_epi32::<4>(
                _mm512_setzero_si512(),
                active,
                index,
                e.as_ptr().cast(),
            )
        }
    };
    let mut sums = [_mm512_setzero_si512(); N];
    let mut current = fetch(0);
    for word in 0..words {
        let next = fetch(word + 1);
        // Shifts by 32 give zero, so a lane that starts on a word takes nothing from the next one.
        let mut bits =
            _mm512_or_si512(_mm512_srlv_epi32(current, down), _mm512_sllv_epi32(next, up));
        for four in 0..8 {
            for (sum, rows) in sums.iter_mut().zip(rows) {
                // SAFETY: a row holds the 16 values that are read, aligned to 64 bytes.
                let row = unsafe { _mm512_load_si512(rows[word][four].0.as_ptr().cast()) };
                // The permutation looks at the low four bits of every lane only.
                *sum = _mm512_add_epi32(*sum, _mm512_permutexvar_epi32(bits, row));
            }
            bits = _mm512_srli_epi32::<4>(bits);
        }
        current = next;
    }
    sums.map(|sum| {
        let mut lanes = Row([0; 16]);
        // SAFETY: a row holds the 16 values that are written, aligned to 64 bytes.
        unsafe { _mm512_store_si512(lanes.0.as_mut_ptr().cast(), sum) };
        lanes.0
    })
}
