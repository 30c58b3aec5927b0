//! Transforms with AVX-512 and its 52-bit products: 8 coefficients a vector, two levels a pass over memory.
//!
//! Why 52 bits are enough: `n p < 2^52`. Forth, a value is below `(1 + 2 log n) p`; back, below `n p`. Shoup's product is in
//! `[0, 2p)` for every operand below `2^52`; both halves of it are taken mod `2^52` and their difference is masked to that.
//! A sum of products keeps low and high halves apart: 2048 low halves and a word stay below `2^64`.
#![allow(unsafe_code)]

mod places;
mod transform;

use super::{Factor, Kernel, MOST_TERMS, Roots, quotient52};
use std::arch::x86_64::*;

/// The kernel, if the machine has it.
pub(super) fn kernel() -> Option<Kernel> {
    let here = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512ifma");
    here.then_some(Kernel {
        name: "avx512-ifma",
        // SAFETY (all of them): reachable through `kernel()` only, after the features were detected.
        forward: |ntt, a, blocks, first| unsafe { transform::forward(ntt, a, blocks, first) },
        inverse: |ntt, a| unsafe { transform::inverse(ntt, a) },
        low: |ntt, low, size, first, out| unsafe { transform::low(ntt, low, size, first, out) },
        add_dots: |p, left, right, terms, out, n| unsafe {
            places::add_dots(p, left, right, terms, out, n)
        },
        add: |p, a, b| unsafe { places::add(p, a, b) },
        sub: |p, a, b| unsafe { places::sub(p, a, b) },
        scale: |a, factor| unsafe { places::scale(a, factor) },
        recentre: |p, from, a, out| unsafe { places::recentre(p, from, a, out) },
    })
}

const _: () = assert!(MOST_TERMS < 4096, "low halves of 52 bits must not overflow 64");

type V = __m512i;

#[inline]
#[target_feature(enable = "avx512f")]
fn load(a: &[u64; 8]) -> V {
    // SAFETY: 64 bytes are behind the reference.
    unsafe { _mm512_loadu_si512(a.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(a: &mut [u64; 8], v: V) {
    // SAFETY: 64 bytes are behind the reference.
    unsafe { _mm512_storeu_si512(a.as_mut_ptr().cast(), v) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn splat(x: u64) -> V {
    _mm512_set1_epi64(x as i64)
}

/// Constants of the prime.
#[derive(Clone, Copy)]
struct Prime {
    p: V,
    two_p: V,
    minus_p: V,
    mask: V,
}

/// Constants in the lanes, with its quotient.
#[derive(Clone, Copy)]
struct Root(V, V);

impl Root {
    /// A constant in every lane.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn constant(value: u64, p: u64) -> Self {
        Self(splat(value), splat(quotient52(value, p)))
    }
}

impl Prime {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn new(p: u64) -> Self {
        let two52 = 1u64 << 52;
        Self { p: splat(p), two_p: splat(2 * p), minus_p: splat(two52 - p), mask: splat(two52 - 1) }
    }

    /// Shoup's product, in `[0, 2p)`, of `x < 2^52`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn times(self, x: V, root: Root) -> V {
        let zero = _mm512_setzero_si512();
        let q = _mm512_madd52hi_epu64(zero, x, root.1);
        let low = _mm512_madd52lo_epu64(zero, x, root.0);
        _mm512_and_si512(_mm512_madd52lo_epu64(low, q, self.minus_p), self.mask)
    }

    /// `[0, 2m)` to `[0, m)`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn once(self, x: V, m: V) -> V {
        _mm512_min_epu64(x, _mm512_sub_epi64(x, m))
    }

    /// Cooley and Tukey's butterfly.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn forth(self, x: &mut V, y: &mut V, root: Root) {
        let t = self.times(*y, root);
        *y = _mm512_sub_epi64(_mm512_add_epi64(*x, self.two_p), t);
        *x = _mm512_add_epi64(*x, t);
    }

    /// Gentleman and Sande's; `y` is at most `bound`, a multiple of `p`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn back(self, x: &mut V, y: &mut V, root: Root, bound: V) {
        let difference = _mm512_sub_epi64(_mm512_add_epi64(*x, bound), *y);
        *x = _mm512_add_epi64(*x, *y);
        *y = self.times(difference, root);
    }
}

impl Roots {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn splat(&self, i: usize) -> Root {
        Root(splat(self.w[i]), splat(self.quotient52[i]))
    }

    /// Roots from `i` on, `8 / N` neighbouring lanes of each.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn spread<const N: usize>(&self, i: usize) -> Root {
        let index = match N {
            2 => _mm512_setr_epi64(0, 0, 0, 0, 1, 1, 1, 1),
            4 => _mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3),
            _ => _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7),
        };
        let lanes = |a: &[u64]| {
            // Those beyond N are not used; the last level has the most, so there are 8 behind every other.
            let a: &[u64; 8] = a[i..i + 8].try_into().expect("8 of them");
            _mm512_permutexvar_epi64(index, load(a))
        };
        Root(lanes(&self.w), lanes(&self.quotient52))
    }
}
