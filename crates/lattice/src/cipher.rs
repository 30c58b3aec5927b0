//! Ciphertexts: fresh ones from a party's secret, and their phase.
//!
//! A message `m mod 2^w` is encoded as `round(q m / 2^w)` and encrypted as `(e + message - a s, a)`; `a` is expanded from a
//! public seed, so that one polynomial is sent: 9.75 bytes a coefficient. Both are sent by their values, as they are used.
//! A fresh ciphertext may be divided by a power of two mod `q` beforehand, which packing multiplies with
//! (`switch.rs`); as `a` is uniform either way, that is the same ciphertext written differently.

use sotto_crypto::Seed;
use sotto_ring::ntt::Factor;
use zeroize::{Zeroize, Zeroizing};

use crate::{
    error::Error,
    key::{SecretKey, half},
    ring::{N, Poly},
    sample, wire,
};

/// A ciphertext by the coefficients of its two polynomials.
#[derive(Clone)]
pub(crate) struct Cipher(pub [Poly; 2]);

impl Cipher {
    pub fn zip(&mut self, other: &Self, f: impl Fn(&mut Poly, &Poly)) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| f(a, b));
    }

    pub fn map(&self, f: impl Fn(&Poly) -> Poly) -> Self {
        Self(self.0.each_ref().map(f))
    }
}

/// Encrypts messages one after the other.
pub(crate) struct Encryptor<'a> {
    key: &'a SecretKey,
    public: Seed,
    noise: Seed,
    divide: [Factor; 2],
    next: u64,
}

impl<'a> Encryptor<'a> {
    /// With randomness from `seed`, which must serve nothing else; `divide` goes into every message and error.
    pub fn new(key: &'a SecretKey, seed: &Seed, divide: [Factor; 2]) -> Self {
        let public = seed.derive("lattice public", 1);
        let noise = seed.derive("lattice noise", 1);
        Self { key, public, noise, divide, next: 0 }
    }

    /// The seed of the uniform halves, which leads the ciphertexts.
    pub fn head(&self) -> &[u8; 32] {
        self.public.expose()
    }

    /// Encrypts the next message of `N` words mod `2^width`, appended to `out`.
    pub fn encrypt(&mut self, message: &[u64], width: u32, out: &mut Vec<u8>) {
        let mut body = Poly::encode(message, width);
        let mut noise = Poly::small(&sample::binomial(&mut self.noise.stream(self.next)));
        body.add(&noise);
        noise.zeroize();
        body.scale(self.divide);
        body.forward();
        self.key.subtract_product(&half(&self.public, self.next, 2), &mut body.0);
        self.next += 1;
        wire::write(&body.0, out);
    }
}

/// A peer's fresh ciphertexts as they came, checked. They stay packed: 10 bytes a coefficient in place of 32.
#[derive(Clone)]
pub struct Ciphers<'a> {
    public: Seed,
    bytes: &'a [u8],
}

/// Bytes of `count` fresh ciphertexts: 32 for the seed and 39,936 each.
pub const fn ciphers_len(count: usize) -> usize {
    wire::SEED_BYTES + count * wire::POLY_BYTES
}

impl<'a> Ciphers<'a> {
    /// Reads `count` ciphertexts.
    ///
    /// # Errors
    /// [`Error::Length`] for another length than [`ciphers_len`], [`Error::Residue`] for a residue beyond its prime.
    pub(crate) fn read(what: &'static str, message: &'a [u8], count: usize) -> Result<Self, Error> {
        wire::expect(what, message.len(), ciphers_len(count))?;
        let (seed, bytes) = message.split_at(wire::SEED_BYTES);
        let mut poly = vec![0; 2 * N];
        for bytes in bytes.chunks_exact(wire::POLY_BYTES) {
            wire::read(what, bytes, &mut poly)?;
        }
        let public = Seed::from_bytes(seed.try_into().expect("as long as a seed"));
        Ok(Self { public, bytes })
    }

    /// The values of ciphertext `number`, first and second polynomial.
    pub(crate) fn load(&self, number: usize) -> [Vec<u64>; 2] {
        let mut body = vec![0; 2 * N];
        let bytes = &self.bytes[number * wire::POLY_BYTES..][..wire::POLY_BYTES];
        wire::read_unchecked(bytes, &mut body);
        [body, half(&self.public, number as u64, 2)]
    }
}

/// `c1 s` by its coefficients.
pub(crate) fn product_with_secret(key: &SecretKey, mut c1: Poly) -> Zeroizing<Vec<u64>> {
    c1.forward();
    let mut out = Poly::zero();
    key.add_product(&c1.0, &mut out.0);
    out.inverse();
    Zeroizing::new(out.0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ring::{halvings, lift};

    /// What the holder of the key finds in a ciphertext, as numbers nearest to 0; they must fit 64 bits.
    pub(crate) fn phase(key: &SecretKey, cipher: &Cipher) -> Vec<i64> {
        let [c0, c1] = cipher.clone().0;
        let mut sum = Poly(product_with_secret(key, c1).to_vec());
        sum.add(&c0);
        (0..N).map(|i| lift(sum.at(i)) as i64).collect()
    }

    pub(crate) fn loaded(ciphers: &Ciphers<'_>, number: usize) -> Cipher {
        let polys = ciphers.load(number).map(|values| {
            let mut poly = Poly(values);
            poly.inverse();
            poly
        });
        Cipher(polys)
    }

    #[test]
    fn the_phase_is_the_message_with_a_small_error() {
        let key = SecretKey::new(&Seed::from_bytes([1; 32]));
        for (bits, width) in [(0, 62), (4, 62), (0, 40), (12, 33)] {
            let mut encryptor = Encryptor::new(&key, &Seed::from_bytes([2; 32]), halvings(bits));
            let messages: Vec<Vec<u64>> = [1, 5]
                .map(|m| (0..N as u64).map(|i| (i * m * 0x9e37_79b9) & 0xffff).collect())
                .to_vec();
            let mut bytes = encryptor.head().to_vec();
            messages.iter().for_each(|m| encryptor.encrypt(m, width, &mut bytes));
            assert_eq!(bytes.len(), ciphers_len(2));
            let ciphers = Ciphers::read("ciphertexts", &bytes, 2).unwrap();
            for (number, message) in messages.iter().enumerate() {
                let mut cipher = loaded(&ciphers, number);
                let back = crate::ring::Q.map(|q| Factor::new(1 << bits, q));
                cipher.0.iter_mut().for_each(|poly| poly.scale(back));
                // The encoded message without its error.
                let exact = Poly::encode(message, width);
                cipher.0[0].sub(&exact);
                let error = phase(&key, &cipher);
                assert!(error.iter().all(|e| e.abs() <= 21), "{bits} {width}");
                assert!(error.iter().any(|e| *e != 0));
            }
        }
    }

    #[test]
    fn hostile_ciphertexts_are_refused() {
        let key = SecretKey::new(&Seed::from_bytes([1; 32]));
        let mut encryptor = Encryptor::new(&key, &Seed::from_bytes([2; 32]), halvings(0));
        let mut bytes = encryptor.head().to_vec();
        encryptor.encrypt(&[0; N], 30, &mut bytes);
        let read = |bytes: &[u8], count| Ciphers::read("ciphertexts", bytes, count).map(|_| ());
        assert_eq!(read(&bytes, 1), Ok(()));
        for (cut, count) in
            [(0, 1), (31, 1), (bytes.len() - 1, 1), (bytes.len(), 2), (bytes.len(), 0)]
        {
            let error = read(&bytes[..cut], count).unwrap_err();
            assert!(matches!(error, Error::Length { .. }), "{error}");
        }
        let end = bytes.len();
        bytes[end - 5..].fill(0xff);
        let error = read(&bytes, 1).unwrap_err();
        assert!(matches!(error, Error::Residue { index: 4095, .. }), "{error}");
    }
}
