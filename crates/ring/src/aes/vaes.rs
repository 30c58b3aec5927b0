//! The kernel: four blocks a register, four registers side by side, which hides the latency of a round.
#![allow(unsafe_code)]

use std::{arch::x86_64::*, mem::transmute};

use super::{LEVELS, Schedule};

/// Blocks side by side.
const WIDTH: usize = 16;

/// 16 blocks.
type Group = [__m512i; WIDTH / 4];

pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("vaes")
        && is_x86_feature_detected!("aes")
}

pub(super) fn schedule(key: u128) -> Schedule {
    // SAFETY: a `Cipher` is there, so `available` has detected the features.
    unsafe { expand(key) }
}

pub(super) fn encrypt(schedule: &Schedule, blocks: &mut [u128]) {
    let (groups, rest) = blocks.as_chunks_mut::<WIDTH>();
    // SAFETY: as above.
    groups.iter_mut().for_each(|group| unsafe { encrypt_group(schedule, group) });
    if !rest.is_empty() {
        let mut group = [0; WIDTH];
        group[..rest.len()].copy_from_slice(rest);
        // SAFETY: as above.
        unsafe { encrypt_group(schedule, &mut group) };
        rest.copy_from_slice(&group[..rest.len()]);
    }
}

pub(super) fn sums(k: usize, leaves: &[Schedule], block: u64, out: &mut [u8]) {
    let bytes = out.len() / (k + 1);
    let mut group = [[0; 16 * WIDTH]; LEVELS + 1];
    for at in (0..bytes).step_by(16 * WIDTH) {
        // SAFETY: as above.
        unsafe { sum_group(k, leaves, block.wrapping_add(at as u64 / 16), &mut group) };
        let len = (16 * WIDTH).min(bytes - at);
        for (out, sum) in out.chunks_exact_mut(bytes).zip(&group) {
            out[at..at + len].copy_from_slice(&sum[..len]);
        }
    }
}

#[target_feature(enable = "aes")]
fn expand(key: u128) -> Schedule {
    let word = |bytes: u128, i: u32| (bytes >> (32 * i)) as u32;
    let mut keys = [key; 11];
    let mut constant = 1u32;
    for round in 1..11 {
        let last = keys[round - 1];
        // SubWord and RotWord of the last word, which the instruction leaves in the highest one.
        // SAFETY: a u128 and a register of 128 bits are the same bytes.
        let assisted: u128 =
            unsafe { transmute(_mm_aeskeygenassist_si128::<0>(transmute::<u128, __m128i>(last))) };
        let mut sum = word(assisted, 3) ^ constant;
        let mut next = 0;
        for i in 0..4 {
            sum ^= word(last, i);
            next |= u128::from(sum) << (32 * i);
        }
        keys[round] = next;
        // Doubled in the field of 256 elements.
        constant = (constant << 1) ^ ((constant >> 7) * 0x11b);
    }
    keys
}

#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn rounds(schedule: &Schedule, mut x: Group) -> Group {
    let [first, middle @ .., last] = schedule;
    let key = broadcast(first);
    for x in &mut x {
        *x = _mm512_xor_si512(*x, key);
    }
    for key in middle {
        let key = broadcast(key);
        for x in &mut x {
            *x = _mm512_aesenc_epi128(*x, key);
        }
    }
    let key = broadcast(last);
    for x in &mut x {
        *x = _mm512_aesenclast_epi128(*x, key);
    }
    x
}

#[inline]
#[target_feature(enable = "avx512f")]
fn broadcast(key: &u128) -> __m512i {
    // SAFETY: 16 bytes are read.
    _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(std::ptr::from_ref(key).cast()) })
}

#[target_feature(enable = "avx512f,vaes")]
fn encrypt_group(schedule: &Schedule, group: &mut [u128; WIDTH]) {
    // SAFETY: 16 words and four registers are the same bytes.
    let x = unsafe { transmute::<[u128; WIDTH], Group>(*group) };
    // SAFETY: as above.
    *group = unsafe { transmute::<Group, [u128; WIDTH]>(rounds(schedule, x)) };
}

#[inline]
#[target_feature(enable = "avx512f")]
fn xor(x: &mut Group, y: &Group) {
    for (x, y) in x.iter_mut().zip(y) {
        *x = _mm512_xor_si512(*x, *y);
    }
}

/// Leaves are added in pairs, pairs in pairs of pairs: two additions a leaf give all `k + 1` sums.
#[target_feature(enable = "avx512f,vaes")]
fn sum_group(k: usize, leaves: &[Schedule], block: u64, out: &mut [[u8; 16 * WIDTH]; LEVELS + 1]) {
    let lanes = |i: u64| {
        let number = |j: u64| block.wrapping_add(4 * i + j) as i64;
        _mm512_setr_epi64(number(0), 0, number(1), 0, number(2), 0, number(3), 0)
    };
    let counters = [lanes(0), lanes(1), lanes(2), lanes(3)];
    let zero: Group = [_mm512_setzero_si512(); WIDTH / 4];
    // Sums of 1, 2, 4.. leaves that wait for as many more; the last is that of all.
    let (mut columns, mut waiting) = ([zero; LEVELS], [zero; LEVELS + 1]);
    let missing = (1 << k) - leaves.len();
    for x in 0..1usize << k {
        let mut sum = match x.checked_sub(missing) {
            Some(leaf) => rounds(&leaves[leaf], counters),
            None => zero,
        };
        let ones = x.trailing_ones() as usize;
        for (column, left) in columns.iter_mut().zip(&waiting).take(ones) {
            xor(column, &sum);
            xor(&mut sum, left);
        }
        waiting[ones] = sum;
    }
    // SAFETY: four registers are so many bytes.
    let bytes = |x: Group| unsafe { transmute::<Group, [u8; 16 * WIDTH]>(x) };
    for (column, out) in columns.iter().zip(&mut *out) {
        *out = bytes(*column);
    }
    out[k] = bytes(waiting[k]);
}
