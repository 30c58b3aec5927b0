//! `[x != 0]` of a narrow opened value: as a bit form, or directly as a share.
//!
//! Shapes: the input's. Error: none. As a form: with a one-hot of the mask `r`, its bit at the public `c` is an XOR
//! share of `[c = r] = [x = 0]`. Cost: one flight, one bit each way; `2^n` bits of correction an element for
//! an opening of `n` bits (3 to 12). Security: the opened bit is masked by a uniform bit used once; the
//! one-hot is read at the public `c`. Source: PROTOCOLS 1.10.
//!
//! As a share: the dealer knows `r`, so it can deal shares of `[j != r]` for every `j`, of which the parties keep
//! the `c`-th. No flight, `2^n width` bits of correction an element: a flight saved where counts are narrow.

use crate::{
    deal::{Dealing, Known},
    encode,
    gate::{Draw, Exchange, Gate, To},
    making::{Held, Making, Slot, top_one_hot},
    party::{Run, Value},
    plan::Trace,
    simulate::Simulation,
    spec::{Role, Spec, Wire},
};

use super::bits::{bit_held, bit_known, bit_spec, bit_value};

#[derive(Debug)]
struct NonZero {
    width: u32,
    input: Spec,
}

encode!(NonZero { width, input });

impl Trace {
    /// `[x != 0]` of a value opened without offset.
    pub fn non_zero(&mut self, x: Wire) -> Wire {
        let input = self.spec(x).clone();
        let (width, offset) = input.opened();
        assert_eq!(offset, 0, "a zero test needs an opening without offset");
        assert!((3..=12).contains(&width), "zero test of {width} bits, 3 to 12 can be");
        self.add(NonZero { width, input }, &[x])
    }
}

#[derive(Debug)]
struct NonZeroTable {
    input_width: u32,
    output: Spec,
}

encode!(NonZeroTable { input_width, output });

impl Trace {
    /// `[x != 0]` of a value opened without offset, as a share in the ring `2^width`, without a flight.
    pub fn non_zero_share(&mut self, x: Wire, width: u32) -> Wire {
        let input = self.spec(x).clone();
        let (input_width, offset) = input.opened();
        assert_eq!(offset, 0, "a zero test needs an opening without offset");
        assert!(input_width <= 12, "zero test of {input_width} bits, up to 12 can be");
        let output = Spec::share(&input.shape, width, 0);
        self.add(NonZeroTable { input_width, output }, &[x])
    }
}

impl Gate for NonZeroTable {
    fn name(&self) -> &'static str {
        "non-zero table"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![self.output.clone()]
    }

    fn draws(&self) -> Vec<Draw> {
        vec![Draw::Value {
            count: self.output.count() << self.input_width,
            width: self.output.share_width(),
        }]
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let (low, bits) = (sotto_ring::mask(self.input_width), self.input_width);
        let r = dealing.input_mask(0);
        dealing.give_with(0, |at, out| {
            for (place, out) in (at as u64..).zip(out) {
                *out = u64::from(place & low != r[(place >> bits) as usize]);
            }
        });
        dealing.output(Known::Nothing);
    }

    /// Doubling over the ring: `(v - b v, b v)` for each bit `b` of the mask.
    fn make(&self, making: &mut Making<'_>) {
        let ((r, n), width) = (making.input_mask(0), self.output.share_width());
        let bits: Vec<Slot> = (0..n).map(|i| making.sum_bit(r, i)).collect();
        let mut table = making.constant(making.count(r), 1);
        for (i, &b) in bits.iter().enumerate() {
            let high = match i {
                0 => making.arithmetic(b, width),
                _ => making.mux(b, table, width),
            };
            table = making.halves(table, high, 1 << i);
        }
        let rest = making.map(table, |role, x| u64::from(role == Role::Server).wrapping_sub(x));
        making.give(0, rest);
        making.output(Held::Nothing);
    }

    fn run(&self, _: usize, run: &mut Run<'_>) {
        let (tables, c) = (run.packed(0), run.public(0));
        let mut out = vec![0; c.len()];
        for (row, (out, &c)) in out.iter_mut().zip(c).enumerate() {
            let at = row << self.input_width | c as usize;
            tables.unpack(at, std::slice::from_mut(out));
        }
        run.output(Value::Share(out));
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        let low = sotto_ring::mask(self.input_width) as i64;
        let out = sim.inputs[0].iter().map(|&x| i64::from(x & low != 0)).collect();
        sim.output(out);
    }
}

impl Gate for NonZero {
    fn name(&self) -> &'static str {
        "non-zero"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![bit_spec(&self.input.shape)]
    }

    fn draws(&self) -> Vec<Draw> {
        let count = self.input.count();
        vec![Draw::OneHot { count, k: self.width }, Draw::Mask { count, width: 1 }]
    }

    fn rounds(&self) -> Vec<Vec<Exchange>> {
        vec![vec![Exchange { count: self.input.count(), width: 1, to: To::Both }]]
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let r = dealing.input_mask(0);
        dealing.give_one_hot(0, r);
        let known = bit_known(dealing.mask(1));
        dealing.output(known);
    }

    fn make(&self, making: &mut Making<'_>) {
        let (r, n) = making.input_mask(0);
        let hot = top_one_hot(making, r, n, n);
        making.give(0, hot);
        let held = bit_held(making, 1);
        making.output(held);
    }

    fn run(&self, round: usize, run: &mut Run<'_>) {
        if round == 1 {
            let opened = run.packed_bits(0);
            return run.output(bit_value(opened));
        }
        let server = u64::from(run.is_server());
        let rows = run.bits(0).chunks_exact((1 << self.width) / 8);
        let bits = rows.zip(run.public(0)).map(|(e, &c)| {
            let equal = e[(c >> 3) as usize] >> (c & 7) & 1;
            u64::from(equal) ^ server
        });
        let bits = bits.collect();
        run.open(bits, 1);
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        let low = sotto_ring::mask(self.width) as i64;
        let out = sim.inputs[0].iter().map(|&x| i64::from(x & low != 0)).collect();
        sim.output(out);
    }
}

#[cfg(test)]
mod tests {
    use crate::{plan::Trace, testing::Bench};

    #[test]
    fn zero_tests_are_exact() {
        let mut bench = Bench::new(2);
        let mut t = Trace::new();
        let x = t.input(&[600], 20, 0);
        let c = t.open(x, 7, 0);
        let b = t.non_zero(c);
        let b = t.lift(b, 16);
        let b = t.reveal(b, 16);
        let share = t.non_zero_share(c, 6);
        let share = t.reveal(share, 6);
        let plan = t.finish(&[b, share]);
        let input: Vec<i64> = bench.signed(600, 4).into_iter().map(|x| x & 7).collect();
        for result in bench.run_sources(&plan, Vec::new(), &[input]) {
            result.check_exact();
            assert_eq!(result.outputs[0], result.outputs[1]);
        }
    }
}
