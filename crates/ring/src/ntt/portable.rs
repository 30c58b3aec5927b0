//! Transforms in plain Rust, one butterfly at a time.

use super::{Factor, Kernel, Ntt, reduce_once};

pub(super) const KERNEL: Kernel =
    Kernel { name: "portable", forward, inverse, low, add_dots, add, sub, scale, recentre };

fn forward(ntt: &Ntt, a: &mut [u64], mut blocks: usize, mut first: usize) {
    let (p, two_p) = (ntt.p, 2 * ntt.p);
    while blocks < ntt.n {
        let half = ntt.n / blocks / 2;
        for (i, block) in a.chunks_exact_mut(2 * half).enumerate() {
            let root = ntt.forward.factor(blocks + first + i, p);
            let (low, high) = block.split_at_mut(half);
            for (x, y) in low.iter_mut().zip(high) {
                let t = root.lazy(*y);
                (*x, *y) = (*x + t, *x + two_p - t);
            }
        }
        (blocks, first) = (2 * blocks, 2 * first);
    }
    let one = Factor::new(1, p);
    a.iter_mut().for_each(|x| *x = one.times(*x));
}

fn inverse(ntt: &Ntt, a: &mut [u64]) {
    let p = ntt.p;
    let mut blocks = ntt.n / 2;
    // A multiple of p that no value exceeds: the level's values are below it.
    let mut bound = p;
    while blocks > 0 {
        let half = ntt.n / blocks / 2;
        for (i, block) in a.chunks_exact_mut(2 * half).enumerate() {
            let root = ntt.inverse.factor(blocks + i, p);
            let (low, high) = block.split_at_mut(half);
            for (x, y) in low.iter_mut().zip(high) {
                (*x, *y) = (*x + *y, root.lazy(*x + bound - *y));
            }
        }
        bound *= 2;
        blocks /= 2;
    }
    a.iter_mut().for_each(|x| *x = ntt.scale.times(*x));
}

fn low(ntt: &Ntt, low: &[u64], size: usize, first: usize, out: &mut [u64]) {
    let chunk = out.len() / (low.len() / size);
    for (low, out) in low.chunks_exact(size).zip(out.chunks_exact_mut(chunk)) {
        out.chunks_exact_mut(size).for_each(|block| block.copy_from_slice(low));
        forward(ntt, out, ntt.n / size, first);
    }
}

fn add(p: u64, a: &mut [u64], b: &[u64]) {
    a.iter_mut().zip(b).for_each(|(a, &b)| *a = reduce_once(*a + b, p));
}

fn sub(p: u64, a: &mut [u64], b: &[u64]) {
    a.iter_mut().zip(b).for_each(|(a, &b)| *a = reduce_once(*a + p - b, p));
}

fn scale(a: &mut [u64], factor: Factor) {
    a.iter_mut().for_each(|a| *a = factor.times(*a));
}

fn recentre(p: u64, from: u64, a: &[u64], out: &mut [u64]) {
    let (one, up) = (Factor::new(1, p), (from.div_ceil(p) * p).wrapping_sub(from));
    for (out, &a) in out.iter_mut().zip(a) {
        let above = ((from / 2).wrapping_sub(a) as i64 >> 63) as u64;
        *out = one.times(a.wrapping_add(up & above));
    }
}

/// Places at a time: their sums stay in the first-level cache.
const PLACES: usize = 64;

fn add_dots(p: u64, left: &[u64], right: &[u64], terms: usize, out: &mut [u64], n: usize) {
    let step = terms * n;
    let (one, high) = (Factor::new(1, p), Factor::new(((1u128 << 64) % u128::from(p)) as u64, p));
    let rights = right.len() / step;
    for (i, out) in out.chunks_exact_mut(n).enumerate() {
        let left = &left[i / rights * step..][..step];
        let right = &right[i % rights * step..][..step];
        for (c, out) in out.chunks_mut(PLACES).enumerate() {
            let mut sums = [0; PLACES];
            sums.iter_mut().zip(&*out).for_each(|(sum, &x)| *sum = u128::from(x));
            for (left, right) in left.chunks_exact(n).zip(right.chunks_exact(n)) {
                let left = &left[c * PLACES..][..out.len()];
                let right = &right[c * PLACES..][..out.len()];
                for ((sum, &x), &y) in sums.iter_mut().zip(left).zip(right) {
                    *sum += u128::from(x) * u128::from(y);
                }
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                // Below 4p.
                let sum = one.lazy(sum as u64) + high.lazy((sum >> 64) as u64);
                *out = reduce_once(reduce_once(sum, 2 * p), p);
            }
        }
    }
}
