//! Sums of products of plaintext polynomials with ciphertexts, tile by tile so that memory is bounded.

use std::ops::Range;

use zeroize::Zeroizing;

use crate::{
    cipher::{Cipher, Ciphers},
    ring::{N, Poly, RING, plain_residue},
};

/// Results of a tile: 128 kB each.
const RESULTS: usize = 256;
/// Terms at a time: 8 MB of ciphertexts a column.
const TERMS: usize = 64;

/// For each plaintext row `i` and each column `j` of ciphertexts: `sum_t plain(i, t) cipher(j, t)`.
pub(crate) struct Products {
    pub rows: usize,
    pub columns: usize,
    pub terms: usize,
    /// Coefficients of a plaintext, a power of two; those beyond are zero.
    pub low: usize,
}

impl Products {
    /// Calls `result` with the ciphertext of each sum, all columns of a row before the next row.
    ///
    /// `number(j, t)` is the number of a ciphertext; `plain(i, t, out)` writes a plaintext's coefficients, of at most 40 bits
    /// and a sign, into zeros.
    pub fn run(
        &self,
        ciphers: &Ciphers<'_>,
        number: impl Fn(usize, usize) -> usize,
        plain: impl Fn(usize, usize, &mut [i64]),
        mut result: impl FnMut(Cipher),
    ) {
        let most = (RESULTS / self.columns).max(4);
        let tile = self.rows.div_ceil(self.rows.div_ceil(most));
        for first in (0..self.rows).step_by(tile) {
            let rows = first..self.rows.min(first + tile);
            let sums = self.tile(ciphers, &number, &plain, rows.clone());
            for at in 0..rows.len() * self.columns {
                result(cipher(&sums, at));
            }
        }
    }

    /// By primes: the sums of these rows by values, `rows x columns x 2 x N`.
    fn tile(
        &self,
        ciphers: &Ciphers<'_>,
        number: &impl Fn(usize, usize) -> usize,
        plain: &impl Fn(usize, usize, &mut [i64]),
        rows: Range<usize>,
    ) -> [Vec<u64>; 2] {
        let mut sums = [0, 1].map(|_| vec![0; rows.len() * self.columns * 2 * N]);
        for first in (0..self.terms).step_by(TERMS) {
            let terms = first..self.terms.min(first + TERMS);
            let left = self.plaintexts(plain, rows.clone(), terms.clone());
            let numbers = (0..self.columns)
                .map(|column| terms.clone().map(|t| number(column, t)).collect::<Vec<_>>());
            let right = load(ciphers, &numbers.collect::<Vec<_>>());
            let parts = sums.iter_mut().zip(&left).zip(&right).zip(&RING.ntt);
            for (((sums, left), right), ntt) in parts {
                ntt.add_low_products(left, self.low(), right, terms.len(), sums);
            }
        }
        sums
    }

    /// Coefficients of a plaintext as the transform takes them.
    fn low(&self) -> usize {
        self.low.max(16)
    }

    /// By primes: the plaintexts' coefficients, `rows x terms x low`.
    fn plaintexts(
        &self,
        plain: &impl Fn(usize, usize, &mut [i64]),
        rows: Range<usize>,
        terms: Range<usize>,
    ) -> [Zeroizing<Vec<u64>>; 2] {
        let size = rows.len() * terms.len() * self.low();
        let mut out = [0, 1].map(|_| Zeroizing::new(Vec::with_capacity(size)));
        let mut coefficients = Zeroizing::new(vec![0; self.low()]);
        for row in rows {
            for term in terms.clone() {
                coefficients.fill(0);
                plain(row, term, &mut coefficients);
                for (i, out) in out.iter_mut().enumerate() {
                    out.extend(coefficients.iter().map(|&x| plain_residue(x, i)));
                }
            }
        }
        out
    }
}

/// The result of this number, by its coefficients.
fn cipher(sums: &[Vec<u64>; 2], number: usize) -> Cipher {
    Cipher([0, 1].map(|poly| {
        let at = (2 * number + poly) * N;
        let mut poly = Poly([&sums[0][at..at + N], &sums[1][at..at + N]].concat());
        poly.inverse();
        poly
    }))
}

/// By primes: the values of these ciphertexts, `columns x 2 x terms x N`.
fn load(ciphers: &Ciphers<'_>, numbers: &[Vec<usize>]) -> [Vec<u64>; 2] {
    let size = 2 * numbers.len() * numbers[0].len() * N;
    let mut out = [0, 1].map(|_| vec![0; size]);
    for (column, numbers) in numbers.iter().enumerate() {
        for (t, &number) in numbers.iter().enumerate() {
            for (poly, values) in ciphers.load(number).iter().enumerate() {
                let at = ((2 * column + poly) * numbers.len() + t) * N;
                for (out, values) in out.iter_mut().zip(values.chunks_exact(N)) {
                    out[at..at + N].copy_from_slice(values);
                }
            }
        }
    }
    out
}
