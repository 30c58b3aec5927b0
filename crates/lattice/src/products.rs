//! Sums of products of plaintext polynomials with ciphertexts, tile by tile so that memory is bounded.

use zeroize::Zeroizing;

use crate::{
    cipher::{Cipher, Ciphers},
    ring::{N, Poly, RING, plain_residue},
};

/// Polynomials that a tile of plaintexts, or of its sums, may have: 64 kB each.
const TILE: usize = 1024;
/// Terms at a time: 8 MB of ciphertexts.
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
        let widest = self.terms.min(TERMS).max(2 * self.columns);
        let most = (TILE / widest).max(4);
        let tile = self.rows.div_ceil(self.rows.div_ceil(most));
        for first in (0..self.rows).step_by(tile) {
            let rows = first..self.rows.min(first + tile);
            let sums = self.tile(ciphers, &number, &plain, rows.clone());
            for row in 0..rows.len() {
                for column in 0..self.columns {
                    result(self.cipher(&sums, row, column, rows.len()));
                }
            }
        }
    }

    /// By primes: the sums of these rows by values, `columns x rows x 2 x N`.
    fn tile(
        &self,
        ciphers: &Ciphers<'_>,
        number: &impl Fn(usize, usize) -> usize,
        plain: &impl Fn(usize, usize, &mut [i64]),
        rows: std::ops::Range<usize>,
    ) -> [Vec<u64>; 2] {
        let mut sums = [0, 1].map(|_| vec![0; self.columns * rows.len() * 2 * N]);
        for first in (0..self.terms).step_by(TERMS) {
            let terms = first..self.terms.min(first + TERMS);
            let left = self.plaintexts(plain, rows.clone(), terms.clone());
            for column in 0..self.columns {
                let right = load(ciphers, terms.clone().map(|t| number(column, t)));
                for (i, ntt) in RING.ntt.iter().take(2).enumerate() {
                    let size = rows.len() * 2 * N;
                    let out = &mut sums[i][column * size..][..size];
                    ntt.add_dots(&left[i], &right[i], terms.len(), out);
                }
            }
        }
        sums
    }

    /// By primes: the plaintexts' values, `rows x terms x N`.
    fn plaintexts(
        &self,
        plain: &impl Fn(usize, usize, &mut [i64]),
        rows: std::ops::Range<usize>,
        terms: std::ops::Range<usize>,
    ) -> [Zeroizing<Vec<u64>>; 2] {
        let low = self.low.max(16);
        let size = rows.len() * terms.len() * N;
        let mut out = [0, 1].map(|_| Zeroizing::new(vec![0; size]));
        let mut coefficients = Zeroizing::new(vec![0; low]);
        let mut residues = Zeroizing::new(vec![0; low]);
        let places = rows.flat_map(|row| terms.clone().map(move |term| (row, term)));
        for (at, (row, term)) in places.enumerate() {
            coefficients.fill(0);
            plain(row, term, &mut coefficients);
            for (i, ntt) in RING.ntt.iter().take(2).enumerate() {
                for (r, &x) in residues.iter_mut().zip(coefficients.iter()) {
                    *r = plain_residue(x, i);
                }
                ntt.forward_low(&residues, &mut out[i][at * N..(at + 1) * N]);
            }
        }
        out
    }

    fn cipher(&self, sums: &[Vec<u64>; 2], row: usize, column: usize, rows: usize) -> Cipher {
        let at = (column * rows + row) * 2 * N;
        Cipher([0, 1].map(|poly| {
            let parts = sums.each_ref().map(|s| &s[at + poly * N..][..N]);
            let mut poly = Poly(parts.concat());
            poly.inverse();
            poly
        }))
    }
}

/// By primes: the values of these ciphertexts, `2 x ciphertexts x N`.
fn load(ciphers: &Ciphers<'_>, numbers: impl ExactSizeIterator<Item = usize>) -> [Vec<u64>; 2] {
    let count = numbers.len();
    let mut out = [0, 1].map(|_| vec![0; 2 * count * N]);
    for (t, number) in numbers.enumerate() {
        for (poly, values) in ciphers.load(number).iter().enumerate() {
            for (out, values) in out.iter_mut().zip(values.chunks_exact(N)) {
                out[(poly * count + t) * N..][..N].copy_from_slice(values);
            }
        }
    }
    out
}
