//! What is done place by place: sums of products, sums, differences, multiples.
#![allow(unsafe_code)]

use super::{Factor, Prime, Root, V, load, splat, store};
use std::arch::x86_64::*;

/// Calls `f` with each vector of `a`, and stores what it gives; the last places by a vector of their own.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn each(a: &mut [u64], f: impl Fn(V) -> V) {
    let (vectors, rest) = a.as_chunks_mut::<8>();
    for a in vectors {
        let v = f(load(a));
        store(a, v);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let v = f(load(&last));
    store(&mut last, v);
    rest.copy_from_slice(&last[..rest.len()]);
}

/// Calls `f` with the vectors of `a` and `b`, of whole vectors each, and stores what it gives in `a`.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn both(a: &mut [u64], b: &[u64], f: impl Fn(V, V) -> V) {
    for (a, b) in a.as_chunks_mut::<8>().0.iter_mut().zip(b.as_chunks::<8>().0) {
        let v = f(load(a), load(b));
        store(a, v);
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn add(p: u64, a: &mut [u64], b: &[u64]) {
    let prime = Prime::new(p);
    both(a, b, |a, b| prime.once(_mm512_add_epi64(a, b), prime.p));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn sub(p: u64, a: &mut [u64], b: &[u64]) {
    let prime = Prime::new(p);
    both(a, b, |a, b| prime.once(_mm512_sub_epi64(_mm512_add_epi64(a, prime.p), b), prime.p));
}

/// Of words below `2^52`.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn scale(a: &mut [u64], factor: Factor) {
    let (prime, root) = (Prime::new(factor.p), Root::constant(factor.value, factor.p));
    each(a, |a| prime.once(prime.times(a, root), prime.p));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn recentre(p: u64, from: u64, a: &[u64], out: &mut [u64]) {
    let (prime, one) = (Prime::new(p), Root::constant(1, p));
    // A negative number gets a multiple of p that brings it above zero.
    let (half, up) = (splat(from / 2), splat((from.div_ceil(p) * p).wrapping_sub(from)));
    both(out, a, |_, a| {
        let above = _mm512_cmpgt_epu64_mask(a, half);
        let a = _mm512_mask_add_epi64(a, above, a, up);
        prime.once(prime.times(a, one), prime.p)
    });
}

/// Tiles of up to 4 lefts by 2 rights: 16 sums in registers.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn add_dots(
    p: u64,
    left: &[u64],
    right: &[u64],
    terms: usize,
    out: &mut [u64],
    n: usize,
) {
    let step = terms * n;
    let rights = right.len() / step;
    let mut lefts = left.chunks(4 * step);
    for out in out.chunks_mut(4 * rights * n) {
        let left = lefts.next().expect("as many as of out");
        for j in (0..rights).step_by(2) {
            let right = &right[j * step..rights.min(j + 2) * step];
            let place = (n, rights, j);
            match (left.len() / step, right.len() / step) {
                (1, 1) => tile::<1, 1>(p, left, right, out, place),
                (2, 1) => tile::<2, 1>(p, left, right, out, place),
                (3, 1) => tile::<3, 1>(p, left, right, out, place),
                (4, 1) => tile::<4, 1>(p, left, right, out, place),
                (1, _) => tile::<1, 2>(p, left, right, out, place),
                (2, _) => tile::<2, 2>(p, left, right, out, place),
                (3, _) => tile::<3, 2>(p, left, right, out, place),
                (_, _) => tile::<4, 2>(p, left, right, out, place),
            }
        }
    }
}

/// `I` lefts by `J` rights; `out` has rows of `rights` polynomials, of which those from `first` on are written.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn tile<const I: usize, const J: usize>(
    p: u64,
    left: &[u64],
    right: &[u64],
    out: &mut [u64],
    (n, rights, first): (usize, usize, usize),
) {
    let terms = left.len() / n / I;
    let prime = Prime::new(p);
    let one = Root::constant(1, p);
    let high = Root::constant((1 << 52) % p, p);
    let (left, right) = (left.as_chunks::<8>().0, right.as_chunks::<8>().0);
    let out = out.as_chunks_mut::<8>().0;
    let vectors = n / 8;
    for at in 0..vectors {
        let place = |i: usize, j: usize| (i * rights + first + j) * vectors + at;
        let mut hi = [[_mm512_setzero_si512(); J]; I];
        let mut lo = hi;
        for i in 0..I {
            for j in 0..J {
                lo[i][j] = load(&out[place(i, j)]);
            }
        }
        for t in 0..terms {
            let ys: [V; J] = std::array::from_fn(|j| load(&right[(j * terms + t) * vectors + at]));
            for i in 0..I {
                let x = load(&left[(i * terms + t) * vectors + at]);
                for j in 0..J {
                    lo[i][j] = _mm512_madd52lo_epu64(lo[i][j], x, ys[j]);
                    hi[i][j] = _mm512_madd52hi_epu64(hi[i][j], x, ys[j]);
                }
            }
        }
        for i in 0..I {
            for j in 0..J {
                let (lo, hi) = (lo[i][j], hi[i][j]);
                let hi = _mm512_add_epi64(hi, _mm512_srli_epi64::<52>(lo));
                let lo = _mm512_and_si512(lo, prime.mask);
                let sum = _mm512_add_epi64(prime.times(lo, one), prime.times(hi, high));
                let sum = prime.once(prime.once(sum, prime.two_p), prime.p);
                store(&mut out[place(i, j)], sum);
            }
        }
    }
}
