//! Packing with AVX-512 VBMI: 8 elements at a time, which are `width` whole bytes.
//!
//! Unpacking gathers for every lane the 8 bytes that its element starts in (`vpermb`) and shifts by
//! what is left, at most 7 bits; beyond 57 bits a second gather brings the ninth byte. Packing is
//! the inverse: shift every lane by at most 7 bits, then collect the bytes of the even and of the
//! odd elements apart and join them, as from 7 bits on a byte touches at most two elements.
#![allow(unsafe_code)]

use super::portable;
use crate::mask;
use std::arch::x86_64::*;

/// Widths that [`pack`] takes; whole-byte copies and tiny widths stay with the portable code.
pub(super) fn packs(width: u32) -> bool {
    (7..64).contains(&width) && !matches!(width, 8 | 16 | 32) && available()
}

/// Widths that [`unpack`] takes.
pub(super) fn unpacks(width: u32) -> bool {
    width < 64 && !matches!(width, 8 | 16 | 32) && available()
}

fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi")
}

/// As the portable twin; the caller asked [`packs`].
pub(super) fn pack(words: &[u64], width: u32, out: &mut [u8]) {
    assert!(packs(width), "pack: width {width} on this machine");
    // SAFETY: `packs` has detected the features.
    unsafe { pack_groups(words, width, out) }
}

/// As the portable twin; the caller asked [`unpacks`].
pub(super) fn unpack(bytes: &[u8], width: u32, out: &mut [u64]) {
    assert!(unpacks(width), "unpack: width {width} on this machine");
    // SAFETY: `unpacks` has detected the features.
    unsafe { unpack_groups(bytes, width, out) }
}

/// The vector of 64 bytes given by `byte`.
#[target_feature(enable = "avx512f")]
fn bytes_of(byte: impl FnMut(usize) -> u8) -> __m512i {
    let bytes: [u8; 64] = std::array::from_fn(byte);
    // SAFETY: `bytes` holds the 64 bytes that are read.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// The vector of 8 words given by `lane`.
#[target_feature(enable = "avx512f")]
fn lanes_of(lane: impl FnMut(usize) -> u64) -> __m512i {
    let lanes: [u64; 8] = std::array::from_fn(lane);
    // SAFETY: `lanes` holds the 64 bytes that are read.
    unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn pack_groups(words: &[u64], width: u32, out: &mut [u8]) {
    let w = width as usize;
    let low = _mm512_set1_epi64(mask(width) as i64);
    let up = lanes_of(|lane| (lane * w % 8) as u64);
    let down = lanes_of(|lane| 64 - (lane * w % 8) as u64);
    // For every byte and parity, the element whose bits it holds, if any, and which byte of
    // (shifted lanes, ninth bytes) lands there.
    let touches = |lane: usize, byte: usize| lane * w < 8 * (byte + 1) && (lane + 1) * w > 8 * byte;
    let lane_at = |parity: usize, byte: usize| {
        let inside = byte < w;
        (parity..8)
            .step_by(2)
            .find(|&lane| inside && touches(lane, byte))
    };
    let present = [0, 1].map(|parity| {
        let held = (0..64).filter(|&byte| lane_at(parity, byte).is_some());
        held.fold(0u64, |mask, byte| mask | 1 << byte)
    });
    let [even, odd] = [0, 1].map(|parity| {
        bytes_of(|byte| {
            lane_at(parity, byte).map_or(0, |lane| {
                let within = byte - lane * w / 8;
                (if within < 8 {
                    8 * lane + within
                } else {
                    64 + 8 * lane
                }) as u8
            })
        })
    });
    let mut done = 0;
    for (group, words) in words.as_chunks::<8>().0.iter().enumerate() {
        if group * w + 64 > out.len() {
            break;
        }
        // SAFETY: `words` holds 8 words.
        let x = _mm512_and_si512(unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }, low);
        let shifted = _mm512_sllv_epi64(x, up);
        let joined = if width <= 57 {
            _mm512_or_si512(
                _mm512_maskz_permutexvar_epi8(present[0], even, shifted),
                _mm512_maskz_permutexvar_epi8(present[1], odd, shifted),
            )
        } else {
            let ninth = _mm512_srlv_epi64(x, down);
            _mm512_or_si512(
                _mm512_maskz_permutex2var_epi8(present[0], shifted, even, ninth),
                _mm512_maskz_permutex2var_epi8(present[1], shifted, odd, ninth),
            )
        };
        // SAFETY: 64 bytes fit at `group * w`, as checked above; those beyond the `w` bytes of this
        // group belong to later groups, which overwrite them.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().add(group * w).cast(), joined) };
        done = group + 1;
    }
    portable::pack(&words[8 * done..], width, &mut out[w * done..]);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn unpack_groups(bytes: &[u8], width: u32, out: &mut [u64]) {
    let w = width as usize;
    let low = _mm512_set1_epi64(mask(width) as i64);
    let down = lanes_of(|lane| (lane * w % 8) as u64);
    let up = lanes_of(|lane| 64 - (lane * w % 8) as u64);
    let first = bytes_of(|byte| (byte / 8 * w / 8 + byte % 8) as u8);
    let ninth = bytes_of(|byte| (byte / 8 * w / 8 + 8 + byte % 8) as u8);
    let mut done = 0;
    for (group, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        if group * w + 64 > bytes.len() {
            break;
        }
        // SAFETY: 64 bytes can be read at `group * w`, as checked above.
        let x = unsafe { _mm512_loadu_si512(bytes.as_ptr().add(group * w).cast()) };
        let mut word = _mm512_srlv_epi64(_mm512_permutexvar_epi8(first, x), down);
        if width > 57 {
            // The shift keeps the at most 7 bits that are missing and drops the rest.
            let missing = _mm512_sllv_epi64(_mm512_permutexvar_epi8(ninth, x), up);
            word = _mm512_or_si512(word, missing);
        }
        // SAFETY: `out` holds 8 words.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), _mm512_and_si512(word, low)) };
        done = group + 1;
    }
    portable::unpack(&bytes[w * done..], width, &mut out[8 * done..]);
}
