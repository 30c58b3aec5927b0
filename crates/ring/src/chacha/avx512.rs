//! A register for each word of the state, a lane for each block.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::PASS;

/// "expand 32-byte k".
const SIGMA: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// Words of a state.
type State = [__m512i; 16];

/// Whole passes from block `first` on, all below `2^32`; for machines that have the feature.
pub(super) fn fill(key: &[u8; 32], nonce: [u32; 3], first: u32, out: &mut [u8]) {
    // SAFETY: `ChaCha12`, whose only maker detects the feature, calls this.
    unsafe { fill_passes(key, nonce, first, out) }
}

#[target_feature(enable = "avx512f")]
fn fill_passes(key: &[u8; 32], nonce: [u32; 3], first: u32, out: &mut [u8]) {
    let (words, _) = key.as_chunks::<4>();
    let mut state = [_mm512_setzero_si512(); 16];
    let fixed = SIGMA.into_iter().chain(words.iter().map(|w| u32::from_le_bytes(*w)));
    for (lanes, word) in state.iter_mut().zip(fixed) {
        *lanes = _mm512_set1_epi32(word as i32);
    }
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    state[12] = _mm512_add_epi32(_mm512_set1_epi32(first as i32), lanes);
    for (lanes, word) in state[13..].iter_mut().zip(nonce) {
        *lanes = _mm512_set1_epi32(word as i32);
    }
    for pass in out.as_chunks_mut::<PASS>().0 {
        let mut v = state;
        for _ in 0..6 {
            quarter(&mut v, 0, 4, 8, 12);
            quarter(&mut v, 1, 5, 9, 13);
            quarter(&mut v, 2, 6, 10, 14);
            quarter(&mut v, 3, 7, 11, 15);
            quarter(&mut v, 0, 5, 10, 15);
            quarter(&mut v, 1, 6, 11, 12);
            quarter(&mut v, 2, 7, 8, 13);
            quarter(&mut v, 3, 4, 9, 14);
        }
        for (word, start) in v.iter_mut().zip(&state) {
            *word = _mm512_add_epi32(*word, *start);
        }
        store(&v, pass);
        state[12] = _mm512_add_epi32(state[12], _mm512_set1_epi32(16));
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn quarter(v: &mut State, a: usize, b: usize, c: usize, d: usize) {
    v[a] = _mm512_add_epi32(v[a], v[b]);
    v[d] = _mm512_rol_epi32::<16>(_mm512_xor_si512(v[d], v[a]));
    v[c] = _mm512_add_epi32(v[c], v[d]);
    v[b] = _mm512_rol_epi32::<12>(_mm512_xor_si512(v[b], v[c]));
    v[a] = _mm512_add_epi32(v[a], v[b]);
    v[d] = _mm512_rol_epi32::<8>(_mm512_xor_si512(v[d], v[a]));
    v[c] = _mm512_add_epi32(v[c], v[d]);
    v[b] = _mm512_rol_epi32::<7>(_mm512_xor_si512(v[b], v[c]));
}

/// Words of lanes to lanes of words: block after block.
#[inline]
#[target_feature(enable = "avx512f")]
fn store(v: &State, out: &mut [u8; PASS]) {
    // Of each four words: register j has in its part l those of block 4 l + j.
    let mut fours = [[_mm512_setzero_si512(); 4]; 4];
    for (four, words) in fours.iter_mut().zip(v.as_chunks::<4>().0) {
        let [w0, w1, w2, w3] = *words;
        let (a, b) = (_mm512_unpacklo_epi32(w0, w1), _mm512_unpackhi_epi32(w0, w1));
        let (c, d) = (_mm512_unpacklo_epi32(w2, w3), _mm512_unpackhi_epi32(w2, w3));
        *four = [
            _mm512_unpacklo_epi64(a, c),
            _mm512_unpackhi_epi64(a, c),
            _mm512_unpacklo_epi64(b, d),
            _mm512_unpackhi_epi64(b, d),
        ];
    }
    let (blocks, _) = out.as_chunks_mut::<64>();
    for j in 0..4 {
        let [q0, q1, q2, q3] = fours.map(|four| four[j]);
        let (even, odd) =
            (_mm512_shuffle_i32x4::<0x88>(q0, q1), _mm512_shuffle_i32x4::<0xdd>(q0, q1));
        let (more_even, more_odd) =
            (_mm512_shuffle_i32x4::<0x88>(q2, q3), _mm512_shuffle_i32x4::<0xdd>(q2, q3));
        let parts = [
            _mm512_shuffle_i32x4::<0x88>(even, more_even),
            _mm512_shuffle_i32x4::<0x88>(odd, more_odd),
            _mm512_shuffle_i32x4::<0xdd>(even, more_even),
            _mm512_shuffle_i32x4::<0xdd>(odd, more_odd),
        ];
        for (l, part) in parts.into_iter().enumerate() {
            let block = &mut blocks[4 * l + j];
            // SAFETY: a block is the 64 bytes that are written.
            unsafe { _mm512_storeu_si512(block.as_mut_ptr().cast(), part) };
        }
    }
}
