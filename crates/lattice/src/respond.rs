//! The answer of who evaluated: additive shares of a ciphertext's message, one for each party.
//!
//! The evaluator adds an encryption of zero under the holder's public key, subtracts a mask `r` uniform mod `q` from the
//! wanted coefficients, changes the modulus from `q` to a power of two and sends. Its share is `round(2^w r / q)`, the
//! holder's the rounded phase: together the message, to within [`crate::noise::bound`] units of the last place.
//!
//! Why nothing is flooded. The holder of the key sees the phase of the wanted coefficients, `message + error - r`, where the
//! error is whatever the evaluator's plaintext made of it: with `r` uniform mod `q` and used once, the phase is uniform mod
//! `q` for every plaintext, perfectly, and what is computed from it is, too. Flooding is for schemes that decrypt exactly and
//! so cannot mask the error's place. The price: a share is off by the error, visible as a rounding coin of the result alone.
//! Coefficients nobody wants are not sent: the first polynomial goes at the wanted places only.
//!
//! What the second polynomial would tell: without the zero encryption it is a product of the plaintext with a polynomial that
//! the holder knows, which gives the plaintext away. With it, `v a + e1` is added to it, where `v` is ephemeral and the
//! evaluator's: an RLWE sample, pseudorandom to the holder, who knows `s` but not `v`. (The first polynomial's `v b + e0` is
//! below the mask `r`, and keeps the phase small.)
//! So the zero encryption must never be optimised away, and neither `v` nor `r` serve twice: they come from a seed and number
//! that serve one answer. Prior art: the H2A conversion of Cheetah and BumbleBee in SPU.

use sotto_crypto::{Seed, Stream};
use sotto_ring::{mask, ntt::reduce_once, pack};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    cipher::{Cipher, product_with_secret},
    error::Error,
    key::{PublicKeys, SecretKey},
    ring::{N, Poly, Q, Q_BITS, RING, lift, switch},
    sample, wire,
};

/// Bits of the second polynomial's words: four more than the ring's, as its rounding is multiplied with the secret.
pub(crate) fn tail_bits(width: u32) -> u32 {
    (width + 4).min(62)
}

/// Bits of the first polynomial's words.
pub(crate) fn body_bits(width: u32) -> u32 {
    (width + 2).min(62)
}

/// Bytes of an answer with `count` wanted coefficients.
pub(crate) fn len(count: usize, width: u32) -> usize {
    pack::packed_len(count, body_bits(width)) + pack::packed_len(N, tail_bits(width))
}

/// Where the randomness of answers comes from; each number serves one of them.
pub(crate) struct Responder<'a> {
    keys: &'a PublicKeys,
    seed: Seed,
    next: u64,
}

/// Streams of one answer.
const STREAMS: u64 = 4;

impl<'a> Responder<'a> {
    /// For ciphertexts under the peer's key; `seed` must serve nothing else.
    pub fn new(keys: &'a PublicKeys, seed: &Seed) -> Self {
        Self { keys, seed: seed.derive("lattice answer", 0), next: 0 }
    }

    /// Appends the answer to `out` and returns the evaluator's shares mod `2^width`, both in the order of `places`.
    pub fn respond(
        &mut self,
        mut cipher: Cipher,
        places: &[usize],
        width: u32,
        out: &mut Vec<u8>,
    ) -> Vec<u64> {
        let first = STREAMS * self.next;
        self.next += 1;
        let [v, e0, e1, mut masks] = [0, 1, 2, 3].map(|i| self.seed.stream(first + i));
        self.add_zero(&mut cipher, [v, e0, e1]);
        let r = Q.map(|q| {
            let mut r = Zeroizing::new(vec![0; places.len()]);
            sample::uniform(&mut masks, q, Q_BITS, &mut r);
            r
        });
        let [c0, c1] = &cipher.0;
        let body: Vec<u64> = (places.iter().enumerate())
            .map(|(i, &place)| {
                let at = c0.at(place);
                let hidden = [0, 1].map(|j| reduce_once(at[j] + Q[j] - r[j][i], Q[j]));
                switch(hidden, body_bits(width))
            })
            .collect();
        let tail: Vec<u64> = (0..N).map(|i| switch(c1.at(i), tail_bits(width))).collect();
        pack::pack(&body, body_bits(width), out);
        pack::pack(&tail, tail_bits(width), out);
        r[0].iter().zip(r[1].iter()).map(|(&r0, &r1)| switch([r0, r1], width)).collect()
    }

    /// Adds an encryption of zero under the peer's public key: `v (b, a) + (e0, e1)`.
    fn add_zero(&self, cipher: &mut Cipher, [mut v, e0, e1]: [Stream; 3]) {
        let mut v = Poly::small(&sample::ternary(&mut v));
        v.forward();
        let mut zeros = [Poly::zero(), Poly::zero()];
        for (i, ntt) in RING.ntt.iter().take(2).enumerate() {
            let part = i * N..(i + 1) * N;
            let mut products = Zeroizing::new(vec![0; 2 * N]);
            ntt.add_dots(&v.0[part.clone()], &self.keys.zero()[i], 1, &mut products);
            for (product, zero) in products.chunks_exact_mut(N).zip(&mut zeros) {
                ntt.inverse(product);
                zero.0[part.clone()].copy_from_slice(product);
            }
        }
        v.zeroize();
        for ((poly, zero), mut e) in cipher.0.iter_mut().zip(&mut zeros).zip([e0, e1]) {
            let mut error = Poly::small(&sample::binomial(&mut e));
            poly.add(zero);
            poly.add(&error);
            error.zeroize();
            zero.zeroize();
        }
    }
}

/// The holder's shares of an answer with this many wanted coefficients, in the order of `places`.
///
/// # Errors
/// [`Error::Length`] when the message has another length than the shapes give. Every word of that length is an answer.
pub(crate) fn receive(
    message: &[u8],
    places: &[usize],
    width: u32,
    key: &SecretKey,
) -> Result<Vec<u64>, Error> {
    wire::expect("an answer", message.len(), len(places.len(), width))?;
    let (body_bits, tail_bits) = (body_bits(width), tail_bits(width));
    let (body, tail) = message.split_at(pack::packed_len(places.len(), body_bits));
    let tail = pack::unpack_vec(tail, tail_bits, N);
    // Below 2^62, so their product with the secret is below 2^74 and found whole mod q.
    let c1 = Q.iter().zip(&RING.ntt).flat_map(|(&q, _)| tail.iter().map(move |&x| x % q)).collect();
    let product = Poly(product_with_secret(key, Poly(c1)).to_vec());
    let body = pack::unpack_vec(body, body_bits, places.len());
    let shares = places.iter().zip(body).map(|(&place, c0)| {
        let c0 = c0 << (tail_bits - body_bits);
        let phase = lift(product.at(place)).wrapping_add(c0) & mask(tail_bits);
        match tail_bits.checked_sub(width) {
            Some(0) => phase,
            Some(extra) => phase.wrapping_add(1 << (extra - 1)) >> extra & mask(width),
            None => phase << (width - tail_bits) & mask(width),
        }
    });
    Ok(shares.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cipher::{Ciphers, Encryptor, tests::loaded},
        noise,
        ring::halvings,
    };
    use sotto_ring::signed;

    fn cipher(key: &SecretKey, message: &[u64], width: u32) -> Cipher {
        let mut encryptor = Encryptor::new(key, &Seed::from_bytes([2; 32]), halvings(0));
        let mut bytes = encryptor.head().to_vec();
        encryptor.encrypt(message, width, &mut bytes);
        loaded(&Ciphers::read("ciphertexts", &bytes, 1).unwrap(), 0)
    }

    #[test]
    fn shares_add_up_to_the_message_at_every_width() {
        let key = SecretKey::new(&Seed::from_bytes([1; 32]));
        let keys = PublicKeys::read(&key.publish()).unwrap();
        for width in [1, 2, 20, 33, 47, 54, 57, 58, 60, 62, 63, 64] {
            let places: Vec<usize> = (0..N).step_by(1 + width as usize % 7).collect();
            let message: Vec<u64> = (0..N as u64)
                .map(|i| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask(width))
                .collect();
            let mut responder = Responder::new(&keys, &Seed::from_bytes([3; 32]));
            let mut bytes = Vec::new();
            let ours = responder.respond(cipher(&key, &message, width), &places, width, &mut bytes);
            assert_eq!(bytes.len(), len(places.len(), width));
            let theirs = receive(&bytes, &places, width, &key).unwrap();
            let errors = places.iter().enumerate().map(|(i, &place)| {
                let sum = ours[i].wrapping_add(theirs[i]).wrapping_sub(message[place]);
                signed(sum, width).unsigned_abs()
            });
            let (worst, bound) =
                (errors.max().unwrap() as f64, noise::bound(noise::fresh(1.0), width));
            println!("width {width}: error {worst} of {bound:.1}");
            assert!(worst <= bound, "width {width}: error {worst}, bound {bound}");
            let short = receive(&bytes[1..], &places, width, &key).unwrap_err();
            assert!(matches!(short, Error::Length { .. }));
        }
    }

    /// The holder's view of a constant message: its phase at every answer, and both polynomials' words.
    #[test]
    fn what_the_holder_sees_is_uniform() {
        let key = SecretKey::new(&Seed::from_bytes([1; 32]));
        let keys = PublicKeys::read(&key.publish()).unwrap();
        let (width, places) = (35, (0..N).collect::<Vec<_>>());
        let cipher = cipher(&key, &[5; N], width);
        let mut counts = [[0u32; 16]; 3];
        for seed in 0..8 {
            let mut bytes = Vec::new();
            let mut responder = Responder::new(&keys, &Seed::from_bytes([seed; 32]));
            responder.respond(cipher.clone(), &places, width, &mut bytes);
            let phase = receive(&bytes, &places, width, &key).unwrap();
            let (body, tail) = bytes.split_at(pack::packed_len(N, body_bits(width)));
            let body = pack::unpack_vec(body, body_bits(width), N);
            let tail = pack::unpack_vec(tail, tail_bits(width), N);
            for (counts, (words, bits)) in counts.iter_mut().zip([
                (phase, width),
                (body, body_bits(width)),
                (tail, tail_bits(width)),
            ]) {
                words.iter().for_each(|x| counts[(x >> (bits - 4)) as usize] += 1);
            }
        }
        for counts in counts {
            let mean = (8 * N) as f64 / 16.0;
            let chi: f64 = counts.iter().map(|&c| (f64::from(c) - mean).powi(2) / mean).sum();
            assert!(chi < 45.0, "chi-square {chi} at 15 degrees of freedom");
        }
    }

    #[test]
    fn no_two_answers_share_a_mask() {
        let key = SecretKey::new(&Seed::from_bytes([1; 32]));
        let keys = PublicKeys::read(&key.publish()).unwrap();
        let cipher = cipher(&key, &[5; N], 40);
        let mut responder = Responder::new(&keys, &Seed::from_bytes([3; 32]));
        let answers: Vec<_> = (0..2)
            .map(|_| {
                let mut bytes = Vec::new();
                let share = responder.respond(cipher.clone(), &[0, 9], 40, &mut bytes);
                (share, bytes)
            })
            .collect();
        assert!(answers[0].0 != answers[1].0 && answers[0].1 != answers[1].1);
    }
}
