//! Matrix triples: shares of products `r q` of two shared matrices, each party knowing its parts `r_p` and `q_p`.
//!
//! Shapes: a batch of `r` (`m x k`) times `q` (`k x n`), all mod `2^width`; shares are `batch x m x n`.
//! `r q = r_0 q_0 + r_1 q_1 + r_0 q_1 + r_1 q_0`. Each party multiplies its own parts; for the cross terms it encrypts its
//! part of the LEFT operand, and the other multiplies that by its part of the right one and answers. Both halves are alike
//! and run at the same time: two messages each way, [`Triple::upload_len`] and [`Triple::answer_len`] bytes.
//! Error of the shares' sum: at most [`Triple::bound`] units of the last place.
//!
//! Ciphertext `(product, part, t)` holds `r[i][kw t + x]` at `X^(kw nw i + x - (kw - 1))` for `mw` rows `i`; the plaintext
//! of column block `b` is `sum q[kw t + x][nw b + j] X^(kw j + kw - 1 - x)`, `nw = N / kw / mw`; the product's element
//! `(i, nw b + j)` lies at `X^(kw (nw i + j))`. Results are packed across the whole batch.
//!
//! Who learns what: nothing; ciphertexts are under the sender's key, answers are masked (`respond.rs`).
//! Source: Cheetah (USENIX Security 2022), for the encoding.

use sotto_crypto::Seed;
use sotto_ring::{
    gemm::{Mat, gemm},
    mask,
};
use zeroize::Zeroizing;

use crate::{
    answer::{Answer, Answers},
    cipher::{Ciphers, Encryptor, ciphers_len},
    error::Error,
    key::{PublicKeys, SecretKey},
    layer::{limb_bits, limbs, split},
    noise,
    price::Price,
    products::Products,
    respond,
    ring::{N, halvings},
};

/// Sizes of a batch of products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Products.
    pub batch: usize,
    /// Rows of the left operand.
    pub m: usize,
    /// Its columns.
    pub k: usize,
    /// Columns of the right operand.
    pub n: usize,
    /// Whether the right operand lies transposed, `n x k`.
    pub transposed: bool,
}

/// A batch of products and how it is laid out; the same at both parties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Triple {
    sizes: Sizes,
    width: u32,
    layout: Layout,
}

/// How polynomials hold the operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    /// Inner indices of a polynomial: a power of two.
    inner: usize,
    /// Parts that the left operand's rows are cut into.
    parts: usize,
    /// Log of the results that share an answer.
    levels: usize,
}

impl Triple {
    /// Products of these sizes, in the layout that costs least on a fast network.
    ///
    /// # Panics
    /// When a size is zero, the left operand has more than 2^20 rows, or the width is not in 1..=64.
    pub fn new(sizes: Sizes, width: u32) -> Self {
        let Sizes { batch, m, k, n, .. } = sizes;
        assert!(batch > 0 && m > 0 && k > 0 && n > 0 && m <= 1 << 20, "products of {sizes:?}");
        assert!((1..=64).contains(&width), "a product's width {width}");
        let layouts = (0..=12).flat_map(move |log| {
            let inner = 1usize << log;
            // As few parts as hold all rows, and up to 16 times as many.
            let least = m.div_ceil(N / inner);
            (0..5).flat_map(move |more| {
                (0..=log).map(move |levels| Layout { inner, parts: least << more, levels })
            })
        });
        let with = |layout| Self { sizes, width, layout };
        let fitting = layouts.map(with).filter(|triple| triple.layout.parts <= m);
        fitting.min_by_key(Self::price).expect("the fewest parts hold all rows")
    }

    fn price(&self) -> u64 {
        let Sizes { batch, m, n, .. } = self.sizes;
        let bytes = self.upload_len() as u64
            + self.answers() * respond::len(0, self.width) as u64
            + (batch * m * n) as u64 * u64::from(respond::body_bits(self.width)) / 8;
        let [upload, answer, _] = self.work();
        bytes * Price::BYTE + upload + answer
    }

    /// Nominal nanoseconds of an upload, of the answer to one, and of taking an answer: in the proportions of shapes, not of
    /// machines.
    pub fn work(&self) -> [u64; 3] {
        let (ciphers, results, answers) =
            (self.ciphers() as u64, self.results() as u64, self.answers());
        let plains = (self.sizes.batch * self.columns() * self.terms()) as u64;
        let answer = ciphers * Price::LOAD
            + plains * (Price::PLAIN + self.layout.parts as u64 * Price::PRODUCT)
            + results * Price::RESULT
            + (results - answers) * Price::SWITCH
            + answers * Price::ANSWER;
        [ciphers * Price::ENCRYPT, answer, answers * Price::ANSWER]
    }

    fn answers(&self) -> u64 {
        self.results().div_ceil(1 << self.layout.levels) as u64
    }

    /// Rows of a part.
    fn rows(&self) -> usize {
        self.sizes.m.div_ceil(self.layout.parts)
    }

    /// Columns of a block.
    fn block(&self) -> usize {
        (N / self.layout.inner / self.rows()).min(self.sizes.n)
    }

    fn columns(&self) -> usize {
        self.sizes.n.div_ceil(self.block())
    }

    fn steps(&self) -> usize {
        self.sizes.k.div_ceil(self.layout.inner)
    }

    fn terms(&self) -> usize {
        self.steps() * limbs(self.width)
    }

    fn results(&self) -> usize {
        self.sizes.batch * self.columns() * self.layout.parts
    }

    fn ciphers(&self) -> usize {
        self.sizes.batch * self.layout.parts * self.terms()
    }

    /// Bytes of each party's encrypted left operand.
    pub fn upload_len(&self) -> usize {
        ciphers_len(self.ciphers())
    }

    /// Bytes of each party's answer.
    pub fn answer_len(&self) -> usize {
        self.with_answers(|answers| answers.len())
    }

    /// Most that the sum of both parties' shares is off, in units of the last place (`noise.rs`): two answers' errors.
    pub fn bound(&self) -> f64 {
        let terms = self.steps() * self.layout.inner * self.block() * limbs(self.width);
        let noise = noise::fresh(noise::uniform(terms, limb_bits(self.width)));
        2.0 * noise::bound(noise.hypot(noise::switching(self.layout.levels)), self.width)
    }

    fn with_answers<T>(&self, f: impl FnOnce(&Answers<'_>) -> T) -> T {
        let Sizes { batch, m, n, .. } = self.sizes;
        let (parts, columns, rows, block) =
            (self.layout.parts, self.columns(), self.rows(), self.block());
        let holds = |result: usize| {
            let (product, rest) = (result / (parts * columns), result % (parts * columns));
            let (first_column, first_row) = (rest / parts * block, rest % parts * rows);
            let mut all = Vec::with_capacity(rows * block);
            for i in first_row..m.min(first_row + rows) {
                for j in first_column..n.min(first_column + block) {
                    let multiple = block * (i - first_row) + j - first_column;
                    all.push((multiple, (product * m + i) * n + j));
                }
            }
            all
        };
        f(&Answers {
            width: self.width,
            results: self.results(),
            spacing: self.layout.inner,
            levels: self.layout.levels,
            outputs: batch * m * n,
            holds: &holds,
        })
    }

    /// A party's part `r` of the left operands (`batch x m x k`), encrypted. `seed` must serve nothing else.
    ///
    /// # Panics
    /// When `r` has another size.
    pub fn upload(&self, key: &SecretKey, seed: &Seed, r: &[u64]) -> Vec<u8> {
        let Sizes { batch, m, k, .. } = self.sizes;
        assert_eq!(r.len(), batch * m * k, "left operands of {self:?}");
        let mut encryptor = Encryptor::new(key, seed, halvings(self.layout.levels as u32));
        let mut out = Vec::with_capacity(self.upload_len());
        out.extend_from_slice(encryptor.head());
        for r in r.chunks_exact(m * k) {
            for part in 0..self.layout.parts {
                for term in 0..self.terms() {
                    encryptor.encrypt(&self.message(r, part, term), self.width, &mut out);
                }
            }
        }
        out
    }

    fn message(&self, r: &[u64], part: usize, term: usize) -> Zeroizing<Vec<u64>> {
        let Sizes { m, k, .. } = self.sizes;
        let (kw, limbs, bits) = (self.layout.inner, limbs(self.width), limb_bits(self.width));
        let (step, shift) = (term / limbs, (term % limbs) as u32 * bits);
        let mut message = Zeroizing::new(vec![0; N]);
        let rows = (part * self.rows()).min(m)..m.min((part + 1) * self.rows());
        for (i, row) in rows.enumerate() {
            for x in 0..kw.min(k - step * kw) {
                let word = r[row * k + step * kw + x] << shift;
                match (kw * self.block() * i + x + 1).checked_sub(kw) {
                    Some(at) => message[at] = word & mask(self.width),
                    None => message[N + x + 1 - kw] = word.wrapping_neg() & mask(self.width),
                }
            }
        }
        message
    }

    /// Reads the peer's [`Triple::upload`].
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Residue`].
    pub fn read<'a>(&self, message: &'a [u8]) -> Result<Ciphers<'a>, Error> {
        Ciphers::read("the message of encrypted left operands", message, self.ciphers())
    }

    /// The answer to the peer's upload from the party's part `q` of the right operands, and its share of that half.
    /// `seed` must serve nothing else.
    ///
    /// # Panics
    /// When `q` has another size, or `left` was read for other products.
    pub fn evaluate(
        &self,
        left: &Ciphers<'_>,
        keys: &PublicKeys,
        seed: &Seed,
        q: &[u64],
    ) -> Answer {
        let Sizes { batch, k, n, transposed, .. } = self.sizes;
        assert_eq!(q.len(), batch * k * n, "right operands of {self:?}");
        let (kw, block, parts, terms) =
            (self.layout.inner, self.block(), self.layout.parts, self.terms());
        let limbs = limbs(self.width);
        let products = Products {
            rows: self.columns(),
            columns: parts,
            terms,
            low: (kw * block).next_power_of_two(),
        };
        self.with_answers(|answers| {
            answers.answer(keys, seed, |result| {
                for (product, q) in q.chunks_exact(k * n).enumerate() {
                    let at = |x: usize, j: usize| q[if transposed { j * k + x } else { x * n + j }];
                    let plain = |b: usize, term: usize, out: &mut [i64]| {
                        let (step, limb) = (term / limbs, term % limbs);
                        for j in 0..block.min(n - block * b) {
                            for x in 0..kw.min(k - step * kw) {
                                let word = at(step * kw + x, block * b + j);
                                let limb = split(word, self.width).nth(limb);
                                out[kw * j + kw - 1 - x] = limb.expect("a limb of the word");
                            }
                        }
                    };
                    let number = |part, term| (product * parts + part) * terms + term;
                    products.run(left, number, plain, &mut *result);
                }
            })
        })
    }

    /// The party's share of `r q`: from the peer's answer to its upload, its own share of the other half, and its parts.
    ///
    /// # Errors
    /// [`Error::Length`].
    ///
    /// # Panics
    /// When an operand or a share has another size.
    pub fn finish(
        &self,
        key: &SecretKey,
        message: &[u8],
        own: &[u64],
        (r, q): (&[u64], &[u64]),
    ) -> Result<Vec<u64>, Error> {
        let Sizes { batch, m, k, n, transposed } = self.sizes;
        let fits =
            r.len() == batch * m * k && q.len() == batch * k * n && own.len() == batch * m * n;
        assert!(fits, "operands of {self:?}");
        let mut share = self.with_answers(|answers| answers.receive(message, key))?;
        share.iter_mut().zip(own).for_each(|(x, &y)| *x = x.wrapping_add(y));
        let operands = r.chunks_exact(m * k).zip(q.chunks_exact(k * n));
        for ((r, q), out) in operands.zip(share.chunks_exact_mut(m * n)) {
            let q = if transposed { Mat::rows(q, k).t() } else { Mat::rows(q, n) };
            gemm(self.width, m, k, n, Mat::rows(r, k), q, out);
        }
        share.iter_mut().for_each(|x| *x &= mask(self.width));
        Ok(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, keys, words};
    use proptest::prelude::*;

    fn run(triple: &Triple) {
        let (width, Sizes { batch, m, k, n, transposed }) = (triple.width, triple.sizes);
        let holders = [keys(1), keys(2)];
        let seed = |byte: u8, party: usize| Seed::from_bytes([byte + party as u8; 32]);
        let r = [0, 1].map(|p| words(batch * m * k, width, 10 + p));
        let q = [0, 1].map(|p| words(batch * k * n, width, 20 + p));
        let uploads = [0, 1].map(|p| triple.upload(&holders[p].0, &seed(30, p), &r[p]));
        assert!(uploads.iter().all(|upload| upload.len() == triple.upload_len()));
        let answers = [0, 1].map(|p| {
            let theirs = triple.read(&uploads[1 - p]).unwrap();
            triple.evaluate(&theirs, &holders[1 - p].1, &seed(40, p), &q[p])
        });
        assert!(answers.iter().all(|answer| answer.message.len() == triple.answer_len()));
        let shares = [0, 1].map(|p| {
            let (message, own) = (&answers[1 - p].message, &answers[p].share);
            triple.finish(&holders[p].0, message, own, (&r[p], &q[p])).unwrap()
        });
        let sum = |x: &[Vec<u64>; 2]| -> Vec<u64> {
            x[0].iter().zip(&x[1]).map(|(a, b)| a.wrapping_add(*b)).collect()
        };
        let (r, q) = (sum(&r), sum(&q));
        let exact: Vec<u64> = (0..batch * m * n)
            .map(|at| {
                let (product, i, j) = (at / (m * n), at / n % m, at % n);
                let q = &q[product * k * n..];
                (0..k).fold(0, |sum, x| {
                    let right = if transposed { q[j * k + x] } else { q[x * n + j] };
                    r[(product * m + i) * k + x].wrapping_mul(right).wrapping_add(sum)
                })
            })
            .collect();
        check(&format!("{triple:?}"), [&shares[0], &shares[1]], &exact, width, triple.bound());
        assert!(triple.read(&uploads[0][1..]).is_err());
        let (short, own) = (&answers[1].message[1..], &answers[0].share);
        let empty = (vec![0; batch * m * k], vec![0; batch * k * n]);
        assert!(triple.finish(&holders[0].0, short, own, (&empty.0, &empty.1)).is_err());
    }

    #[test]
    fn shapes_of_the_models() {
        for (m, k, n, transposed, width) in [
            (65, 64, 65, true, 35),
            (65, 65, 64, false, 30),
            (65, 64, 65, true, 38),
            (257, 16, 257, true, 33),
        ] {
            run(&Triple::new(Sizes { batch: 2, m, k, n, transposed }, width));
        }
    }

    #[test]
    fn every_layout() {
        let sizes = Sizes { batch: 2, m: 9, k: 21, n: 7, transposed: false };
        for inner in [1usize, 2, 8, 16, 64] {
            for parts in [1, 2, 4] {
                for levels in [0, inner.trailing_zeros() as usize] {
                    let layout = Layout { inner, parts, levels };
                    run(&Triple { sizes, width: 35, layout });
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn odd_shapes(
            batch in 1usize..4, m in 1usize..40, k in 1usize..40, n in 1usize..40,
            width in 1u32..=64, transposed: bool,
        ) {
            run(&Triple::new(Sizes { batch, m, k, n, transposed }, width));
        }
    }
}
