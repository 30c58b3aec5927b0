//! Two parties' side of every lookup: a mask cut into the part that a unit vector marks and the part below.
//!
//! `r = 2^lo rh + rl`. From the parties' parts of `r`: XOR shares of the unit vector at `rh`, the sign `s` that every lookup through it
//! carries, and `rl = l0 + l1 - 2^lo c` with the parts' low bits `l` and the carry `c`. NO DEALER 4.1: `s` costs nothing,
//! products with `s` two messages for all that share it.

use sotto_ring::mask;

use crate::making::{Making, Slot};

/// What is known of the cut mask.
pub(super) struct Cut {
    /// Bits below.
    pub lo: u32,
    /// Each party's own low bits.
    pub low: Slot,
    /// XOR shares of the carry out of them.
    pub carry: Slot,
    /// Additive shares of the sign, in every ring.
    pub sign: Slot,
    /// XOR shares of `(1 - s) / 2`.
    pub sigma: Slot,
}

impl Cut {
    /// Cuts a mask of `n` bits below its top `k`. Returns the unit vectors, too.
    pub fn new(making: &mut Making<'_>, r: Slot, n: u32, k: u32) -> (Slot, Self) {
        let lo = n - k;
        let hot = top_one_hot(making, r, n, k);
        let (sign, sigma) = making.sign(hot, 1 << k);
        let (low, carry) = (making.low(r, lo), making.carry(r, lo));
        (hot, Self { lo, low, carry, sign, sigma })
    }

    /// Shares mod `2^width` of `s rl`.
    pub fn sign_low(&self, making: &mut Making<'_>, width: u32) -> Slot {
        let low = making.times_sign(self.sigma, self.low, width);
        let carried = making.mux(self.carry, self.sign, width.saturating_sub(self.lo));
        making.sum(&[(low, 1), (carried, (1u64 << self.lo).wrapping_neg())])
    }

    /// Shares of `rl` mod `2^(lo + 1)`, where XOR shares of the carry are additive ones.
    pub fn low_mod(&self, making: &mut Making<'_>) -> Slot {
        let lo = self.lo;
        let carry = making.arithmetic(self.carry, 1);
        making.zip(self.low, carry, move |_, l, c| l.wrapping_add(c << lo) & mask(lo + 1))
    }
}

/// Shares mod `2^width` of `s a`: `a` a mask of `n` bits, `sign` and `sigma` as in [`Cut`], one for each or several of `a`.
pub(super) fn sign_mask(
    making: &mut Making<'_>,
    (sign, sigma): (Slot, Slot),
    (a, n): (Slot, u32),
    width: u32,
) -> Slot {
    if width == 0 {
        return a;
    }
    let product = making.times_sign(sigma, a, width);
    if width <= n {
        return product;
    }
    let wrap = making.carry(a, n);
    let sign = making.repeat(sign, making.count(a) / making.count(sign));
    let wrapped = making.mux(wrap, sign, width - n);
    making.zip(product, wrapped, move |_, p, k| p.wrapping_sub(k << n))
}

/// XOR shares of the unit vectors at the top `k` bits of a mask of `n` bits.
pub(super) fn top_one_hot(making: &mut Making<'_>, r: Slot, n: u32, k: u32) -> Slot {
    let bits: Vec<Slot> = (n - k..n).map(|i| making.sum_bit(r, i)).collect();
    making.one_hot(&bits)
}
