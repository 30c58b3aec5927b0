//! Two parties' side of every lookup: a mask cut into the part that a unit vector marks and the part below.
//!
//! `r = 2^lo rh + rl`. From the parties' parts of `r`: XOR shares of the unit vector at `rh`, the sign `s` that every lookup through it
//! carries, and `rl = l0 + l1 - 2^lo c` with the parts' low bits `l` and the carry `c`. NO DEALER 4.1: `s` costs nothing,
//! products with `s` two messages for all that share it.

use sotto_ring::mask;

use super::{Making, Slot};

/// What is known of the cut mask.
#[derive(Clone, Copy)]
pub struct Cut {
    /// Bits below.
    pub(crate) lo: u32,
    /// Each party's own low bits.
    pub(crate) low: Slot,
    /// XOR shares of the carry out of them.
    pub(crate) carry: Slot,
    /// Additive shares of the sign, in every ring.
    pub(crate) sign: Slot,
    /// XOR shares of `(1 - s) / 2`.
    pub(crate) sigma: Slot,
}

impl Cut {
    /// Cuts a mask of `n` bits below its top `k`. Returns the unit vectors, too.
    pub(crate) fn new(making: &mut Making<'_>, r: Slot, n: u32, k: u32) -> (Slot, Self) {
        let lo = n - k;
        let hot = top_one_hot(making, r, n, k);
        let (sign, sigma) = making.sign(hot, 1 << k);
        let (low, carry) = (making.low(r, lo), making.carry(r, lo));
        (hot, Self { lo, low, carry, sign, sigma })
    }

    /// Shares mod `2^width` of `s rl`.
    pub(crate) fn sign_low(&self, making: &mut Making<'_>, width: u32) -> Slot {
        let low = making.times_sign(self.sigma, self.low, width);
        let carried = making.mux(self.carry, self.sign, width.saturating_sub(self.lo));
        making.sum(&[(low, 1), (carried, (1u64 << self.lo).wrapping_neg())])
    }

    /// Shares of `rl` mod `2^(lo + 1)`, where XOR shares of the carry are additive ones.
    pub(crate) fn low_mod(&self, making: &mut Making<'_>) -> Slot {
        let lo = self.lo;
        let carry = making.arithmetic(self.carry, 1);
        making.zip(self.low, carry, move |_, l, c| l.wrapping_add(c << lo) & mask(lo + 1))
    }

    /// Shares mod `2^width` of `s a`: `a` a mask of `n` bits, one or several for each sign. Two words an element of `a`.
    pub(crate) fn sign_mask(
        &self,
        making: &mut Making<'_>,
        (a, n): (Slot, u32),
        width: u32,
    ) -> Slot {
        if width == 0 {
            return a;
        }
        let product = making.times_sign(self.sigma, a, width);
        if width <= n {
            return product;
        }
        let wrap = making.carry(a, n);
        let sign = making.repeat(self.sign, making.count(a) / making.count(self.sign));
        let wrapped = making.mux(wrap, sign, width - n);
        making.zip(product, wrapped, move |_, p, k| p.wrapping_sub(k << n))
    }

    /// Shares mod `2^width` of `s rl a`: `a` a mask of `n` bits, one or several for each sign.
    ///
    /// `rl a`, below `2^(lo + n)`, is multiplied in a ring of one bit more, with the few bits of `l` as choices that all `a` of a row
    /// share, then widened.
    pub(crate) fn sign_low_mask(
        &self,
        making: &mut Making<'_>,
        (a, n): (Slot, u32),
        width: u32,
    ) -> Slot {
        let (lo, ring) = (self.lo, self.lo + n + 1);
        let product = making.cross_times(self.low, lo, a, ring);
        let carried = making.mux(self.carry, a, ring - lo);
        let low = self.low_mod(making);
        let low = making.repeat(low, making.count(a) / making.count(low));
        let wrap = making.carry(a, n);
        let wrapped = making.mux(wrap, low, ring - n);
        let product = making.sum(&[
            (product, 1),
            (carried, (1u64 << lo).wrapping_neg()),
            (wrapped, (1u64 << n).wrapping_neg()),
        ]);
        let product = making.widen(product, ring, width);
        making.times_sign(self.sigma, product, width)
    }
}

/// XOR shares of the unit vectors at the top `k` bits of a mask of `n` bits.
pub(crate) fn top_one_hot(making: &mut Making<'_>, r: Slot, n: u32, k: u32) -> Slot {
    let bits: Vec<Slot> = (n - k..n).map(|i| making.sum_bit(r, i)).collect();
    making.one_hot(&bits)
}
