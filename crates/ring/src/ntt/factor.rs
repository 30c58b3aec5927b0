//! Products with constants, mod a prime.

/// A constant to multiply with, mod a prime, with its quotient for Shoup's product.
#[derive(Clone, Copy, Debug)]
pub struct Factor {
    pub(super) value: u64,
    pub(super) quotient: u64,
    pub(super) p: u64,
}

impl Factor {
    /// The constant `value mod p`.
    ///
    /// # Panics
    /// When `p` is zero or above `2^62`.
    pub fn new(value: u64, p: u64) -> Self {
        assert!(p > 0 && p < 1 << 62, "Factor: the modulus {p}");
        let value = value % p;
        let quotient = ((u128::from(value) << 64) / u128::from(p)) as u64;
        Self { value, quotient, p }
    }

    /// `x value mod p`, in `[0, p)`, for any word `x`. Constant time.
    #[inline]
    pub fn times(self, x: u64) -> u64 {
        reduce_once(self.lazy(x), self.p)
    }

    /// `x value mod p`, in `[0, 2p)`.
    #[inline]
    pub(super) fn lazy(self, x: u64) -> u64 {
        let q = ((u128::from(x) * u128::from(self.quotient)) >> 64) as u64;
        x.wrapping_mul(self.value).wrapping_sub(q.wrapping_mul(self.p))
    }
}

/// `x` from `[0, 2p)` to `[0, p)`. Constant time.
#[inline]
pub fn reduce_once(x: u64, p: u64) -> u64 {
    x.min(x.wrapping_sub(p))
}

/// `x^e mod p`; variable time in `e`, for public numbers.
pub fn power_vartime(x: u64, mut e: u64, p: u64) -> u64 {
    let times = |a: u64, b: u64| (u128::from(a) * u128::from(b) % u128::from(p)) as u64;
    let (mut base, mut out) = (x % p, 1 % p);
    while e > 0 {
        if e & 1 == 1 {
            out = times(out, base);
        }
        base = times(base, base);
        e >>= 1;
    }
    out
}
