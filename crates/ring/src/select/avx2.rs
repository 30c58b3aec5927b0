//! Masked sums with AVX2: eight bits of an element at a time, expanded to lane masks.
#![allow(unsafe_code)]

use super::{Kernel, Table};
use std::arch::x86_64::*;

/// The kernel, if the machine has it.
pub(super) fn kernel() -> Option<Kernel> {
    is_x86_feature_detected!("avx2").then_some(Kernel {
        name: "avx2",
        one: |e, tables, c, out| sums(e, tables, c, out),
        two: |e, tables, c, out| sums(e, tables, c, out),
    })
}

fn sums<const N: usize>(e: &[u8], tables: [&Table; N], c: &[u64], mut out: [&mut [u64]; N]) {
    for (i, (e, &c)) in e.chunks_exact(tables[0].bytes()).zip(c).enumerate() {
        // SAFETY: this function is reachable through `kernel()` only, after the feature was
        // detected.
        let sums = unsafe { single(e, tables.map(|table| table.window(c as usize))) };
        for (out, sum) in out.iter_mut().zip(sums) {
            out[i] = i64::from(sum) as u64;
        }
    }
}

#[target_feature(enable = "avx2")]
fn single<const N: usize>(e: &[u8], windows: [&[i32]; N]) -> [i32; N] {
    let lane_bit = _mm256_set_epi32(128, 64, 32, 16, 8, 4, 2, 1);
    let windows = windows.map(|window| window.as_chunks::<8>().0);
    let mut sums = [_mm256_setzero_si256(); N];
    for (i, &bits) in e.iter().enumerate() {
        let bits = _mm256_and_si256(_mm256_set1_epi32(i32::from(bits)), lane_bit);
        let chosen = _mm256_cmpeq_epi32(bits, lane_bit);
        for (sum, window) in sums.iter_mut().zip(windows) {
            // SAFETY: `window[i]` holds the 8 values that are read.
            let values = unsafe { _mm256_loadu_si256(window[i].as_ptr().cast()) };
            *sum = _mm256_add_epi32(*sum, _mm256_and_si256(values, chosen));
        }
    }
    sums.map(|sum| {
        let mut lanes = [0i32; 8];
        // SAFETY: `lanes` holds the 8 values that are written.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sum) };
        lanes.iter().fold(0i32, |sum, lane| sum.wrapping_add(*lane))
    })
}
