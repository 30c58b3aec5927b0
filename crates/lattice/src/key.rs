//! Keys: a secret, and what its holder publishes once.
//!
//! The public message holds an encryption of zero (the public key, by which the other re-randomises) and keys that bring an
//! automorphism `X -> X^g` of a ciphertext back under the secret, for `g = 2^i + 1`, `i = 1..=12`.
//!
//! Security: RLWE with `N = 4096`, a modulus of 109 bits with the special prime, a uniform ternary secret and centred
//! binomial errors of standard deviation 3.24: 128 bits against classical attacks by the table of the homomorphic encryption
//! standard (2018). Switching keys encrypt functions of the secret under itself: circular security is assumed, as in every such
//! system. Secrets are wiped on drop, and have no `Debug` that shows them.

use std::fmt;

use sotto_crypto::Seed;
use sotto_ring::ntt::{Factor, reduce_once};
use zeroize::Zeroizing;

use crate::{
    error::Error,
    ring::{ALL, N, P, Poly, Q, RING, residue},
    sample, wire,
};

/// Automorphism keys: for `X -> X^(2^i + 1)`, `i = 1..=LEVELS`.
pub(crate) const LEVELS: usize = N.trailing_zeros() as usize;
/// Digits of a polynomial when keys are switched: its residues.
const DIGITS: usize = Q.len();

/// Bytes of [`SecretKey::publish`]: the seed, the public key, 12 switching keys of two digits.
pub const PUBLIC_BYTES: usize =
    wire::SEED_BYTES + wire::POLY_BYTES + LEVELS * DIGITS * wire::WIDE_BYTES;

const WHAT: &str = "the message of public keys";

/// The secret of one party: one per model at the server, one per connection at the client.
pub struct SecretKey {
    seed: Seed,
    small: Zeroizing<Vec<i64>>,
    /// Values of the secret, mod all three primes.
    values: Zeroizing<Vec<u64>>,
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

impl SecretKey {
    /// The key that follows from `seed`, which must serve nothing else.
    pub fn new(seed: &Seed) -> Self {
        let small = sample::ternary(&mut seed.derive("lattice secret", 0).stream(0));
        let mut values = wide(&small);
        transform(&mut values);
        Self { seed: seed.clone(), small, values }
    }

    /// The message of public keys, [`PUBLIC_BYTES`] long; the same whenever it is asked for.
    pub fn publish(&self) -> Vec<u8> {
        let public = self.seed.derive("lattice public", 0);
        let noise = self.seed.derive("lattice noise", 0);
        let mut out = Vec::with_capacity(PUBLIC_BYTES);
        out.extend_from_slice(public.expose());
        let mut body = self.zero(&public, &noise, 0);
        body.truncate(2 * N);
        wire::write(&body, &mut out);
        for level in 1..=LEVELS {
            let moved = self.moved((1 << level) + 1);
            for (digit, q) in Q.into_iter().enumerate() {
                let mut body = self.zero(&public, &noise, number(level, digit));
                // P times what is 1 mod this digit's prime and 0 mod the others.
                let part = digit * N..(digit + 1) * N;
                let special = Factor::new(P, q);
                for (b, &s) in body[part.clone()].iter_mut().zip(&moved[part]) {
                    *b = reduce_once(special.times(s) + *b, q);
                }
                wire::write(&body, &mut out);
            }
        }
        out
    }

    /// `e - a s` by values mod all primes, an encryption of zero under the public polynomial of this number.
    fn zero(&self, public: &Seed, noise: &Seed, number: u64) -> Zeroizing<Vec<u64>> {
        let a = half(public, number, 3);
        let mut body = wide(&sample::binomial(&mut noise.stream(number)));
        transform(&mut body);
        self.subtract_product(&a, &mut body);
        body
    }

    /// `out -= a s`, by values, mod as many primes as `out` has.
    pub(crate) fn subtract_product(&self, a: &[u64], out: &mut [u64]) {
        let mut product = vec![0; out.len()];
        self.add_product(a, &mut product);
        for ((out, product), p) in out.chunks_exact_mut(N).zip(product.chunks_exact(N)).zip(ALL) {
            out.iter_mut().zip(product).for_each(|(o, &x)| *o = reduce_once(*o + p - x, p));
        }
    }

    /// `out += a s`, by values, mod as many primes as `out` has.
    pub(crate) fn add_product(&self, a: &[u64], out: &mut [u64]) {
        let factors = a.chunks_exact(N).zip(self.values.chunks_exact(N));
        for ((out, (a, s)), ntt) in out.chunks_exact_mut(N).zip(factors).zip(&RING.ntt) {
            ntt.add_dots(a, s, 1, out);
        }
    }

    /// Values of `s(X^g)` mod `q`.
    fn moved(&self, g: usize) -> Zeroizing<Vec<u64>> {
        let mut poly = Poly::small(&self.small);
        let mut moved = poly.automorphism(g);
        zeroize::Zeroize::zeroize(&mut poly);
        moved.forward();
        Zeroizing::new(moved.0)
    }
}

/// Small coefficients mod all primes.
pub(crate) fn wide(small: &[i64]) -> Zeroizing<Vec<u64>> {
    Zeroizing::new(ALL.iter().flat_map(|&p| small.iter().map(move |&x| residue(x, p))).collect())
}

pub(crate) fn transform(wide: &mut [u64]) {
    wide.chunks_exact_mut(N).zip(&RING.ntt).for_each(|(a, ntt)| ntt.forward(a));
}

/// The uniform half of ciphertext `number` by its values, mod the first `primes` primes: everybody expands it.
pub(crate) fn half(public: &Seed, number: u64, primes: usize) -> Vec<u64> {
    let mut out = vec![0; primes * N];
    let mut stream = public.stream(number);
    for ((part, p), bits) in out.chunks_exact_mut(N).zip(ALL).zip(wire::BITS) {
        sample::uniform(&mut stream, p, bits, part);
    }
    out
}

/// The stream of a switching key; 0 is the public key's.
fn number(level: usize, digit: usize) -> u64 {
    1 + (level * DIGITS + digit) as u64
}

/// The peer's public keys, expanded: 5.6 MB.
pub struct PublicKeys {
    /// For each prime of `q` the values of the public key's two polynomials.
    zero: [Vec<u64>; 2],
    /// For each level, for each prime: the bodies of the digits, then their uniform halves.
    switching: Vec<[Vec<u64>; 3]>,
}

impl fmt::Debug for PublicKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKeys(..)")
    }
}

impl PublicKeys {
    /// Reads a peer's [`SecretKey::publish`].
    ///
    /// # Errors
    /// [`Error::Length`] for another length than [`PUBLIC_BYTES`], [`Error::Residue`] for a residue beyond its prime.
    pub fn read(message: &[u8]) -> Result<Self, Error> {
        wire::expect(WHAT, message.len(), PUBLIC_BYTES)?;
        let (seed, rest) = message.split_at(wire::SEED_BYTES);
        let public = Seed::from_bytes(seed.try_into().expect("as long as a seed"));
        let (zero, rest) = rest.split_at(wire::POLY_BYTES);
        let mut body = vec![0; 2 * N];
        wire::read(WHAT, zero, &mut body)?;
        let a = half(&public, 0, 3);
        let zero = [0, 1].map(|i| [part(&body, i), part(&a, i)].concat());
        let mut digits = rest.chunks_exact(wire::WIDE_BYTES);
        let switching = (1..=LEVELS).map(|level| {
            let (mut bodies, mut halves) = (Vec::new(), Vec::new());
            for digit in 0..DIGITS {
                let mut body = vec![0; 3 * N];
                wire::read(WHAT, digits.next().expect("the length fits"), &mut body)?;
                bodies.push(body);
                halves.push(half(&public, number(level, digit), 3));
            }
            let all: Vec<_> = bodies.into_iter().chain(halves).collect();
            Ok([0, 1, 2].map(|i| all.iter().flat_map(|poly| part(poly, i)).copied().collect()))
        });
        Ok(Self { zero, switching: switching.collect::<Result<_, _>>()? })
    }

    pub(crate) fn zero(&self) -> &[Vec<u64>; 2] {
        &self.zero
    }

    /// For `X -> X^(2^level + 1)`.
    pub(crate) fn switching(&self, level: usize) -> &[Vec<u64>; 3] {
        &self.switching[level - 1]
    }
}

fn part(poly: &[u64], i: usize) -> &[u64] {
    &poly[i * N..(i + 1) * N]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_published_at_their_length_and_never_shown() {
        let key = SecretKey::new(&Seed::from_bytes([1; 32]));
        let message = key.publish();
        assert_eq!(message.len(), 32 + 39_936 + 24 * 55_808);
        assert_eq!(message, key.publish());
        assert_eq!(format!("{key:?}"), "SecretKey(..)");
        let keys = PublicKeys::read(&message).unwrap();
        // Each body less its product with the secret is small, but for the switching keys' gadget.
        let [b, a] = [0, 1].map(|j| [0, 1].map(|i| part(&keys.zero()[i], j)).concat());
        let mut noise = Poly(b);
        key.add_product(&a, &mut noise.0);
        noise.inverse();
        let small = |i: usize| crate::ring::lift(noise.at(i)) as i64;
        assert!((0..N).all(|i| small(i).abs() <= 21) && (0..N).any(|i| small(i) != 0));
        assert_ne!(key.publish(), SecretKey::new(&Seed::from_bytes([2; 32])).publish());
    }

    #[test]
    fn hostile_keys_are_refused() {
        let message = SecretKey::new(&Seed::from_bytes([1; 32])).publish();
        for len in [0, 31, 32, PUBLIC_BYTES - 1] {
            let error = PublicKeys::read(&message[..len]).unwrap_err();
            assert_eq!(error, Error::Length { what: WHAT, got: len, expected: PUBLIC_BYTES });
        }
        for at in [32, 32 + 39_936, PUBLIC_BYTES - 16] {
            let mut bad = message.clone();
            bad[at..at + 16].fill(0xff);
            let error = PublicKeys::read(&bad).unwrap_err();
            assert!(matches!(error, Error::Residue { .. }), "{error}");
            assert!(error.to_string().contains("must be below"), "{error}");
        }
    }
}
