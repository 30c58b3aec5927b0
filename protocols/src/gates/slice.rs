//! Bits of an opened value, as an opened value: one wide opening read at several places.
//!
//! Shapes: the input's. The index of an opened value is `i = x + offset mod 2^n`. Its bits from `lo` on are
//! `floor(i / 2^lo)` or one more: the public `c = i + r` and the mask `r` are shifted apart, and a carry from the low
//! bits stays (with probability `(i mod 2^lo) / 2^lo`, so the mean is right). Result: an integer of scale 0 mod
//! `2^width`. Where `lo + width < n` the bits above are cut off: a value that does not fit becomes another one, and
//! whoever reads it must know from elsewhere when it does.
//!
//! Cost: none, it is local. Security: nothing is sent; the result is a function of what is open already, and its mask
//! is as uniform over `width` bits as the input's is over `n`.

use sotto_ring::mask;

use crate::{
    deal::{Dealing, Known},
    encode,
    gate::Gate,
    making::{Held, Making},
    party::{Run, Value},
    plan::Trace,
    simulate::Simulation,
    spec::{Kind, Spec, Wire},
};

#[derive(Debug)]
struct Slice {
    lo: u32,
    input: Spec,
    output: Spec,
}

encode!(Slice { lo, input, output });

impl Trace {
    /// Bits `lo..lo + width` of the index of an opened value, less `less`.
    pub fn opened_bits(&mut self, x: Wire, lo: u32, width: u32, less: u64) -> Wire {
        let input = self.spec(x).clone();
        let n = input.opened().0;
        assert!(width > 0 && lo + width <= n, "bits {lo} to {} of {n}", lo + width);
        let kind = Kind::Opened { width, offset: less };
        let output = Spec { shape: input.shape.clone(), scale: 0, kind };
        self.add(Slice { lo, input, output }, &[x])
    }
}

impl Slice {
    fn bits(&self, word: u64) -> u64 {
        word >> self.lo & mask(self.output.opened().0)
    }
}

impl Gate for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![self.output.clone()]
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let r = dealing.input_mask(0).iter().map(|&r| self.bits(r));
        dealing.output(Known::Mask(r.collect()));
    }

    fn make(&self, making: &mut Making<'_>) {
        let (r, _) = making.input_mask(0);
        let (lo, width) = (self.lo, self.output.opened().0);
        // The parts are shifted apart; the carry between them is not.
        let parts = making.map(r, move |_, r| r >> lo & mask(width));
        let carry = making.carry(r, lo);
        let carry = making.arithmetic(carry, width);
        let r = making.zip(parts, carry, move |_, r, c| r.wrapping_add(c) & mask(width));
        making.output(Held::Mask(r, width));
    }

    fn run(&self, _: usize, run: &mut Run<'_>) {
        let c = run.public(0).iter().map(|&c| self.bits(c));
        run.output(Value::Opened(c.collect(), Vec::new()));
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        let (n, offset) = self.input.opened();
        let less = self.output.opened().1;
        let r = sim.input_mask(0, n);
        let values = sim.inputs[0].iter().zip(r).map(|(&x, r)| {
            let c = (x as u64).wrapping_add(offset).wrapping_add(r) & mask(n);
            self.bits(self.bits(c).wrapping_sub(self.bits(r)) << self.lo).wrapping_sub(less) as i64
        });
        let values = values.collect();
        sim.output(values);
    }
}

#[cfg(test)]
mod tests {
    use crate::{functions::Window, plan::Trace, testing::Bench};

    #[test]
    fn bits_are_the_floor_or_one_more() {
        for (n, lo, width) in [(40, 0, 40), (40, 16, 24), (54, 9, 17), (20, 3, 9), (64, 60, 4)] {
            let mut bench = Bench::new(u64::from(n + lo));
            let mut t = Trace::new();
            let x = t.input(&[600], 64, 0);
            let x = t.open_window(x, Window::positive(n, 0));
            let bits = t.opened_bits(x, lo, width, 0);
            let bits = t.lift(bits, width);
            let bits = t.reveal(bits, width);
            let plan = t.finish(&[bits]);
            let input: Vec<i64> =
                bench.signed(600, n.min(63)).iter().map(|x| x.abs() >> 1).collect();
            for result in bench.run_sources(&plan, Vec::new(), std::slice::from_ref(&input)) {
                result.check_exact();
                let m = sotto_ring::mask(width);
                let (mut carries, mut expected) = (0.0, 0.0);
                for (&x, &y) in input.iter().zip(&result.outputs[0]) {
                    let floor = x as u64 >> lo;
                    let carried = (y as u64).wrapping_sub(floor) & m;
                    assert!(carried <= 1, "{n} {lo} {width}: {x} became {y}");
                    carries += carried as f64;
                    expected += (x % (1 << lo)) as f64 / f64::from(lo).exp2();
                }
                assert!((carries - expected).abs() < 6.0 * 600f64.sqrt() / 2.0, "{carries}");
            }
        }
    }
}
