//! Transforms: two levels a pass over memory, the last four (back: the first four) in registers.
#![allow(unsafe_code)]

use super::super::Ntt;
use super::{Prime, Root, Roots, V, load, splat, store};
use std::arch::x86_64::*;

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn forward(ntt: &Ntt, a: &mut [u64], mut blocks: usize, mut first: usize) {
    let (prime, roots) = (Prime::new(ntt.p), &ntt.forward);
    // Blocks of 64 words and more: two levels at once.
    while ntt.n / blocks >= 64 {
        for (i, block) in a.chunks_exact_mut(ntt.n / blocks).enumerate() {
            let at = blocks + first + i;
            let root = roots.splat(at);
            let second = [2 * at, 2 * at + 1].map(|i| roots.splat(i));
            four(block, |x| {
                let [x0, x1, x2, x3] = x;
                prime.forth(x0, x2, root);
                prime.forth(x1, x3, root);
                prime.forth(x0, x1, second[0]);
                prime.forth(x2, x3, second[1]);
            });
        }
        (blocks, first) = (4 * blocks, 4 * first);
    }
    if ntt.n / blocks == 32 {
        for (i, block) in a.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let root = roots.splat(blocks + first + i);
            let (low, high) = block.split_at_mut(16);
            for (x, y) in low.as_chunks_mut().0.iter_mut().zip(high.as_chunks_mut().0) {
                let (mut u, mut v) = (load(x), load(y));
                prime.forth(&mut u, &mut v, root);
                store(x, u);
                store(y, v);
            }
        }
        (blocks, first) = (2 * blocks, 2 * first);
    }
    let one = Root::constant(1, ntt.p);
    for (i, block) in a.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let tail = Tail::new(roots, blocks + first + i);
        let (mut x, mut y) = halves(block);
        tail.forth(prime, &mut x, &mut y);
        x = prime.once(prime.times(x, one), prime.p);
        y = prime.once(prime.times(y, one), prime.p);
        put(block, x, y);
    }
}

/// Roots of the last four levels of a block of 16.
struct Tail([Root; 4]);

impl Tail {
    /// For the block whose root at the first of these levels has this number.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn new(roots: &Roots, at: usize) -> Self {
        Self([
            roots.splat(at),
            roots.spread::<2>(2 * at),
            roots.spread::<4>(4 * at),
            roots.spread::<8>(8 * at),
        ])
    }

    /// The levels, without the final reduction.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn forth(&self, prime: Prime, x: &mut V, y: &mut V) {
        prime.forth(x, y, self.0[0]);
        (*x, *y) = (_mm512_shuffle_i64x2::<0x44>(*x, *y), _mm512_shuffle_i64x2::<0xee>(*x, *y));
        prime.forth(x, y, self.0[1]);
        (*x, *y) = pairs(*x, *y);
        prime.forth(x, y, self.0[2]);
        (*x, *y) = (_mm512_unpacklo_epi64(*x, *y), _mm512_unpackhi_epi64(*x, *y));
        prime.forth(x, y, self.0[3]);
        // Alternating, to the order of the coefficients.
        let low = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
        let high = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
        (*x, *y) =
            (_mm512_permutex2var_epi64(*x, low, *y), _mm512_permutex2var_epi64(*x, high, *y));
    }
}

/// See [`super::Kernel`]. Of 16 coefficients a block's roots stay in registers for all polynomials.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn low(ntt: &Ntt, low: &[u64], size: usize, first: usize, out: &mut [u64]) {
    let count = low.len() / size;
    let chunk = out.len() / count;
    let blocks = ntt.n / size;
    if size != 16 {
        for (low, out) in low.chunks_exact(size).zip(out.chunks_exact_mut(chunk)) {
            out.chunks_exact_mut(size).for_each(|block| block.copy_from_slice(low));
            forward(ntt, out, blocks, first);
        }
        return;
    }
    let prime = Prime::new(ntt.p);
    let (low, out) = (low.as_chunks::<16>().0, out.as_chunks_mut::<16>().0);
    for block in 0..chunk / 16 {
        let tail = Tail::new(&ntt.forward, blocks + first + block);
        for (low, out) in low.iter().zip(out.chunks_exact_mut(chunk / 16)) {
            let (mut x, mut y) = halves(low);
            tail.forth(prime, &mut x, &mut y);
            put(&mut out[block], x, y);
        }
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn inverse(ntt: &Ntt, a: &mut [u64]) {
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
    super::places::scale(a, ntt.scale);
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
