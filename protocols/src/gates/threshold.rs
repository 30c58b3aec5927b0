//! Threshold bits of opened values: `[h >= t]` for public thresholds `t`, `h` the integer part.
//!
//! Shapes: `(..)` to `(.., thresholds)`; bit forms. `h` is the top `k` bits of the window's index, of which the
//! private `h` is the floor or the floor plus one (a borrow from the low bits), so a threshold acts within
//! one unit of `2^(n-k)`.
//!
//! With a one-hot of the mask's top `k` bits, `[ch - rh >= t]` is the parity of the one-hot over a range that
//! the public `ch` and `t` give: XOR shares of all thresholds are local. One flight opens them masked.
//! Cost: one flight, one bit an element and threshold each way; `2^k` bits of correction an element.
//! Security: the opened bits are masked by uniform bits used once; ranges depend on public `c`
//! alone. Source: PROTOCOLS 1.6, 1.10.

use sotto_ring::{mask, prefix::parity_below};

use crate::{
    deal::{Dealing, Known},
    gate::{Draw, Exchange, Gate, To, Work},
    party::Run,
    plan::Trace,
    simulate::Simulation,
    spec::{Spec, Wire},
};

use super::bits::{bit_known, bit_spec, bit_value};

#[derive(Debug)]
struct Thresholds {
    /// Bits of the compared integer part.
    k: u32,
    thresholds: Vec<u32>,
    input: Spec,
}

impl Trace {
    /// `[h >= t]` for each threshold `t` in `1..2^k`, `h` the top `k` bits (3 to 10) of the window's index.
    pub fn thresholds(&mut self, x: Wire, k: u32, thresholds: &[u32]) -> Wire {
        let input = compared(self.spec(x), k, thresholds);
        let thresholds = thresholds.to_vec();
        self.add(Thresholds { k, thresholds, input }, &[x])
    }
}

/// The spec of an opened value whose top `k` bits are compared with `thresholds`.
pub(super) fn compared(input: &Spec, k: u32, thresholds: &[u32]) -> Spec {
    assert!((3..=10).contains(&k) && input.opened().0 >= k, "thresholds on {k} bits");
    assert!(thresholds.iter().all(|t| (1..1 << k).contains(t)), "{thresholds:?}");
    input.clone()
}

/// The top `k` bits of the simulated input, as the parties' one-hots have them.
pub(super) fn simulated_tops(input: &Spec, k: u32, sim: &mut Simulation<'_>) -> Vec<u64> {
    let (width, offset) = input.opened();
    let lo = width - k;
    let r = sim.input_mask(0, width);
    let top = |(&x, r): (&i64, u64)| {
        let c = (x as u64).wrapping_add(offset).wrapping_add(r) & mask(width);
        (c >> lo).wrapping_sub(r >> lo) & mask(k)
    };
    sim.inputs[0].iter().zip(r).map(top).collect()
}

impl Thresholds {
    fn lo(&self) -> u32 {
        self.input.opened().0 - self.k
    }

    fn bits(&self) -> usize {
        self.input.count() * self.thresholds.len()
    }
}

/// XOR shares of `[h >= t]` for every `t`, of one element whose public index has the top bits `high`.
///
/// They are the parity of the one-hot's bits at `r = high - h` for `h >= t`.
pub(super) enum Above<'a> {
    /// Up to 64 bits at once: bit `last - t`.
    Word { parities: u64, last: u32 },
    /// More: one threshold at a time.
    Bytes { e: &'a [u8], k: u32, high: usize },
}

impl<'a> Above<'a> {
    /// Of the one-hot `e` of `2^k` bits.
    #[inline]
    pub fn new(e: &'a [u8], k: u32, high: usize) -> Self {
        let size = 1u32 << k;
        if size > 64 {
            return Above::Bytes { e, k, high };
        }
        let word = match e.try_into() {
            Ok(whole) => u64::from_le_bytes(whole),
            Err(_) => e.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
        };
        let from = (high as u32 + 1) & (size - 1);
        // Bit i of the rotated word is the one-hot's bit at r = high + 1 + i, set where h = size - 1 - i.
        let rotated = word >> from | (word << (size - 1 - from)) << 1;
        // Bit i becomes the parity of the bits up to i; what is above the size does not reach down.
        let parities = [1, 2, 4, 8, 16, 32].iter().fold(rotated, |p, s| p ^ (p << s));
        Above::Word { parities, last: size - 1 }
    }

    /// The share for the threshold `t` in `1..2^k`.
    #[inline]
    pub fn bit(&self, t: u32) -> u64 {
        match *self {
            Above::Word { parities, last } => parities >> (last - t) & 1,
            Above::Bytes { e, k, high } => {
                // h >= t where r is in the cyclic range (high, high - t].
                let (size, from) = (1usize << k, high + 1);
                let end = from + size - t as usize;
                let parity = parity_below(e, k, from)
                    ^ match end.checked_sub(size) {
                        Some(wrapped) => parity_below(e, k, size) ^ parity_below(e, k, wrapped),
                        None => parity_below(e, k, end),
                    };
                u64::from(parity)
            }
        }
    }

    /// The shares for the `count` consecutive thresholds whose largest is `highest`, that one lowest.
    #[inline]
    pub fn word(&self, highest: u32, count: u32) -> u64 {
        match *self {
            Above::Word { parities, last } => parities >> (last - highest) & mask(count),
            Above::Bytes { .. } => (0..count).map(|i| self.bit(highest - i) << i).sum(),
        }
    }
}

impl Gate for Thresholds {
    fn name(&self) -> &'static str {
        "thresholds"
    }

    fn outputs(&self) -> Vec<Spec> {
        let mut shape = self.input.shape.clone();
        shape.push(self.thresholds.len());
        vec![bit_spec(&shape)]
    }

    fn draws(&self) -> Vec<Draw> {
        let hot = Draw::OneHot { count: self.input.count(), k: self.k };
        vec![hot, Draw::Mask { count: self.bits(), width: 1 }]
    }

    fn rounds(&self) -> Vec<Vec<Exchange>> {
        vec![vec![Exchange { count: self.bits(), width: 1, to: To::Both }]]
    }

    fn work(&self) -> Work {
        Work::online(self.bits() as u64)
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let lo = self.lo();
        let high: Vec<u64> = dealing.input_mask(0).iter().map(|r| r >> lo).collect();
        dealing.give_one_hot(0, &high);
        let known: Known = bit_known(dealing.mask(1));
        dealing.output(known);
    }

    fn run(&self, round: usize, run: &mut Run<'_>) {
        if round == 1 {
            let opened = run.opened(0);
            return run.output(bit_value(opened));
        }
        let lo = self.lo();
        let mut bits = Vec::with_capacity(self.bits());
        for (e, &c) in run.bits(0).chunks_exact((1 << self.k) / 8).zip(run.public(0)) {
            let above = Above::new(e, self.k, (c >> lo) as usize);
            bits.extend(self.thresholds.iter().map(|&t| above.bit(t)));
        }
        run.open(bits, 1);
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        let mut out = Vec::with_capacity(self.bits());
        for h in simulated_tops(&self.input, self.k, sim) {
            out.extend(self.thresholds.iter().map(|&t| i64::from(h >= u64::from(t))));
        }
        sim.output(out);
    }
}

#[cfg(test)]
mod tests {
    use crate::{plan::Trace, testing::Bench};

    #[test]
    fn bits_are_exact() {
        for (k, t) in
            [(6, [1, 20, 33, 34, 63]), (4, [1, 7, 8, 9, 15]), (8, [1, 100, 128, 129, 255])]
        {
            let mut bench = Bench::new(31);
            let mut trace = Trace::new();
            let x = trace.input(&[800], 30, 10);
            let c = trace.open(x, 16, 1 << 15);
            let b = trace.thresholds(c, k, &t);
            let b = trace.lift(b, 8);
            let b = trace.sum_last(b);
            let b = trace.reveal(b, 8);
            let plan = trace.finish(&[b]);
            let input = bench.signed(800, 16);
            let result = bench.run_shared(&plan, Vec::new(), &[input]);
            result.check_exact();
            assert!(result.outputs[0].contains(&5) && result.outputs[0].contains(&0));
        }
    }
}
