//! Transforms with AVX-512 and its 52-bit products: 8 coefficients a vector, two levels a pass over memory.
//!
//! Why 52 bits are enough: `n p < 2^52`. Forth, a value is below `(1 + 2 log n) p`; back, below `n p`. Shoup's product is in
//! `[0, 2p)` for every operand below `2^52`; both halves of it are taken mod `2^52` and their difference is masked to that.
//! A sum of products keeps low and high halves apart: 2048 low halves and a word stay below `2^64`.
#![allow(unsafe_code)]

use super::{Kernel, MOST_TERMS, Ntt, Roots, quotient52};
use std::arch::x86_64::*;

/// The kernel, if the machine has it.
pub(super) fn kernel() -> Option<Kernel> {
    let here = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512ifma");
    here.then_some(Kernel {
        name: "avx512-ifma",
        // SAFETY (all three): reachable through `kernel()` only, after the features were detected.
        forward: |ntt, a, blocks| unsafe { forward(ntt, a, blocks) },
        inverse: |ntt, a| unsafe { inverse(ntt, a) },
        add_dots: |ntt, left, right, terms, out| unsafe { add_dots(ntt, left, right, terms, out) },
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

/// A root in every lane, with its quotient.
#[derive(Clone, Copy)]
struct Root(V, V);

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

    /// Roots `i..i + N`, each in `8 / N` neighbouring lanes.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn spread<const N: usize>(&self, i: usize) -> Root {
        let lanes = |a: &[u64]| {
            let a: &[u64; N] = a[i..i + N].try_into().expect("N of them");
            load(&std::array::from_fn(|lane| a[lane * N / 8]))
        };
        Root(lanes(&self.w), lanes(&self.quotient52))
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn forward(ntt: &Ntt, a: &mut [u64], mut blocks: usize) {
    let (prime, roots) = (Prime::new(ntt.p), &ntt.forward);
    // Blocks of 64 words and more: two levels at once.
    while ntt.n / blocks >= 64 {
        for (i, block) in a.chunks_exact_mut(ntt.n / blocks).enumerate() {
            let first = roots.splat(blocks + i);
            let second = [2 * (blocks + i), 2 * (blocks + i) + 1].map(|i| roots.splat(i));
            four(block, |x| {
                let [x0, x1, x2, x3] = x;
                prime.forth(x0, x2, first);
                prime.forth(x1, x3, first);
                prime.forth(x0, x1, second[0]);
                prime.forth(x2, x3, second[1]);
            });
        }
        blocks *= 4;
    }
    if ntt.n / blocks == 32 {
        for (i, block) in a.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let root = roots.splat(blocks + i);
            let (low, high) = block.split_at_mut(16);
            for (x, y) in low.as_chunks_mut().0.iter_mut().zip(high.as_chunks_mut().0) {
                let (mut u, mut v) = (load(x), load(y));
                prime.forth(&mut u, &mut v, root);
                store(x, u);
                store(y, v);
            }
        }
        blocks *= 2;
    }
    let one = Root(splat(1), splat(quotient52(1, ntt.p)));
    for (i, block) in a.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let b = blocks + i;
        let (mut x, mut y) = halves(block);
        prime.forth(&mut x, &mut y, roots.splat(b));
        (x, y) = (_mm512_shuffle_i64x2::<0x44>(x, y), _mm512_shuffle_i64x2::<0xee>(x, y));
        prime.forth(&mut x, &mut y, roots.spread::<2>(2 * b));
        (x, y) = pairs(x, y);
        prime.forth(&mut x, &mut y, roots.spread::<4>(4 * b));
        (x, y) = (_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y));
        prime.forth(&mut x, &mut y, roots.spread::<8>(8 * b));
        // Alternating, to the order of the coefficients.
        let (low, high) = (
            _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11),
            _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15),
        );
        (x, y) = (_mm512_permutex2var_epi64(x, low, y), _mm512_permutex2var_epi64(x, high, y));
        x = prime.once(prime.times(x, one), prime.p);
        y = prime.once(prime.times(y, one), prime.p);
        put(block, x, y);
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn inverse(ntt: &Ntt, a: &mut [u64]) {
    let (prime, roots, p) = (Prime::new(ntt.p), &ntt.inverse, ntt.p);
    let mut blocks = ntt.n / 16;
    for (i, block) in a.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let b = blocks + i;
        let (mut x, mut y) = halves(block);
        let (even, odd) = (
            _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14),
            _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15),
        );
        (x, y) = (_mm512_permutex2var_epi64(x, even, y), _mm512_permutex2var_epi64(x, odd, y));
        prime.back(&mut x, &mut y, roots.spread::<8>(8 * b), splat(p));
        (x, y) = (_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y));
        prime.back(&mut x, &mut y, roots.spread::<4>(4 * b), splat(2 * p));
        (x, y) = pairs(x, y);
        prime.back(&mut x, &mut y, roots.spread::<2>(2 * b), splat(4 * p));
        (x, y) = (_mm512_shuffle_i64x2::<0x44>(x, y), _mm512_shuffle_i64x2::<0xee>(x, y));
        prime.back(&mut x, &mut y, roots.splat(b), splat(8 * p));
        put(block, x, y);
    }
    let mut bound = 16 * p;
    while blocks >= 4 {
        blocks /= 4;
        let bounds = [splat(bound), splat(2 * bound)];
        for (i, block) in a.chunks_exact_mut(ntt.n / blocks).enumerate() {
            let first = [2 * (blocks + i), 2 * (blocks + i) + 1].map(|i| roots.splat(i));
            let second = roots.splat(blocks + i);
            four(block, |x| {
                let [x0, x1, x2, x3] = x;
                prime.back(x0, x1, first[0], bounds[0]);
                prime.back(x2, x3, first[1], bounds[0]);
                prime.back(x0, x2, second, bounds[1]);
                prime.back(x1, x3, second, bounds[1]);
            });
        }
        bound *= 4;
    }
    if blocks == 2 {
        let (root, bound) = (roots.splat(1), splat(bound));
        let (low, high) = a.split_at_mut(ntt.n / 2);
        for (x, y) in low.as_chunks_mut().0.iter_mut().zip(high.as_chunks_mut().0) {
            let (mut u, mut v) = (load(x), load(y));
            prime.back(&mut u, &mut v, root, bound);
            store(x, u);
            store(y, v);
        }
    }
    let scale = Root(splat(ntt.scale.value), splat(quotient52(ntt.scale.value, p)));
    for x in a.as_chunks_mut().0 {
        let v = prime.times(load(x), scale);
        store(x, prime.once(v, prime.p));
    }
}

/// Calls `f` with a vector of each quarter of `block`, from the first to the last.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn four(block: &mut [u64], f: impl Fn([&mut V; 4])) {
    let quarter = block.len() / 4;
    let (a, b) = block.split_at_mut(2 * quarter);
    let ((a, b), (c, d)) = (a.split_at_mut(quarter), b.split_at_mut(quarter));
    let low = a.as_chunks_mut().0.iter_mut().zip(b.as_chunks_mut().0);
    let high = c.as_chunks_mut().0.iter_mut().zip(d.as_chunks_mut().0);
    for ((a, b), (c, d)) in low.zip(high) {
        let (mut x0, mut x1, mut x2, mut x3) = (load(a), load(b), load(c), load(d));
        f([&mut x0, &mut x1, &mut x2, &mut x3]);
        store(a, x0);
        store(b, x1);
        store(c, x2);
        store(d, x3);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn halves(block: &[u64; 16]) -> (V, V) {
    let (x, y) = block.split_at(8);
    (load(x.try_into().expect("8 of 16")), load(y.try_into().expect("8 of 16")))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn put(block: &mut [u64; 16], x: V, y: V) {
    let (a, b) = block.split_at_mut(8);
    store(a.try_into().expect("8 of 16"), x);
    store(b.try_into().expect("8 of 16"), y);
}

/// `(0-3, 8-11), (4-7, 12-15)` to `(01 45 89 cd), (23 67 ab ef)`, and back: an involution on the pairs.
#[inline]
#[target_feature(enable = "avx512f")]
fn pairs(x: V, y: V) -> (V, V) {
    let low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    let high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    (_mm512_permutex2var_epi64(x, low, y), _mm512_permutex2var_epi64(x, high, y))
}

/// Tiles of up to 4 lefts by 2 rights: 16 sums in registers.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn add_dots(ntt: &Ntt, left: &[u64], right: &[u64], terms: usize, out: &mut [u64]) {
    let step = terms * ntt.n;
    let rights = right.len() / step;
    let mut lefts = left.chunks(4 * step);
    for out in out.chunks_mut(4 * rights * ntt.n) {
        let left = lefts.next().expect("as many as of out");
        for j in (0..rights).step_by(2) {
            let right = &right[j * step..rights.min(j + 2) * step];
            let place = (rights, j);
            match (left.len() / step, right.len() / step) {
                (1, 1) => tile::<1, 1>(ntt, left, right, out, place),
                (2, 1) => tile::<2, 1>(ntt, left, right, out, place),
                (3, 1) => tile::<3, 1>(ntt, left, right, out, place),
                (4, 1) => tile::<4, 1>(ntt, left, right, out, place),
                (1, _) => tile::<1, 2>(ntt, left, right, out, place),
                (2, _) => tile::<2, 2>(ntt, left, right, out, place),
                (3, _) => tile::<3, 2>(ntt, left, right, out, place),
                (_, _) => tile::<4, 2>(ntt, left, right, out, place),
            }
        }
    }
}

/// `I` lefts by `J` rights; `out` has rows of `rights` polynomials, of which those from `first` on are written.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn tile<const I: usize, const J: usize>(
    ntt: &Ntt,
    left: &[u64],
    right: &[u64],
    out: &mut [u64],
    (rights, first): (usize, usize),
) {
    let (n, p) = (ntt.n, ntt.p);
    let terms = left.len() / n / I;
    let prime = Prime::new(p);
    let one = Root(splat(1), splat(quotient52(1, p)));
    let two52 = (1u64 << 52) % p;
    let high = Root(splat(two52), splat(quotient52(two52, p)));
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
