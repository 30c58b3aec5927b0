//! Blocks on XOR-shared bits: sums of the parties' numbers bit by bit, unit vectors, their signs.

use sotto_ring::mask;

use super::{
    Making, Slot,
    recipe::{Op, Part},
};
use crate::spec::Role;

impl Making<'_> {
    /// COTs with the bits of `x` (or the lowest `planes` bits of its words) as `receiver`'s choices: made once for all that read
    /// them.
    pub(super) fn choose(&mut self, x: Slot, receiver: Role, planes: u32) -> Slot {
        let key = (x, receiver.index(), planes);
        if let Some(made) = self.made.choices.get(&key) {
            return *made;
        }
        let count = self.count(x) * planes.max(1) as usize;
        let slot = self.op(Op::Choose { receiver, planes }, vec![x], count);
        self.made.choices.insert(key, slot);
        slot
    }

    /// Both parties' COTs for an XOR-shared bit.
    pub(super) fn choose_both(&mut self, b: Slot) -> [Slot; 2] {
        [Role::Server, Role::Client].map(|receiver| self.choose(b, receiver, 0))
    }

    /// XOR shares of the AND. 4 bits and 2 COTs an element, one flight. A triple from two random COTs (Gilboa, CRYPTO 1999).
    pub(crate) fn and(&mut self, u: Slot, v: Slot) -> Slot {
        let count = self.count(u);
        assert_eq!(count, self.count(v), "elements of an AND");
        self.op(Op::And, vec![u, v], count)
    }

    /// XOR shares of the XOR.
    pub(crate) fn xor(&mut self, u: Slot, v: Slot) -> Slot {
        let count = self.count(u);
        self.local_bits(&[u, v], count, |_, x| {
            x.bits(0).iter().zip(x.bits(1)).map(|(u, v)| u ^ v).collect()
        })
    }

    /// XOR shares of the carry into bit `i` of the sum of both parties' numbers `r`: at the numbers' width, whether they wrap. An
    /// AND and a flight for each bit, once for all that ask.
    ///
    /// `c' = c ^ (a ^ c)(b ^ c)` with the server's bit `a`, the client's `b`.
    pub(crate) fn carry(&mut self, r: Slot, i: u32) -> Slot {
        let mut known = self.made.carries.remove(&r).unwrap_or_default();
        let count = self.count(r);
        if known.is_empty() {
            known.push(self.local_bits(&[], count, move |_, _| vec![0; count]));
        }
        while known.len() <= i as usize {
            let at = known.len() - 1;
            let c = known[at];
            // Each party XORs its bit onto its part of one factor.
            let factor = |whose: Role| {
                move |role: Role, x: &super::Parts<'_>| {
                    let own = u64::from(role == whose);
                    let both = x.words(0).iter().zip(x.bits(1));
                    both.map(|(r, c)| (r >> at & own) as u8 ^ c).collect()
                }
            };
            let u = self.local_bits(&[r, c], count, factor(Role::Server));
            let v = self.local_bits(&[r, c], count, factor(Role::Client));
            let and = self.and(u, v);
            known.push(self.xor(c, and));
        }
        let carry = known[i as usize];
        self.made.carries.insert(r, known);
        carry
    }

    /// Bit `i` of each party's own word.
    pub(crate) fn own_bit(&mut self, x: Slot, i: u32) -> Slot {
        let count = self.count(x);
        self.local_bits(&[x], count, move |_, x| {
            x.words(0).iter().map(|x| (x >> i) as u8 & 1).collect()
        })
    }

    /// XOR shares of bit `i` of the sum of both parties' numbers `r`.
    pub(crate) fn sum_bit(&mut self, r: Slot, i: u32) -> Slot {
        let (c, count) = (self.carry(r, i), self.count(r));
        self.local_bits(&[r, c], count, move |_, x| {
            let both = x.words(0).iter().zip(x.bits(1));
            both.map(|(r, c)| (r >> i) as u8 & 1 ^ c).collect()
        })
    }

    /// XOR shares of the unit vectors at the numbers whose XOR-shared bits are given, lowest first; rows of words. Two string
    /// COTs a level and element, of which the first level needs none; a flight a level.
    pub(crate) fn one_hot(&mut self, bits: &[Slot]) -> Slot {
        let count = self.count(bits[0]);
        let mut e = self.local(&[bits[0]], count, |role, x| {
            let first = u64::from(role == Role::Server);
            let row = |&b: &u8| (first ^ u64::from(b)) | u64::from(b) << 1;
            Part::Words(x.bits(0).iter().map(row).collect())
        });
        for (level, &b) in bits.iter().enumerate().skip(1) {
            let size = 1u32 << level;
            let [server, client] = self.choose_both(b);
            let words = self.count(e);
            let high = self.op(Op::Select { size }, vec![server, client, e], words);
            let doubled = if size < 64 { words } else { 2 * words };
            e = self.local(&[e, high], doubled, move |_, x| {
                let (e, high) = (x.words(0), x.words(1));
                if size < 64 {
                    // Above its size a row holds what is left of pads.
                    let low = |e: &u64, h: &u64| (e ^ h) & mask(size) | (h & mask(size)) << size;
                    return Part::Words(e.iter().zip(high).map(|(e, h)| low(e, h)).collect());
                }
                let row = (size / 64) as usize;
                let rows = e.chunks_exact(row).zip(high.chunks_exact(row));
                let row = |(e, h): (&[u64], &[u64])| {
                    let low: Vec<u64> = e.iter().zip(h).map(|(e, h)| e ^ h).collect();
                    [&low[..], h].concat()
                };
                Part::Words(rows.flat_map(row).collect())
            });
        }
        e
    }

    /// The sign `e0[r] - e1[r]` of each unit vector `e`, rows of `size` bits: additive shares in every ring, and XOR shares of
    /// `(1 - s) / 2`. No message: all places but `r` cancel in `popcount(e0) - popcount(e1)`.
    ///
    /// The XOR shares are the second lowest bits of both counts, the client's one more where it is odd itself: the
    /// counts differ by one, so each party knows from its own parity which case it is.
    pub(crate) fn sign(&mut self, e: Slot, size: u32) -> (Slot, Slot) {
        let row = size.div_ceil(64) as usize;
        let count = self.count(e) / row;
        let ones = move |x: &super::Parts<'_>| -> Vec<u64> {
            let rows = x.words(0).chunks_exact(row);
            rows.map(|row| row.iter().map(|w| u64::from(w.count_ones())).sum()).collect()
        };
        let sign = self.local(&[e], count, move |role, x| {
            let sign = |n: u64| if role == Role::Server { n } else { n.wrapping_neg() };
            Part::Words(ones(x).into_iter().map(sign).collect())
        });
        let sigma = self.local_bits(&[e], count, move |role, x| {
            // The server's count is even where the client's is odd.
            let more = u64::from(role == Role::Client);
            ones(x).into_iter().map(|n| ((n + (n & more)) >> 1) as u8 & 1).collect()
        });
        (sign, sigma)
    }

    /// The lowest `bits` bits of each party's own number.
    pub(crate) fn low(&mut self, r: Slot, bits: u32) -> Slot {
        self.map(r, move |_, r| r & mask(bits))
    }
}
