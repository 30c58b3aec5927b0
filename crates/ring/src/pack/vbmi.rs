//! Packing with AVX-512 VBMI: 8 elements at a time, which are `width` whole bytes.
//!
//! Unpacking gathers for every lane the 8 bytes that its element starts in (`vpermb`) and shifts by
//! what is left, at most 7 bits; beyond 57 bits a second gather brings the ninth byte. Packing is
//! the inverse: shift every lane by at most 7 bits, then collect the bytes of the even and of the
//! odd elements apart and join them, as from 7 bits on a byte touches at most two elements; below that
//! all 8 elements fit in one word.
#![allow(unsafe_code)]

use super::portable;
use crate::mask;
use std::arch::x86_64::*;

/// Widths that the kernels take; whole-byte copies stay with the portable code.
pub(super) fn takes(width: u32) -> bool {
    width < 64 && !matches!(width, 8 | 16 | 32) && available()
}

fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi")
}

/// As the portable twin; the caller asked [`takes`].
pub(super) fn pack(words: &[u64], width: u32, out: &mut [u8]) {
    assert!(takes(width), "pack: width {width} on this machine");
    // SAFETY: `takes` has detected the features.
    unsafe { pack_groups(words, width, out) }
}

/// As the portable twin; the caller asked [`takes`].
pub(super) fn unpack(bytes: &[u8], width: u32, out: &mut [u64]) {
    assert!(takes(width), "unpack: width {width} on this machine");
    // SAFETY: `takes` has detected the features.
    unsafe { unpack_groups(bytes, width, out) }
}

/// Byte permutations and shifts of one width, for groups of 8 elements.
struct Plan {
    /// Shift of each lane within its first byte, and what is left of 64.
    shift: [u64; 8],
    rest: [u64; 8],
    /// For each byte of a lane, the packed byte that it comes from; then the ninth bytes.
    first: [u8; 64],
    ninth: [u8; 64],
    /// For each packed byte, the byte of (shifted lanes, ninth bytes) of an even and of an odd element that
    /// lands there, if any.
    joined: [[u8; 64]; 2],
    present: [u64; 2],
}

/// The plan of every width; that of 0 is not used.
static PLANS: [Plan; 65] = {
    let mut plans = [const { Plan::new(0) }; 65];
    let mut w = 1;
    while w <= 64 {
        plans[w] = Plan::new(w);
        w += 1;
    }
    plans
};

impl Plan {
    const fn new(w: usize) -> Self {
        let mut plan = Plan {
            shift: [0; 8],
            rest: [0; 8],
            first: [0; 64],
            ninth: [0; 64],
            joined: [[0; 64]; 2],
            present: [0; 2],
        };
        let mut lane = 0;
        while lane < 8 {
            let (start, shift) = (lane * w / 8, lane * w % 8);
            plan.shift[lane] = shift as u64;
            plan.rest[lane] = 64 - shift as u64;
            let mut byte = 0;
            while byte < 8 {
                plan.first[8 * lane + byte] = (start + byte) as u8;
                plan.ninth[8 * lane + byte] = (start + 8 + byte) as u8;
                byte += 1;
            }
            // Bytes that hold bits of this lane. From 7 bits on a byte touches at most two elements;
            // smaller widths do not use this.
            let mut byte = start;
            while 8 * byte < (lane + 1) * w && byte < 64 {
                let within = byte - start;
                plan.joined[lane % 2][byte] =
                    (if within < 8 { 8 * lane + within } else { 64 + 8 * lane }) as u8;
                plan.present[lane % 2] |= 1 << byte;
                byte += 1;
            }
            lane += 1;
        }
        plan
    }
}

#[target_feature(enable = "avx512f")]
fn load_bytes(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: 64 bytes are read from 64 bytes.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
fn load_words(words: &[u64; 8]) -> __m512i {
    // SAFETY: 64 bytes are read from 8 words.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
fn store_bytes(bytes: &mut [u8; 64], x: __m512i) {
    // SAFETY: 64 bytes are written to 64 bytes.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), x) }
}

#[target_feature(enable = "avx512f")]
fn store_words(words: &mut [u64; 8], x: __m512i) {
    // SAFETY: 64 bytes are written to 8 words.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), x) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn pack_groups(words: &[u64], width: u32, out: &mut [u8]) {
    let w = width as usize;
    let plan = &PLANS[w];
    let low = _mm512_set1_epi64(mask(width) as i64);
    let (up, down) = (load_words(&plan.shift), load_words(&plan.rest));
    let [even, odd] = [load_bytes(&plan.joined[0]), load_bytes(&plan.joined[1])];
    let join = |words: &[u64; 8]| {
        let x = _mm512_and_si512(load_words(words), low);
        let shifted = _mm512_sllv_epi64(x, up);
        if width < 7 {
            // More than two elements share a byte, but all 8 of them fit in one word.
            let lanes = load_words(&std::array::from_fn(|lane| (lane * w) as u64));
            let all = _mm512_reduce_or_epi64(_mm512_sllv_epi64(x, lanes));
            _mm512_zextsi128_si512(_mm_cvtsi64_si128(all))
        } else if width <= 57 {
            _mm512_or_si512(
                _mm512_maskz_permutexvar_epi8(plan.present[0], even, shifted),
                _mm512_maskz_permutexvar_epi8(plan.present[1], odd, shifted),
            )
        } else {
            let ninth = _mm512_srlv_epi64(x, down);
            _mm512_or_si512(
                _mm512_maskz_permutex2var_epi8(plan.present[0], shifted, even, ninth),
                _mm512_maskz_permutex2var_epi8(plan.present[1], shifted, odd, ninth),
            )
        }
    };
    let (groups, rest) = words.as_chunks::<8>();
    // The 64 bytes of a group reach into later groups, which overwrite them, as long as they fit.
    let direct = groups.len().min((out.len() + w).saturating_sub(64) / w);
    for (group, words) in groups[..direct].iter().enumerate() {
        let bytes = out[group * w..].first_chunk_mut().expect("64 bytes fit");
        store_bytes(bytes, join(words));
    }
    let mut bytes = [0; 64];
    for (group, words) in groups.iter().enumerate().skip(direct) {
        store_bytes(&mut bytes, join(words));
        out[group * w..][..w].copy_from_slice(&bytes[..w]);
    }
    portable::pack(rest, width, &mut out[w * groups.len()..]);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn unpack_groups(bytes: &[u8], width: u32, out: &mut [u64]) {
    let w = width as usize;
    let plan = &PLANS[w];
    let low = _mm512_set1_epi64(mask(width) as i64);
    let (down, up) = (load_words(&plan.shift), load_words(&plan.rest));
    let (first, ninth) = (load_bytes(&plan.first), load_bytes(&plan.ninth));
    let split = |bytes: &[u8; 64]| {
        let x = load_bytes(bytes);
        let mut word = _mm512_srlv_epi64(_mm512_permutexvar_epi8(first, x), down);
        if width > 57 {
            // The shift keeps the at most 7 bits that are missing and drops the rest.
            let missing = _mm512_sllv_epi64(_mm512_permutexvar_epi8(ninth, x), up);
            word = _mm512_or_si512(word, missing);
        }
        _mm512_and_si512(word, low)
    };
    let (groups, rest) = out.as_chunks_mut::<8>();
    let direct = groups.len().min((bytes.len() + w).saturating_sub(64) / w);
    for (group, out) in groups[..direct].iter_mut().enumerate() {
        let bytes = bytes[group * w..].first_chunk().expect("64 bytes are there");
        store_words(out, split(bytes));
    }
    let mut padded = [0; 64];
    for (group, out) in groups.iter_mut().enumerate().skip(direct) {
        padded[..w].copy_from_slice(&bytes[group * w..][..w]);
        store_words(out, split(&padded));
    }
    portable::unpack(&bytes[w * groups.len()..], width, rest);
}
