//! Blocks on additive shares: products with bits and with a party's own numbers, signs, wider rings.
//!
//! Bits and COTs are both directions together; the bit that sets a choice is part of the COT.

use sotto_ring::mask;

use super::{
    Making, Slot,
    recipe::{Op, Part},
};
use crate::spec::Role;

impl Making<'_> {
    /// Shares of a public number: the server's part is all of it.
    pub(crate) fn constant(&mut self, count: usize, value: u64) -> Slot {
        self.local(&[], count, move |role, _| {
            let part = if role == Role::Server { value } else { 0 };
            Part::Words(vec![part; count])
        })
    }

    /// Rows of twice the length: `(all - high, high)` of each row of `all` and `high`.
    pub(crate) fn halves(&mut self, all: Slot, high: Slot, row: usize) -> Slot {
        let count = self.count(all);
        self.local(&[all, high], 2 * count, move |_, x| {
            let rows = x.words(0).chunks_exact(row).zip(x.words(1).chunks_exact(row));
            let mut out = Vec::with_capacity(2 * count);
            for (all, high) in rows {
                out.extend(all.iter().zip(high).map(|(a, h)| a.wrapping_sub(*h)));
                out.extend_from_slice(high);
            }
            Part::Words(out)
        })
    }

    /// Additive shares mod `2^width` of `b t`: `b` XOR-shared, one for as many words of `t` as there are more of. `2 width` bits a
    /// word, 2 COTs a bit.
    pub(crate) fn mux(&mut self, b: Slot, t: Slot, width: u32) -> Slot {
        let count = self.count(t);
        if width == 0 {
            return self.constant(count, 0);
        }
        let [server, client] = self.choose_both(b);
        self.op(Op::Mux { width }, vec![server, client, t], count)
    }

    /// Additive shares mod `2^width` of an XOR-shared bit: `b0 + b1 - 2 b0 b1`. `width - 1` bits, 1 COT (ABY).
    pub(crate) fn arithmetic(&mut self, b: Slot, width: u32) -> Slot {
        if let Some(made) = self.made.arithmetic.get(&(b, width)) {
            return *made;
        }
        let count = self.count(b);
        let own = self.local(&[b], count, |_, x| {
            Part::Words(x.bits(0).iter().map(|&b| u64::from(b)).collect())
        });
        let slot = match width {
            0 | 1 => own,
            _ => {
                let choice = self.choose(b, Role::Client, 0);
                let both = self.times_chosen(choice, Role::Client, 1, own, width - 1);
                self.zip(own, both, |_, b, s| b.wrapping_sub(s << 1))
            }
        };
        self.made.arithmetic.insert((b, width), slot);
        slot
    }

    /// One step of products of the receiver's choices and the sender's words.
    fn times_chosen(
        &mut self,
        choice: Slot,
        receiver: Role,
        planes: u32,
        y: Slot,
        width: u32,
    ) -> Slot {
        let count = self.count(y);
        self.op(Op::Times { receiver, planes, width }, vec![choice, y], count)
    }

    /// Additive shares mod `2^width` of `x y`: the lowest `bits` bits of the receiver's own `x`, the other's own `y` (a share will
    /// do). Gilboa: `width - i` bits and a COT for bit `i` of `x`. Several `y` may belong to one `x`.
    pub(crate) fn private_times(
        &mut self,
        x: Slot,
        bits: u32,
        receiver: Role,
        y: Slot,
        width: u32,
    ) -> Slot {
        if width == 0 || bits == 0 {
            let count = self.count(y);
            return self.constant(count, 0);
        }
        let planes = bits.min(width);
        let choice = self.choose(x, receiver, planes);
        self.times_chosen(choice, receiver, planes, y, width)
    }

    /// Additive shares mod `2^width` of `(x0 + x1)(y0 + y1)`, each party's own `x` of `bits` bits. Each row of `x` may belong to
    /// several `y`.
    pub(crate) fn cross_times(&mut self, x: Slot, bits: u32, y: Slot, width: u32) -> Slot {
        let server = self.private_times(x, bits, Role::Server, y, width);
        let client = self.private_times(x, bits, Role::Client, y, width);
        let each = self.count(y) / self.count(x);
        let x = self.repeat(x, each);
        let own = self.zip(x, y, |_, x, y| x.wrapping_mul(y));
        self.sum(&[(own, 1), (server, 1), (client, 1)])
    }

    /// The sum of multiples of values.
    pub(crate) fn sum(&mut self, terms: &[(Slot, u64)]) -> Slot {
        let (slots, factors): (Vec<Slot>, Vec<u64>) = terms.iter().copied().unzip();
        let count = self.count(slots[0]);
        assert!(slots.iter().all(|s| self.count(*s) == count), "elements of a sum");
        self.local(&slots, count, move |_, x| {
            let mut out = vec![0u64; count];
            for (i, f) in factors.iter().enumerate() {
                let terms = out.iter_mut().zip(x.words(i));
                terms.for_each(|(o, x)| *o = o.wrapping_add(x.wrapping_mul(*f)));
            }
            Part::Words(out)
        })
    }

    /// Sums of rows.
    pub(crate) fn sum_rows(&mut self, x: Slot, row: usize) -> Slot {
        let count = self.count(x) / row;
        self.local(&[x], count, move |_, x| {
            let rows = x.words(0).chunks_exact(row);
            let sum = |row: &[u64]| row.iter().fold(0u64, |s, x| s.wrapping_add(*x));
            Part::Words(rows.map(sum).collect())
        })
    }

    /// Shares mod `2^width` of a value below `2^(from - 1)` that is shared mod `2^from`: the parts wrap unless both are below half.
    /// `width - from` bits, 1 COT (SIRNN).
    pub(crate) fn widen(&mut self, z: Slot, from: u32, width: u32) -> Slot {
        if width <= from {
            return z;
        }
        let (below, own) = self.below(z, from);
        let choice = self.choose(below, Role::Client, 0);
        let both = self.times_chosen(choice, Role::Client, 1, own, width - from);
        self.zip(z, both, move |role, z, s| {
            let wrap = u64::from(role == Role::Server).wrapping_sub(s);
            (z & mask(from)).wrapping_sub(wrap << from)
        })
    }

    /// Whether each party's own share mod `2^from` is below half: as bits and as words.
    fn below(&mut self, z: Slot, from: u32) -> (Slot, Slot) {
        if let Some(made) = self.made.below.get(&(z, from)) {
            return *made;
        }
        let words = self.map(z, move |_, z| 1 ^ (z >> (from - 1)) & 1);
        let made = (self.own_bit(words, 0), words);
        self.made.below.insert((z, from), made);
        made
    }

    /// Shares mod `2^width` of `w y`, `w` the bit that the shares mod `2^from` of [`Making::widen`]'s `z` wrap. `2 width` bits, 2 COTs,
    /// one of them widening's.
    pub(crate) fn wrap_times(&mut self, z: Slot, from: u32, y: Slot, width: u32) -> Slot {
        let (below, own) = self.below(z, from);
        let own = self.zip(own, y, |_, n, y| n.wrapping_mul(y));
        let terms = [Role::Server, Role::Client].map(|receiver| {
            let choice = self.choose(below, receiver, 0);
            self.times_chosen(choice, receiver, 1, own, width)
        });
        self.sum(&[(y, 1), (terms[0], u64::MAX), (terms[1], u64::MAX)])
    }

    /// `s t = t - 2 sigma t` mod `2^width` with the sign `s = 1 - 2 sigma`. `2 (width - 1)` bits a word.
    pub(crate) fn times_sign(&mut self, sigma: Slot, t: Slot, width: u32) -> Slot {
        let half = self.mux(sigma, t, width - 1);
        self.sum(&[(t, 1), (half, 2u64.wrapping_neg())])
    }

    /// Additive shares mod `2^width` of a mask of `n` bits as a number: `r0 + r1 - 2^n kappa`.
    pub(crate) fn mask_share(&mut self, r: Slot, n: u32, width: u32) -> Slot {
        if width <= n {
            return r;
        }
        let wrap = self.carry(r, n);
        let wrap = self.arithmetic(wrap, width - n);
        self.zip(r, wrap, move |_, r, k| r.wrapping_sub(k << n))
    }

    /// Additive shares mod `2^width` of `r y`: `r` a mask of `n` bits, `y` shared, each row of `r` for several of `y`.
    pub(crate) fn mask_times(&mut self, r: Slot, n: u32, y: Slot, width: u32) -> Slot {
        let product = self.cross_times(r, n, y, width);
        self.without_wrap(product, (r, n), y, width)
    }

    /// Additive shares mod `2^width` of `r y`, from those of `(r0 + r1) y`.
    pub(super) fn without_wrap(
        &mut self,
        product: Slot,
        (r, n): (Slot, u32),
        y: Slot,
        width: u32,
    ) -> Slot {
        if width <= n {
            return product;
        }
        let wrap = self.carry(r, n);
        let wrapped = self.mux(wrap, y, width - n);
        self.zip(product, wrapped, move |_, p, k| p.wrapping_sub(k << n))
    }

    /// XOR shares of a mask's top bit.
    pub(crate) fn top_bit(&mut self, r: Slot, n: u32) -> Slot {
        self.sum_bit(r, n - 1)
    }
}
