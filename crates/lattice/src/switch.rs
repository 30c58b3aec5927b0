//! Key switching, and packing of several ciphertexts into one.
//!
//! `X -> X^g` of a ciphertext is one under `s(X^g)`. Its second polynomial is cut into its two residues (centred, which
//! halves the noise), these are multiplied with the key of `g` mod `q P`, and `P` is divided out.
//!
//! Packing: of ciphertexts that are useful at multiples of `2^levels` alone, number `i` lands at offset `i`; what stood
//! elsewhere cancels or stays where nobody looks. Recursively over even and odd numbers, `E + X^s O + auto_g(E - X^s O)` with
//! `s = 2^(levels - m)`, `g = N/s + 1` at `m` merged levels. It multiplies by `2^levels`, by which the ciphertexts were divided
//! when they were encrypted. Where `O` is absent, doubling `E` serves: one key switch a ciphertext but the first.
//!
//! Source: Chen, Dai, Kim, Song (ACNS 2021); BumbleBee (NDSS 2025).

use crate::{
    cipher::Cipher,
    key::PublicKeys,
    ring::{N, P, Poly, Q, RING},
};

/// The ciphertext of `m(X^g)`, `g = 2^level + 1`. Cost: 12 transforms and 12 products.
fn automorphism(cipher: &Cipher, level: usize, keys: &PublicKeys) -> Cipher {
    let [mut c0, c1] = cipher.map(|poly| poly.automorphism((1 << level) + 1)).0;
    let mut digits = vec![0; 2 * N];
    // Of the two polynomials of the result, by primes.
    let mut sums = [0, 1, 2].map(|prime| {
        let ntt = &RING.ntt[prime];
        for (digit, (out, from)) in digits.chunks_exact_mut(N).zip(c1.0.chunks_exact(N)).enumerate()
        {
            match digit == prime {
                true => out.copy_from_slice(from),
                false => ntt.recentre(Q[digit], from, out),
            }
            ntt.forward(out);
        }
        let mut sums = vec![0; 2 * N];
        ntt.add_dots(&digits, &keys.switching(level)[prime], 2, &mut sums);
        sums.chunks_exact_mut(N).for_each(|sum| ntt.inverse(sum));
        sums
    });
    let [q0, q1, p] = &mut sums;
    let mut rest = digits;
    for (i, sums) in [q0, q1].into_iter().enumerate() {
        let ntt = &RING.ntt[i];
        ntt.recentre(P, p, &mut rest);
        ntt.sub(sums, &rest);
        ntt.scale(sums, RING.special_inverse[i]);
    }
    let down = |poly: usize| {
        let part = poly * N..(poly + 1) * N;
        Poly([&sums[0][part.clone()], &sums[1][part]].concat())
    };
    c0.add(&down(0));
    Cipher([c0, down(1)])
}

/// Up to `2^levels` ciphertexts, useful at multiples of `2^levels`, into one: number `i` at offset `i`, times `2^levels`.
///
/// # Panics
/// When there is none.
pub(crate) fn pack(ciphers: Vec<Cipher>, levels: usize, keys: &PublicKeys) -> Cipher {
    assert!(!ciphers.is_empty() && ciphers.len() <= 1 << levels, "pack: {} ciphers", ciphers.len());
    merge(ciphers, levels, levels, keys)
}

/// The prefix of a list of `2^m`, of which the rest is absent.
fn merge(mut ciphers: Vec<Cipher>, m: usize, levels: usize, keys: &PublicKeys) -> Cipher {
    if m == 0 {
        return ciphers.pop().expect("the list is not empty");
    }
    let (mut evens, mut odds) = (Vec::new(), Vec::new());
    for (i, cipher) in ciphers.into_iter().enumerate() {
        if i % 2 == 0 { &mut evens } else { &mut odds }.push(cipher);
    }
    let mut even = merge(evens, m - 1, levels, keys);
    if odds.is_empty() {
        double(&mut even);
        return even;
    }
    let s = 1 << (levels - m);
    let odd = merge(odds, m - 1, levels, keys).map(|poly| poly.shifted(s));
    let mut minus = even.clone();
    minus.zip(&odd, Poly::sub);
    even.zip(&odd, Poly::add);
    let level = (N / s).trailing_zeros() as usize;
    even.zip(&automorphism(&minus, level, keys), Poly::add);
    even
}

fn double(cipher: &mut Cipher) {
    let same = cipher.clone();
    cipher.zip(&same, Poly::add);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cipher::{
            Ciphers, Encryptor,
            tests::{loaded, phase},
        },
        key::SecretKey,
        noise,
        ring::halvings,
    };
    use sotto_crypto::Seed;

    /// For every number of ciphertexts: each message at its offset, with an error within the bound.
    #[test]
    fn ciphertexts_are_packed_at_their_offsets() {
        let key = SecretKey::new(&Seed::from_bytes([1; 32]));
        let keys = PublicKeys::read(&key.publish()).unwrap();
        let width = 62;
        for (levels, count) in [(0, 1), (1, 1), (1, 2), (3, 5), (3, 8), (4, 16), (12, 3), (12, 9)] {
            let seed = Seed::from_bytes([count as u8; 32]);
            let mut encryptor = Encryptor::new(&key, &seed, halvings(levels));
            let mut bytes = encryptor.head().to_vec();
            let message = |i: usize, x: usize| ((i * 977 + x * 31) & 0xfff) as u64;
            for i in 0..count {
                let all: Vec<u64> = (0..N).map(|x| message(i, x)).collect();
                encryptor.encrypt(&all, width, &mut bytes);
            }
            let ciphers = Ciphers::read("ciphertexts", &bytes, count).unwrap();
            let list = (0..count).map(|i| loaded(&ciphers, i)).collect();
            let levels = levels as usize;
            let mut packed = pack(list, levels, &keys);
            let mut expected = vec![0; N];
            let used = |at: usize| at % (1 << levels) < count;
            for at in (0..N).filter(|&at| used(at)) {
                expected[at] = message(at % (1 << levels), at >> levels << levels);
            }
            packed.0[0].sub(&Poly::encode(&expected, width));
            let error = phase(&key, &packed);
            let worst = (0..N).filter(|&at| used(at)).map(|at| error[at].unsigned_abs()).max();
            let worst = worst.unwrap() as f64;
            let bound = 6.0 * noise::fresh(1.0).hypot(noise::switching(levels)) + 2.0;
            println!("{count} of 2^{levels}: error {worst} of {bound:.0}");
            assert!(worst <= bound, "{count} of 2^{levels}: error {worst}, bound {bound}");
        }
    }
}
