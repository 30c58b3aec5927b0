//! Static layers: shares of `A W^T`, `W` the server's and encrypted once per model, `A` the client's mask.
//!
//! Shapes: `A` is `rows x inputs`, `W` is `outputs x inputs`, the shares are `rows x outputs`, all mod `2^width`.
//! Error of the shares' sum: at most [`Layer::bound`] units of the last place, of which a truncation of 10 to 21 bits follows.
//!
//! Once per model the server sends [`Layer::setup_len`] bytes, the same for all clients. Ciphertext `(block, t, limb)` holds
//! `W[j][kw t + x] 2^(limb bits)` at `X^(kw j + x - (kw - 1))`, for the block's `N / kw` outputs `j` and `x < kw`. Per row `i`
//! the client adds up `ct (sum_x A[i][kw t + x] X^(kw - 1 - x))`: output `j` lies at `X^(kw j)`, the rest is garbage that
//! nobody sees. `2^levels` results are packed into one answer. Rings wider than 40 bits cut `A` into signed limbs of
//! half (a third) the bits: the noise grows with the plaintext.
//!
//! Cost: `rows inputs outputs / N limbs` products at the client; [`Layer::answer_len`] bytes up. Who learns what: the client sees
//! encryptions of `W` under the server's key, the server sees nothing of `A` (`respond.rs`).
//! Source: Nimbus (NeurIPS 2024) for products at the client; Cheetah (USENIX Security 2022) for the encoding.

use sotto_crypto::Seed;
use sotto_ring::{mask, signed};
use zeroize::Zeroizing;

use crate::{
    answer::{Answer, Answers},
    cipher::{Ciphers, Encryptor, ciphers_len},
    error::Error,
    key::{PublicKeys, SecretKey},
    noise,
    price::Price,
    products::Products,
    respond,
    ring::{N, halvings},
};

/// The shape of a static layer and how it is laid out; the same at both parties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    rows: usize,
    inputs: usize,
    outputs: usize,
    width: u32,
    layout: Layout,
}

/// How polynomials hold a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    /// Inputs of a polynomial: a power of two.
    inputs: usize,
    /// Log of the results that share an answer.
    levels: usize,
}

/// Parts of a plaintext of this width: noise grows with a part.
pub(crate) fn limbs(width: u32) -> usize {
    match width {
        0..=40 => 1,
        41..=56 => 2,
        _ => 3,
    }
}

/// Bits of a limb.
pub(crate) fn limb_bits(width: u32) -> u32 {
    width.div_ceil(limbs(width) as u32)
}

/// The signed limbs of `x mod 2^width`, lowest first: `sum_l limb[l] 2^(l bits)`. Constant time.
pub(crate) fn split(x: u64, width: u32) -> impl Iterator<Item = i64> {
    let (count, bits) = (limbs(width), limb_bits(width));
    let mut rest = signed(x, width);
    (0..count).map(move |l| {
        let limb = if l + 1 < count { signed(rest as u64, bits) } else { rest };
        // May wrap at 64 bits, by a multiple of the ring.
        rest = rest.wrapping_sub(limb) >> bits;
        limb
    })
}

/// Layouts are those that cost least for so many rows, whatever a layer has: a matrix is encrypted once for texts of all lengths.
const TYPICAL: usize = 64;

impl Layer {
    /// A layer of this shape, in the layout that costs least on a fast network for the typical number of rows.
    ///
    /// # Panics
    /// When a size is zero or the width not in 1..=64.
    pub fn new(rows: usize, inputs: usize, outputs: usize, width: u32) -> Self {
        assert!(rows > 0 && inputs > 0 && outputs > 0, "a layer of {rows} {inputs} {outputs}");
        assert!((1..=64).contains(&width), "a layer's width {width}");
        let layouts = (0..=12)
            .flat_map(|log| (0..=log).map(move |levels| Layout { inputs: 1usize << log, levels }));
        let with = |layout| Self { rows: TYPICAL, inputs, outputs, width, layout };
        let typical = layouts.map(with).min_by_key(Self::price).expect("there are layouts");
        Self { rows, ..typical }
    }

    /// Whether one encrypted matrix serves both: they differ in rows alone.
    pub fn shares(&self, other: &Self) -> bool {
        Self { rows: self.rows, ..other.clone() } == *self
    }

    fn price(&self) -> u64 {
        let (ciphers, answers) = (self.ciphers() as u64, self.answers());
        let used = (self.rows * self.outputs) as u64;
        // Without its places: near enough.
        let bytes = answers * respond::len(0, self.width) as u64
            + used * u64::from(respond::body_bits(self.width)) / 8;
        // The setup is sent and made once, for some dozens of inferences.
        let setup = ciphers * (ciphers_len(1) as u64 * Price::BYTE + Price::ENCRYPT) / 32;
        setup + bytes * Price::BYTE + self.work()[0]
    }

    /// Nominal nanoseconds of the client's answer, and of taking it at the server: in the proportions of shapes, not of machines.
    pub fn work(&self) -> [u64; 2] {
        let (ciphers, results, answers) =
            (self.ciphers() as u64, self.results() as u64, self.answers());
        let terms = (self.steps() * limbs(self.width) * self.rows) as u64;
        let evaluate = ciphers * Price::LOAD
            + terms * Price::PLAIN
            + terms * self.blocks() as u64 * Price::PRODUCT
            + results * Price::RESULT
            + (results - answers) * Price::SWITCH
            + answers * Price::ANSWER;
        [evaluate, answers * Price::ANSWER]
    }

    fn answers(&self) -> u64 {
        self.results().div_ceil(1 << self.layout.levels) as u64
    }

    /// Outputs of a ciphertext.
    fn block(&self) -> usize {
        N / self.layout.inputs
    }

    fn blocks(&self) -> usize {
        self.outputs.div_ceil(self.block())
    }

    fn steps(&self) -> usize {
        self.inputs.div_ceil(self.layout.inputs)
    }

    fn results(&self) -> usize {
        self.rows * self.blocks()
    }

    fn ciphers(&self) -> usize {
        self.blocks() * self.steps() * limbs(self.width)
    }

    /// Bytes of the encrypted weights.
    pub fn setup_len(&self) -> usize {
        ciphers_len(self.ciphers())
    }

    /// Bytes of the client's answer.
    pub fn answer_len(&self) -> usize {
        self.with_answers(|answers| answers.len())
    }

    /// Most that the sum of the shares is off, in units of the last place (`noise.rs`).
    pub fn bound(&self) -> f64 {
        let terms = self.steps() * self.layout.inputs * limbs(self.width);
        let noise = noise::fresh(noise::uniform(terms, limb_bits(self.width)));
        noise::bound(noise.hypot(noise::switching(self.layout.levels)), self.width)
    }

    fn with_answers<T>(&self, f: impl FnOnce(&Answers<'_>) -> T) -> T {
        let (block, blocks) = (self.block(), self.blocks());
        let holds = |result: usize| {
            let (row, first) = (result / blocks, result % blocks * block);
            let outputs = first..self.outputs.min(first + block);
            outputs.map(|j| (j - first, row * self.outputs + j)).collect()
        };
        f(&Answers {
            width: self.width,
            results: self.results(),
            spacing: self.layout.inputs,
            levels: self.layout.levels,
            outputs: self.rows * self.outputs,
            holds: &holds,
        })
    }

    /// The server's encrypted weights, ciphertext by ciphertext after the seed of their uniform halves; together
    /// [`Layer::setup_len`] bytes. `seed` must serve nothing else, not even other weights. `weights` writes the entries from a place
    /// on, row-major as `outputs x inputs`: nobody holds all of them unpacked.
    pub fn encrypt<'a, W: Fn(usize, &mut [u64]) + 'a>(
        &'a self,
        key: &'a SecretKey,
        seed: &Seed,
        weights: W,
    ) -> impl Iterator<Item = Vec<u8>> + use<'a, W> {
        let mut encryptor = Encryptor::new(key, seed, halvings(self.layout.levels as u32));
        let head = encryptor.head().to_vec();
        let (steps, limbs) = (self.steps(), limbs(self.width));
        let all = (0..self.ciphers()).map(move |number| {
            let (place, limb) = (number / limbs, number % limbs);
            let message = self.message(&weights, place / steps, place % steps, limb);
            let mut out = Vec::new();
            encryptor.encrypt(&message, self.width, &mut out);
            out
        });
        std::iter::once(head).chain(all)
    }

    fn message(
        &self,
        weights: &impl Fn(usize, &mut [u64]),
        block: usize,
        step: usize,
        limb: usize,
    ) -> Zeroizing<Vec<u64>> {
        let (kw, m) = (self.layout.inputs, mask(self.width));
        let shift = limb as u32 * limb_bits(self.width);
        let mut message = Zeroizing::new(vec![0; N]);
        let mut row = Zeroizing::new(vec![0; kw.min(self.inputs - step * kw)]);
        let outputs = block * self.block()..self.outputs.min((block + 1) * self.block());
        for (j, output) in outputs.enumerate() {
            weights(output * self.inputs + step * kw, &mut row);
            for (x, w) in row.iter().enumerate() {
                let w = w << shift;
                // At X^(kw j + x - (kw - 1)); below zero it comes from above, negated.
                match (kw * j + x + 1).checked_sub(kw) {
                    Some(at) => message[at] = w & m,
                    None => message[N + x + 1 - kw] = w.wrapping_neg() & m,
                }
            }
        }
        message
    }

    /// Reads the server's encrypted weights.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Residue`].
    pub fn read<'a>(&self, message: &'a [u8]) -> Result<Ciphers<'a>, Error> {
        Ciphers::read("the message of encrypted weights", message, self.ciphers())
    }

    /// The client's answer on its masks `a`, and its share. `seed` must serve nothing else.
    ///
    /// # Panics
    /// When `a` is not `rows x inputs`, or `weights` were read for another layer.
    pub fn evaluate(
        &self,
        weights: &Ciphers<'_>,
        keys: &PublicKeys,
        seed: &Seed,
        a: &[u64],
    ) -> Answer {
        assert_eq!(a.len(), self.rows * self.inputs, "masks of {self:?}");
        let (kw, limbs, terms) =
            (self.layout.inputs, limbs(self.width), self.steps() * limbs(self.width));
        let products = Products { rows: self.rows, columns: self.blocks(), terms, low: kw };
        let plain = |row: usize, term: usize, out: &mut [i64]| {
            let (step, limb) = (term / limbs, term % limbs);
            let row = &a[row * self.inputs..(row + 1) * self.inputs];
            for (x, &word) in row.iter().skip(step * kw).take(kw).enumerate() {
                let limb = split(word, self.width).nth(limb).expect("a limb of the word");
                out[kw - 1 - x] = limb;
            }
        };
        self.with_answers(|answers| {
            answers.answer(keys, seed, |result| {
                products.run(weights, |block, term| block * terms + term, plain, result);
            })
        })
    }

    /// The server's share from the client's answer.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn receive(&self, key: &SecretKey, message: &[u8]) -> Result<Vec<u64>, Error> {
        self.with_answers(|answers| answers.receive(message, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, keys, words};
    use proptest::prelude::*;

    /// Weights that lie unpacked.
    fn given(weights: &[u64]) -> impl Fn(usize, &mut [u64]) {
        move |at, out| out.copy_from_slice(&weights[at..][..out.len()])
    }

    /// Both parties of one layer: errors within the bound, messages at their lengths.
    fn run(layer: &Layer, weight_bits: u32) {
        let (key, public) = keys(1);
        let Layer { rows, inputs, outputs, width, .. } = *layer;
        let a = words(rows * inputs, width, 3);
        let w: Vec<u64> = words(outputs * inputs, weight_bits, 4)
            .iter()
            .map(|&x| signed(x, weight_bits) as u64 & mask(width))
            .collect();
        let setup = layer
            .encrypt(&key, &Seed::from_bytes([5; 32]), given(&w))
            .flatten()
            .collect::<Vec<_>>();
        assert_eq!(setup.len(), layer.setup_len());
        let ciphers = layer.read(&setup).unwrap();
        let client = layer.evaluate(&ciphers, &public, &Seed::from_bytes([6; 32]), &a);
        assert_eq!(client.message.len(), layer.answer_len());
        let server = layer.receive(&key, &client.message).unwrap();
        let exact: Vec<u64> = (0..rows * outputs)
            .map(|at| {
                let (a, w) = (&a[at / outputs * inputs..], &w[at % outputs * inputs..]);
                (0..inputs).fold(0, |sum, x| a[x].wrapping_mul(w[x]).wrapping_add(sum))
            })
            .collect();
        check(&format!("{layer:?}"), [&server, &client.share], &exact, width, layer.bound());
        assert!(layer.receive(&key, &client.message[1..]).is_err());
        assert!(layer.read(&setup[1..]).is_err());
    }

    #[test]
    fn every_width_of_the_models() {
        for width in (33..=54).chain([20, 60, 64]) {
            run(&Layer::new(5, 40, 70, width), 17);
        }
    }

    #[test]
    fn every_layout() {
        for log in 0..=7 {
            for levels in 0..=log.min(4) {
                let layout = Layout { inputs: 1 << log, levels };
                let layer = Layer { rows: 5, inputs: 37, outputs: 19, width: 35, layout };
                run(&layer, 17);
                run(&Layer { width: 47, outputs: 300, ..layer }, 17);
            }
        }
    }

    #[test]
    fn shapes_of_the_models() {
        for (rows, inputs, outputs, width) in
            [(65, 256, 256, 36), (65, 48, 256, 34), (1, 256, 10, 50)]
        {
            run(&Layer::new(rows, inputs, outputs, width), 17);
        }
    }

    #[test]
    fn one_encrypted_matrix_serves_all_numbers_of_rows() {
        let new = |rows| Layer::new(rows, 40, 70, 45);
        let (key, public) = keys(1);
        let w = words(70 * 40, 17, 4);
        let setup: Vec<u8> =
            new(3).encrypt(&key, &Seed::from_bytes([5; 32]), given(&w)).flatten().collect();
        for rows in [1, 3, 257] {
            let layer = new(rows);
            assert!(layer.shares(&new(3)) && layer.setup_len() == setup.len());
            let a = words(rows * 40, 45, 6);
            let ciphers = layer.read(&setup).unwrap();
            let client = layer.evaluate(&ciphers, &public, &Seed::from_bytes([6; 32]), &a);
            let server = layer.receive(&key, &client.message).unwrap();
            let exact: Vec<u64> = (0..rows * 70)
                .map(|at| {
                    let (a, w) = (&a[at / 70 * 40..], &w[at % 70 * 40..]);
                    (0..40).fold(0, |sum, x| a[x].wrapping_mul(w[x]).wrapping_add(sum))
                })
                .collect();
            check("rows", [&server, &client.share], &exact, 45, layer.bound());
        }
        assert!(!new(3).shares(&Layer::new(3, 40, 70, 46)));
    }

    #[test]
    fn limbs_add_up() {
        for width in [7, 40, 41, 55, 56, 57, 64] {
            for x in words(200, width, 1).into_iter().chain([0, 1, mask(width), 1 << (width - 1)]) {
                let bits = limb_bits(width);
                let sum = (0..).zip(split(x, width)).fold(0u64, |sum, (l, limb)| {
                    assert!(
                        limb.unsigned_abs() <= 1 << (bits - 1) | 1,
                        "{limb} of {x} mod 2^{width}"
                    );
                    sum.wrapping_add((limb as u64) << (l * bits))
                });
                assert_eq!(sum & mask(width), x);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn odd_shapes(rows in 1usize..9, inputs in 1usize..70, outputs in 1usize..90, width in 1u32..=64) {
            run(&Layer::new(rows, inputs, outputs, width), width.min(17));
        }
    }
}
