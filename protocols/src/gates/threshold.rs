//! Threshold bits of opened values: `[h >= t]` for public thresholds `t`, `h` the integer part.
//!
//! Shapes: `(..)` to `(.., thresholds)`; bit forms. `h` is the top 6 bits of the window's index, of which the
//! private `h` is the floor or the floor plus one (a borrow from the low bits), so a threshold acts within
//! one unit of `2^(n-6)`.
//!
//! With a one-hot of the mask's top 6 bits, `[ch - rh >= t]` is the parity of the one-hot over a range that
//! the public `ch` and `t` give: XOR shares of all thresholds are local. One flight opens them masked.
//! Cost: one flight, one bit an element and threshold each way; 64 bits of correction an element.
//! Security: the opened bits are masked by uniform bits used once; ranges depend on public `c`
//! alone. Source: PROTOCOLS 1.6, 1.10.

use crate::{
    deal::{Dealing, Known},
    gate::{Draw, Exchange, Gate, To, Work},
    party::Run,
    plan::Trace,
    simulate::Simulation,
    spec::{Spec, Wire},
};

use super::bits::{bit_known, bit_spec, bit_value};

/// Bits of the compared integer part.
pub const TOP: u32 = 6;

#[derive(Debug)]
struct Thresholds {
    thresholds: Vec<u32>,
    input: Spec,
}

impl Trace {
    /// `[h >= t]` for each threshold `t` in `1..64`, `h` the top 6 bits of the window's index.
    pub fn thresholds(&mut self, x: Wire, thresholds: &[u32]) -> Wire {
        let input = self.spec(x).clone();
        assert!(input.opened().0 >= TOP, "too narrow for thresholds");
        assert!(thresholds.iter().all(|t| (1..1 << TOP).contains(t)), "{thresholds:?}");
        let thresholds = thresholds.to_vec();
        self.add(Thresholds { thresholds, input }, &[x])
    }
}

impl Thresholds {
    fn lo(&self) -> u32 {
        self.input.opened().0 - TOP
    }

    fn bits(&self) -> usize {
        self.input.count() * self.thresholds.len()
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
        let hot = Draw::OneHot { count: self.input.count(), k: TOP };
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
        for (e, c) in run.bits(0).chunks_exact(8).zip(run.public(0)) {
            let e = u64::from_le_bytes(e.try_into().expect("chunks of 8 bytes"));
            // Bit i of the rotated word is the one-hot's bit at r = ch - i: set where h = i.
            let by_h = e.reverse_bits().rotate_left((c >> lo) as u32 + 1);
            for t in &self.thresholds {
                bits.push(u64::from((by_h >> t).count_ones() & 1));
            }
        }
        run.open(bits, 1);
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        let (width, offset) = self.input.opened();
        let lo = self.lo();
        let r = sim.input_mask(0, width);
        let mut out = Vec::with_capacity(self.bits());
        for (&x, r) in sim.inputs[0].iter().zip(r) {
            let c = (x as u64).wrapping_add(offset).wrapping_add(r) & sotto_ring::mask(width);
            let h = (c >> lo).wrapping_sub(r >> lo) & sotto_ring::mask(TOP);
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
        let mut bench = Bench::new(31);
        let mut t = Trace::new();
        let x = t.input(&[800], 30, 10);
        let c = t.open(x, 16, 1 << 15);
        let b = t.thresholds(c, &[1, 20, 33, 34, 63]);
        let b = t.lift(b, 8);
        let b = t.sum_last(b);
        let b = t.reveal(b, 8);
        let plan = t.finish(&[b]);
        let input = bench.signed(800, 16);
        let result = bench.run_shared(&plan, Vec::new(), &[input]);
        result.check_exact();
        assert!(result.outputs[0].iter().any(|&n| n == 5) && result.outputs[0].contains(&0));
    }
}
