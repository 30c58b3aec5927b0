//! Masked sums over tables of full words, for the few lookups whose result scales a whole row.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A table of 2^k words, stored reversed and doubled so that the scan is contiguous for every `c`.
#[derive(Clone)]
pub struct WideTable {
    k: u32,
    /// `reversed[i] = T[-i mod 2^k]`, twice.
    reversed: Vec<u64>,
}

impl WideTable {
    /// A table of the 2^k `values`, `k` in `3..=20`.
    ///
    /// # Panics
    /// On another number of values.
    pub fn new(k: u32, values: &[u64]) -> Self {
        assert!((3..=20).contains(&k), "k = {k} is not in 3..=20");
        assert_eq!(values.len(), 1 << k, "a table of 2^{k} values");
        let size = values.len();
        let reversed = (0..2 * size).map(|i| values[i.wrapping_neg() % size]);
        Self { k, reversed: reversed.collect() }
    }

    /// `T[index mod 2^k]`.
    pub fn value(&self, index: usize) -> u64 {
        self.reversed[index.wrapping_neg() % (1 << self.k)]
    }

    /// The 2^k entries `T[c], T[c-1], ..`.
    fn window(&self, c: u64) -> &[u64] {
        let size = 1usize << self.k;
        let start = (c as usize).wrapping_neg() % size;
        &self.reversed[start..start + size]
    }
}

/// `sum_j e[j] T[(c - j) mod 2^k]` mod 2^64 for two tables and a batch: element `i` takes the `i`-th 2^k
/// bits of `e` and `c[i]`.
///
/// Security: addresses depend on the public `c` alone; the bits of `e` are lane masks.
///
/// # Panics
/// When the tables differ in size, or `e`, `c` and the outputs do not fit each other.
pub fn wide_masked_sums2(
    e: &[u8],
    t0: &WideTable,
    t1: &WideTable,
    c: &[u64],
    out0: &mut [u64],
    out1: &mut [u64],
) {
    assert_eq!(t0.k, t1.k, "tables of one size");
    let bytes = (1usize << t0.k) / 8;
    assert_eq!(e.len(), c.len() * bytes, "2^k bits an element");
    assert!(out0.len() == c.len() && out1.len() == c.len(), "one sum an element");
    let scan = kernels().pop().expect("there is a portable kernel");
    for (i, (e, &c)) in e.chunks_exact(bytes).zip(c).enumerate() {
        (out0[i], out1[i]) = scan(e, t0.window(c), t1.window(c));
    }
}

type Scan = fn(&[u8], &[u64], &[u64]) -> (u64, u64);

/// The kernels of this machine, the fastest last.
fn kernels() -> Vec<Scan> {
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "kernels of that machine"))]
    let mut all: Vec<Scan> = vec![portable];
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the feature was just detected.
        all.push(|e, a, b| unsafe { avx512(e, a, b) });
    }
    all
}

fn portable(e: &[u8], a: &[u64], b: &[u64]) -> (u64, u64) {
    let (mut u, mut v) = (0u64, 0u64);
    for ((&e, a), b) in e.iter().zip(a.chunks_exact(8)).zip(b.chunks_exact(8)) {
        for i in 0..8 {
            let lane = u64::from(e >> i & 1).wrapping_neg();
            u = u.wrapping_add(a[i] & lane);
            v = v.wrapping_add(b[i] & lane);
        }
    }
    (u, v)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(e: &[u8], a: &[u64], b: &[u64]) -> (u64, u64) {
    assert!(a.len() >= 8 * e.len() && b.len() >= 8 * e.len(), "eight words a byte");
    let (mut u, mut v) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for (i, &lanes) in e.iter().enumerate() {
        // SAFETY: 8 i + 8 <= 8 e.len(), which both slices hold by the assertion above.
        let (x, y) = unsafe {
            (
                _mm512_loadu_si512(a.as_ptr().add(8 * i).cast()),
                _mm512_loadu_si512(b.as_ptr().add(8 * i).cast()),
            )
        };
        u = _mm512_mask_add_epi64(u, lanes, u, x);
        v = _mm512_mask_add_epi64(v, lanes, v, y);
    }
    let sum = |x| _mm512_reduce_add_epi64(x) as u64;
    (sum(u), sum(v))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_gives_the_definition() {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state ^ (state >> 29)
        };
        for k in [3, 4, 9, 12] {
            let size = 1usize << k;
            let values: [Vec<u64>; 2] = [(); 2].map(|()| (0..size).map(|_| next()).collect());
            let tables = [&values[0], &values[1]].map(|v| WideTable::new(k, v));
            let e: Vec<u8> = (0..3 * size / 8).map(|_| next() as u8).collect();
            let c: Vec<u64> = (0..3).map(|_| next()).collect();
            let naive = |t: usize, i: usize| {
                (0..size).fold(0u64, |s, j| {
                    let bit = u64::from(e[i * size / 8 + j / 8] >> (j % 8) & 1);
                    let at = (c[i] as usize).wrapping_sub(j) % size;
                    assert_eq!(tables[t].value(at), values[t][at]);
                    s.wrapping_add(bit.wrapping_mul(values[t][at]))
                })
            };
            let (mut u, mut v) = ([0; 3], [0; 3]);
            wide_masked_sums2(&e, &tables[0], &tables[1], &c, &mut u, &mut v);
            for i in 0..3 {
                let expected = (naive(0, i), naive(1, i));
                assert_eq!((u[i], v[i]), expected);
                let bits = &e[i * size / 8..(i + 1) * size / 8];
                for scan in kernels() {
                    let got = scan(bits, tables[0].window(c[i]), tables[1].window(c[i]));
                    assert_eq!(got, expected, "k = {k}");
                }
            }
        }
    }
}
