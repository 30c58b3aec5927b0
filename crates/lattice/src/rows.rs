//! Elements of one party's rows times the other's scalar of each row, and inner products of both parties' rows.
//!
//! Shapes: `r` is `rows x length` of the uploading party, each word below `2^bits` as an integer; scalars are `rows` words mod
//! `2^width`; the other's rows `s` are as `r`. Shares of `r[i][x] scalar[i]` (`rows x length`) and of `sum_x r[i][x] s[i][x]`
//! (`rows`), mod `2^width`; one upload serves any number of either.
//!
//! A ciphertext holds `R = N / length` rows (the length rounded up to a power of two) interleaved, row `i`'s element `x` at
//! `X^(R x + i)`. Times a scalar it is useful at the row's places; turned by `X^-i` at multiples of `R`, so that `R` rows are packed
//! back into the layout of the upload. Scalars of more than 40 bits are cut into signed limbs, each with its ciphertext
//! of `r 2^(limb bits)`. Inner products come from the lowest limb times `sum_x s[i][x] X^-(R x + i)`, at the constant coefficient;
//! up to 4096 of them are packed.
//!
//! Error: at most [`Rows::scaled_bound`] and [`Rows::inner_bound`] units of the last place. Key switches weigh more than elsewhere,
//! as the plaintexts are small against the ring. Who learns what: nothing, as in `respond.rs`.

use sotto_crypto::Seed;
use sotto_ring::{mask, ntt::Factor};
use zeroize::Zeroizing;

use crate::{
    answer::{Answer, Answers},
    cipher::{Cipher, Ciphers, Encryptor, ciphers_len},
    error::Error,
    key::{PublicKeys, SecretKey},
    layer::{limb_bits, limbs, split},
    noise,
    price::Price,
    products::Products,
    ring::{N, Poly, Q, RING, halvings, plain_residue},
};

/// Rows of which one party uploads its part; the same at both parties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    rows: usize,
    length: usize,
    bits: u32,
    width: u32,
}

impl Rows {
    /// Whether there can be rows of `length` elements below `2^bits`, for products mod `2^width`: rows are not empty nor longer
    /// than 4096, elements have at most 39 bits and no more than the ring.
    pub fn fit(length: usize, bits: u32, width: u32) -> bool {
        (1..=N).contains(&length) && (1..=64).contains(&width) && bits <= width.min(39)
    }

    /// `rows` rows of `length` elements below `2^bits`, for products mod `2^width`.
    ///
    /// # Panics
    /// When there is no row, or they do not [`Rows::fit`].
    pub fn new(rows: usize, length: usize, bits: u32, width: u32) -> Self {
        assert!(rows > 0 && Self::fit(length, bits, width), "{rows} of {length}, {bits}, {width}");
        Self { rows, length, bits, width }
    }

    /// Rows of a ciphertext.
    fn packed(&self) -> usize {
        N / self.length.next_power_of_two()
    }

    fn levels(&self) -> usize {
        self.packed().trailing_zeros() as usize
    }

    /// Log of the inner products that share an answer.
    fn inner_levels(&self) -> usize {
        self.rows.min(N).next_power_of_two().trailing_zeros() as usize
    }

    /// Groups of rows of one ciphertext.
    fn groups(&self) -> usize {
        self.rows.div_ceil(self.packed())
    }

    fn ciphers(&self) -> usize {
        self.groups() * limbs(self.width)
    }

    /// Bytes of the upload.
    pub fn upload_len(&self) -> usize {
        ciphers_len(self.ciphers())
    }

    /// Nominal nanoseconds of an upload, of the answer to one with products by scalars, and of taking that answer: in the proportions
    /// of shapes, not of machines.
    pub fn scaled_work(&self) -> [u64; 3] {
        let (ciphers, rows) = (self.ciphers() as u64, self.rows as u64);
        let products = rows * limbs(self.width) as u64 * Price::PRODUCT;
        let first = ciphers * (Price::LOAD + Price::RESULT) + products;
        self.work(first, self.levels())
    }

    /// The same of inner products.
    pub fn inner_work(&self) -> [u64; 3] {
        let each = Price::PLAIN + Price::PRODUCT + Price::RESULT;
        let first = self.groups() as u64 * Price::LOAD + self.rows as u64 * each;
        self.work(first, self.inner_levels())
    }

    /// With what makes all results, of which `2^levels` share an answer.
    fn work(&self, results: u64, levels: usize) -> [u64; 3] {
        let rows = self.rows as u64;
        let answers = rows.div_ceil(1 << levels);
        let answer = results + (rows - answers) * Price::SWITCH + answers * Price::ANSWER;
        [self.ciphers() as u64 * Price::ENCRYPT, answer, answers * Price::ANSWER]
    }

    /// Bytes of the answer with products by scalars.
    pub fn scaled_len(&self) -> usize {
        self.with_scaled(|answers| answers.len())
    }

    /// Bytes of the answer with inner products.
    pub fn inner_len(&self) -> usize {
        self.with_inner(|answers| answers.len())
    }

    /// Most that a product with a scalar is off, in units of the last place.
    pub fn scaled_bound(&self) -> f64 {
        let noise = noise::fresh(noise::largest(limbs(self.width), limb_bits(self.width)));
        noise::bound(noise.hypot(noise::switching(self.levels())), self.width)
    }

    /// Most that an inner product is off, in units of the last place.
    pub fn inner_bound(&self) -> f64 {
        // Elements are in [0, 2^bits): twice the root mean square of as many bits with a sign.
        let noise = noise::fresh(noise::largest(self.length, self.bits + 1));
        noise::bound(noise.hypot(noise::switching(self.inner_levels())), self.width)
    }

    fn with_scaled<T>(&self, f: impl FnOnce(&Answers<'_>) -> T) -> T {
        let holds =
            |row: usize| (0..self.length).map(|x| (x, row * self.length + x)).collect::<Vec<_>>();
        f(&Answers {
            width: self.width,
            results: self.rows,
            spacing: self.packed(),
            levels: self.levels(),
            outputs: self.rows * self.length,
            holds: &holds,
        })
    }

    fn with_inner<T>(&self, f: impl FnOnce(&Answers<'_>) -> T) -> T {
        let holds = |row: usize| vec![(0, row)];
        f(&Answers {
            width: self.width,
            results: self.rows,
            spacing: N,
            levels: self.inner_levels(),
            outputs: self.rows,
            holds: &holds,
        })
    }

    /// A party's part `r`, encrypted. `seed` must serve nothing else.
    ///
    /// # Panics
    /// When `r` has another size.
    pub fn upload(&self, key: &SecretKey, seed: &Seed, r: &[u64]) -> Vec<u8> {
        assert_eq!(r.len(), self.rows * self.length, "{self:?}");
        let mut encryptor = Encryptor::new(key, seed, halvings(self.levels() as u32));
        let mut out = Vec::with_capacity(self.upload_len());
        out.extend_from_slice(encryptor.head());
        let mut message = Zeroizing::new(vec![0; N]);
        for group in r.chunks(self.packed() * self.length) {
            for limb in 0..limbs(self.width) as u32 {
                message.fill(0);
                for (i, row) in group.chunks_exact(self.length).enumerate() {
                    for (x, word) in row.iter().enumerate() {
                        let word = word << (limb * limb_bits(self.width));
                        message[self.packed() * x + i] = word & mask(self.width);
                    }
                }
                encryptor.encrypt(&message, self.width, &mut out);
            }
        }
        out
    }

    /// Reads the peer's [`Rows::upload`].
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Residue`].
    pub fn read<'a>(&self, message: &'a [u8]) -> Result<Ciphers<'a>, Error> {
        Ciphers::read("the message of encrypted rows", message, self.ciphers())
    }

    /// The answer with the peer's rows times this party's `scalars`, one a row, and its share. `seed` must serve nothing else.
    ///
    /// # Panics
    /// When there is not a scalar a row, or `r` was read for other rows.
    pub fn scale(
        &self,
        r: &Ciphers<'_>,
        keys: &PublicKeys,
        seed: &Seed,
        scalars: &[u64],
    ) -> Answer {
        assert_eq!(scalars.len(), self.rows, "scalars of {self:?}");
        let limbs = limbs(self.width);
        self.with_scaled(|answers| {
            answers.answer(keys, seed, |result| {
                for (group, scalars) in scalars.chunks(self.packed()).enumerate() {
                    // By coefficients: a product with a number is one place by place.
                    let ciphers: Vec<Cipher> =
                        (0..limbs).map(|l| coefficients(r, group * limbs + l)).collect();
                    for (i, &scalar) in scalars.iter().enumerate() {
                        let sum = multiples(&ciphers, split(scalar, self.width));
                        result(sum.map(|poly| poly.shifted((2 * N - i) % (2 * N))));
                    }
                }
            })
        })
    }

    /// The share of the products with scalars, from the peer's answer.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn receive_scaled(&self, key: &SecretKey, message: &[u8]) -> Result<Vec<u64>, Error> {
        self.with_scaled(|answers| answers.receive(message, key))
    }

    /// The answer with inner products of the peer's rows and this party's `s`, and its share. `seed` must serve nothing else.
    ///
    /// # Panics
    /// When `s` has another size, or `r` was read for other rows.
    pub fn inner(&self, r: &Ciphers<'_>, keys: &PublicKeys, seed: &Seed, s: &[u64]) -> Answer {
        assert_eq!(s.len(), self.rows * self.length, "rows of {self:?}");
        let (packed, limbs) = (self.packed(), limbs(self.width));
        // Uploads are divided for the packing of scaled rows.
        let up = Q.map(|q| Factor::new(1 << self.levels(), q));
        let down = halvings(self.inner_levels() as u32);
        self.with_inner(|answers| {
            answers.answer(keys, seed, |result| {
                for (group, s) in s.chunks(packed * self.length).enumerate() {
                    let rows = s.len() / self.length;
                    let products = Products { rows, columns: 1, terms: 1, low: N };
                    let plain = |i: usize, _: usize, out: &mut [i64]| {
                        for (x, &word) in s[i * self.length..][..self.length].iter().enumerate() {
                            let word = (word & mask(self.bits)) as i64;
                            match packed * x + i {
                                0 => out[0] = word,
                                at => out[N - at] = -word,
                            }
                        }
                    };
                    products.run(
                        r,
                        |_, _| group * limbs,
                        plain,
                        |mut cipher| {
                            for poly in &mut cipher.0 {
                                poly.scale(up);
                                poly.scale(down);
                            }
                            result(cipher);
                        },
                    );
                }
            })
        })
    }

    /// The share of the inner products, from the peer's answer.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn receive_inner(&self, key: &SecretKey, message: &[u8]) -> Result<Vec<u64>, Error> {
        self.with_inner(|answers| answers.receive(message, key))
    }
}

fn coefficients(ciphers: &Ciphers<'_>, number: usize) -> Cipher {
    Cipher(ciphers.load(number).map(|values| {
        let mut poly = Poly(values);
        poly.inverse();
        poly
    }))
}

/// The sum of these multiples.
fn multiples(ciphers: &[Cipher], multipliers: impl Iterator<Item = i64>) -> Cipher {
    let mut sum = Cipher([Poly::zero(), Poly::zero()]);
    let mut constant = Zeroizing::new(vec![0; N]);
    for (cipher, multiplier) in ciphers.iter().zip(multipliers) {
        for (i, ntt) in RING.ntt.iter().take(2).enumerate() {
            constant.fill(plain_residue(multiplier, i));
            let part = i * N..(i + 1) * N;
            for (sum, poly) in sum.0.iter_mut().zip(&cipher.0) {
                ntt.add_dots(&constant, &poly.0[part.clone()], 1, &mut sum.0[part.clone()]);
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, keys, words};
    use proptest::prelude::*;

    fn run(shape: &Rows) {
        let Rows { rows, length, bits, width } = *shape;
        let (key, public) = keys(1);
        let seed = |byte| Seed::from_bytes([byte; 32]);
        let (r, s) = (words(rows * length, bits, 10), words(rows * length, bits, 11));
        let scalars = [12, 13].map(|seed| words(rows, width, seed));
        let upload = shape.upload(&key, &seed(20), &r);
        assert_eq!(upload.len(), shape.upload_len());
        assert!(shape.read(&upload[1..]).is_err());
        let left = shape.read(&upload).unwrap();
        for (number, scalars) in (0..).zip(&scalars) {
            let answer = shape.scale(&left, &public, &seed(30 + number), scalars);
            assert_eq!(answer.message.len(), shape.scaled_len());
            let share = shape.receive_scaled(&key, &answer.message).unwrap();
            let scalar = scalars.iter().flat_map(|e| std::iter::repeat_n(e, length));
            let exact: Vec<u64> = r.iter().zip(scalar).map(|(r, e)| r.wrapping_mul(*e)).collect();
            let name = format!("scaled {shape:?}");
            check(&name, [&share, &answer.share], &exact, width, shape.scaled_bound());
            assert!(shape.receive_scaled(&key, &answer.message[1..]).is_err());
        }
        let answer = shape.inner(&left, &public, &seed(40), &s);
        assert_eq!(answer.message.len(), shape.inner_len());
        let share = shape.receive_inner(&key, &answer.message).unwrap();
        let pairs = r.chunks_exact(length).zip(s.chunks_exact(length));
        let exact: Vec<u64> = pairs
            .map(|(r, s)| {
                r.iter().zip(s).fold(0, |sum, (a, b)| a.wrapping_mul(*b).wrapping_add(sum))
            })
            .collect();
        let name = format!("inner {shape:?}");
        check(&name, [&share, &answer.share], &exact, width, shape.inner_bound());
        assert!(shape.receive_inner(&key, &answer.message[1..]).is_err());
    }

    #[test]
    fn shapes_of_the_models() {
        for (rows, length, bits, width) in [
            (65, 256, 19, 53),
            (3, 256, 19, 64),
            (130, 64, 24, 52),
            (66, 64, 24, 56),
            (3, 768, 19, 53),
        ] {
            run(&Rows::new(rows, length, bits, width));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn odd_shapes(rows in 1usize..70, length in 1usize..80, width in 1u32..=64, bits in 1u32..=30) {
            run(&Rows::new(rows, length, bits.min(width), width));
        }
    }
}
