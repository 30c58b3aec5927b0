//! Polynomials mod `X^4096 + 1` and mod `q = q0 q1`, by their residues.

use std::sync::LazyLock;

use sotto_ring::{
    mask,
    ntt::{Factor, Ntt, power_vartime, reduce_once},
};
use zeroize::Zeroize;

/// Coefficients of a polynomial.
pub const N: usize = 4096;
/// The primes of the ciphertexts' modulus `q`, of 39 bits each.
pub(crate) const Q: [u64; 2] = [549_755_731_969, 549_755_486_209];
/// The special prime, of 31 bits: key switching divides its noise by it.
pub(crate) const P: u64 = 2_147_377_153;
/// Bits of a residue on the wire.
pub(crate) const Q_BITS: u32 = 39;
pub(crate) const P_BITS: u32 = 31;
/// Base 2 logarithm of `q`, for bounds.
pub(crate) const Q_LOG2: f64 = 78.0;

/// All primes of the ciphertexts and the special one.
pub(crate) const ALL: [u64; 3] = [Q[0], Q[1], P];

/// Tables of public constants.
pub(crate) struct Ring {
    /// Transforms for [`ALL`].
    pub ntt: [Ntt; 3],
    /// `1/P mod q_i`.
    pub special_inverse: [Factor; 2],
    /// `1 mod q_i`.
    one: [Factor; 2],
    /// `1 / q_(1-i) mod q_i`.
    cofactor: [Factor; 2],
    /// `floor(2^128 / q_i)`.
    reciprocal: [u128; 2],
}

pub(crate) static RING: LazyLock<Ring> = LazyLock::new(|| Ring {
    ntt: ALL.map(|p| Ntt::new(p, N)),
    special_inverse: Q.map(|q| Factor::new(inverse(P, q), q)),
    one: Q.map(|q| Factor::new(1, q)),
    cofactor: [Factor::new(inverse(Q[1], Q[0]), Q[0]), Factor::new(inverse(Q[0], Q[1]), Q[1])],
    // 2^128 is no multiple of q.
    reciprocal: Q.map(|q| u128::MAX / u128::from(q)),
});

/// `1/x mod p`, for public numbers.
pub(crate) fn inverse(x: u64, p: u64) -> u64 {
    power_vartime(x, p - 2, p)
}

/// `2^-bits` mod each of `q`'s primes.
pub(crate) fn halvings(bits: u32) -> [Factor; 2] {
    Q.map(|q| Factor::new(inverse(power_vartime(2, u64::from(bits), q), q), q))
}

/// A number of at most 40 bits and a sign mod prime `i` of `q`. Constant time.
pub(crate) fn plain_residue(x: i64, i: usize) -> u64 {
    RING.one[i].times((Q[i] << 3).wrapping_add_signed(x))
}

/// A number in `(-p, p)` mod `p`. Constant time.
pub(crate) fn residue(x: i64, p: u64) -> u64 {
    (x as u64).wrapping_add(p & (x >> 63) as u64)
}

/// `N` coefficients mod `q0`, then `N` mod `q1`. Wiping is the owner's matter.
#[derive(Clone)]
pub(crate) struct Poly(pub Vec<u64>);

impl Zeroize for Poly {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl Poly {
    pub fn zero() -> Self {
        Self(vec![0; 2 * N])
    }

    /// Of small coefficients, each in `(-q_i, q_i)`.
    pub fn small(coefficients: &[i64]) -> Self {
        Self(Q.iter().flat_map(|&q| coefficients.iter().map(move |&x| residue(x, q))).collect())
    }

    /// `round(q m / 2^width)` of messages `m mod 2^width`. Constant time.
    ///
    /// With `t = q m + 2^(width-1)` this is `(t - t mod 2^width) / 2^width`, and `q m` vanishes mod `q_i`.
    pub fn encode(messages: &[u64], width: u32) -> Self {
        let (m, half) = (mask(width), 1 << (width - 1));
        let q = Q[0].wrapping_mul(Q[1]);
        let mut out = Vec::with_capacity(2 * N);
        for (q_i, divide) in Q.into_iter().zip(halvings(width)) {
            let half_i = half % q_i;
            out.extend(messages.iter().map(|&x| {
                let low = q.wrapping_mul(x).wrapping_add(half) & m;
                // (2^(width-1) - low) / 2^width
                let sum = reduce_once(divide.times(half_i) + q_i - divide.times(low), q_i);
                reduce_once(sum, q_i)
            }));
        }
        Self(out)
    }

    fn parts(&mut self) -> impl Iterator<Item = (&mut [u64], &'static Ntt)> {
        self.0.chunks_exact_mut(N).zip(&RING.ntt)
    }

    pub fn add(&mut self, other: &Self) {
        self.parts().zip(other.0.chunks_exact(N)).for_each(|((a, ntt), b)| ntt.add(a, b));
    }

    pub fn sub(&mut self, other: &Self) {
        self.parts().zip(other.0.chunks_exact(N)).for_each(|((a, ntt), b)| ntt.sub(a, b));
    }

    pub fn scale(&mut self, factors: [Factor; 2]) {
        self.parts().zip(factors).for_each(|((a, ntt), factor)| ntt.scale(a, factor));
    }

    /// Times `X^by`, `by` in `0..2N`.
    pub fn shifted(&self, by: usize) -> Self {
        let mut out = Vec::with_capacity(2 * N);
        let (by, negated) = (by % N, by >= N);
        for (from, q) in self.0.chunks_exact(N).zip(Q) {
            let (kept, around) = from.split_at(N - by);
            // What goes around changes its sign; q - 0 is brought back to 0.
            let negative = |x: &u64| reduce_once(q - x, q);
            if negated {
                out.extend_from_slice(around);
                out.extend(kept.iter().map(negative));
            } else {
                out.extend(around.iter().map(negative));
                out.extend_from_slice(kept);
            }
        }
        Self(out)
    }

    /// `X` to `X^g`, `g` odd.
    pub fn automorphism(&self, g: usize) -> Self {
        let mut out = vec![0; 2 * N];
        let parts = out.chunks_exact_mut(N).zip(self.0.chunks_exact(N));
        for ((out, from), q) in parts.zip(Q) {
            let mut place = 0;
            for &x in from {
                // The place is public, the coefficient is not.
                out[place % N] = if place < N { x } else { reduce_once(q - x, q) };
                place = (place + g) % (2 * N);
            }
        }
        Self(out)
    }

    /// Values in place of coefficients.
    pub fn forward(&mut self) {
        self.parts().for_each(|(a, ntt)| ntt.forward(a));
    }

    /// Coefficients in place of values.
    pub fn inverse(&mut self) {
        self.parts().for_each(|(a, ntt)| ntt.inverse(a));
    }

    /// Both residues of coefficient `i`.
    pub fn at(&self, i: usize) -> [u64; 2] {
        [self.0[i], self.0[N + i]]
    }
}

/// `round(2^bits x / q) mod 2^bits` of a number by its residues, `bits <= 64`. Constant time.
///
/// `x / q` is `y0 / q0 + y1 / q1` mod 1 with `y_i = x / q_(1-i) mod q_i`; both are added in units of `2^-128`, where the
/// reciprocals are exact to `2^-88`.
pub(crate) fn switch(x: [u64; 2], bits: u32) -> u64 {
    let ring = &*RING;
    let parts =
        [0, 1].map(|i| u128::from(ring.cofactor[i].times(x[i])).wrapping_mul(ring.reciprocal[i]));
    let sum = parts[0].wrapping_add(parts[1]).wrapping_add(1 << (127 - bits));
    (sum >> (128 - bits)) as u64
}

/// The number nearest to 0 with these residues, mod `2^64`. Constant time.
pub(crate) fn lift(x: [u64; 2]) -> u64 {
    // 2 q1 is more than q0: no difference is negative.
    let high = RING.cofactor[1].times(x[1] + 2 * Q[1] - x[0]);
    let q = u128::from(Q[0]) * u128::from(Q[1]);
    let whole = u128::from(x[0]) + u128::from(Q[0]) * u128::from(high);
    let above = ((q / 2).wrapping_sub(whole) as i128 >> 127) as u128;
    whole.wrapping_sub(q & above) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn q() -> u128 {
        u128::from(Q[0]) * u128::from(Q[1])
    }

    fn residues(x: u128) -> [u64; 2] {
        Q.map(|q| (x % u128::from(q)) as u64)
    }

    /// Miller and Rabin with the bases that decide below 2^64.
    fn is_prime(n: u64) -> bool {
        let (odd, twos) = ((n - 1) >> (n - 1).trailing_zeros(), (n - 1).trailing_zeros());
        [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37].into_iter().all(|base| {
            let mut x = power_vartime(base, odd, n);
            (x == 1)
                || (0..twos).any(|_| {
                    let found = x == n - 1;
                    x = power_vartime(x, 2, n);
                    found
                })
        })
    }

    #[test]
    fn the_moduli_are_the_largest_primes_of_their_sizes() {
        let below = |bits: u32| {
            let top = (1u64 << bits) + 1;
            (1..).map(move |i| top - i * 2 * N as u64).filter(|&n| is_prime(n))
        };
        assert_eq!(below(39).take(2).collect::<Vec<_>>(), Q);
        assert_eq!(below(31).next(), Some(P));
        let bits = (q() as f64).log2() + (P as f64).log2();
        assert!(bits < 109.0, "{bits} bits: more than the parameters' security allows");
        assert!((q() as f64).log2() > Q_LOG2 - 0.001);
    }

    proptest! {
        #[test]
        fn numbers_by_residues(high: u64, low: u64, bits in 1u32..=64) {
            let x = (u128::from(high) << 64 | u128::from(low)) % q();
            let r = residues(x);
            let centred = if x > q() / 2 { x.wrapping_sub(q()) } else { x };
            prop_assert_eq!(lift(r), centred as u64);
            // The quotient 2^bits x / q by long division: floor, then whether the rest is above the half.
            let (mut rest, mut floor) = (x, 0u128);
            for _ in 0..bits {
                rest *= 2;
                floor = 2 * floor + rest / q();
                rest %= q();
            }
            let rounded = floor + u128::from(2 * rest >= q());
            prop_assert_eq!(switch(r, bits), (rounded as u64) & mask(bits));
        }

        #[test]
        fn messages_are_encoded_by_rounding(m: u64, width in 1u32..=64) {
            let m = m & mask(width);
            let poly = Poly::encode(&[m; N], width);
            // q m + 2^(width-1) has up to 142 bits: by halves of q.
            let (high, low) = (q() >> 39, q() & ((1 << 39) - 1));
            let m = u128::from(m);
            // floor((high m 2^39 + low m + half) / 2^width)
            let floor = if width >= 39 {
                let shift = width - 39;
                let carry = (low * m + (1 << (width - 1))) >> 39;
                (high * m + carry) >> shift
            } else {
                (q() * m + (1 << (width - 1))) >> width
            };
            prop_assert_eq!(poly.at(7), residues(floor % q()));
        }

        #[test]
        fn signed_numbers(x in -(1i64 << 40)..=1 << 40) {
            for (i, q) in Q.into_iter().enumerate() {
                prop_assert_eq!(plain_residue(x, i) as i64, x.rem_euclid(q as i64));
                let small = x % q as i64;
                prop_assert_eq!(residue(small, q) as i64, small.rem_euclid(q as i64));
            }
        }
    }

    #[test]
    fn shifts_and_automorphisms_are_those_of_polynomials() {
        let mut x = Poly::zero();
        (x.0[1], x.0[N + 1]) = (1, 1);
        let negative = |i: usize| Q.map(|q| q - 1) == x.shifted(i).at((i + 1) % N);
        assert_eq!(x.shifted(3).at(4), [1, 1]);
        assert!(negative(N - 1) && negative(N + 5));
        assert_eq!(x.shifted(2 * N - 1).at(0), [1, 1]);
        assert_eq!(x.automorphism(N + 1).at(1), Q.map(|q| q - 1));
        assert_eq!(x.automorphism(513).at(513), [1, 1]);
        assert_eq!(Poly::zero().automorphism(N + 1).at(1), [0, 0]);
    }
}
