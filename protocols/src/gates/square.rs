//! Sum of squares over the last axis of an opened value: the variance of a layer norm.
//!
//! Shapes: `(.., d)` to `(..)`. Scale: twice the input's. Error: none mod `2^width`.
//!
//! With `x = c' - r + w 2^n m` (see [`super::form`]; `w` public, `m` the mask's top bit):
//! `x^2 = c'^2 + r^2 - 2 c' r + w (2 c' 2^n m + 2^2n m - 2^(n+1) r m)`. The dealer deals `-r`, `2^n m`,
//! `2^2n m - 2^(n+1) r m` an element and the row sum of `r^2`.
//! Cost: no flight; three words of correction an element and one a row. Security: nothing is sent.
//! PROTOCOLS 1.11.

use crate::{
    deal::{Dealing, Known},
    gate::{Draw, Gate, Work},
    party::{Run, Value},
    plan::Trace,
    simulate::Simulation,
    spec::{Spec, Wire},
};

#[derive(Debug)]
struct SquareSum {
    row: usize,
    width: u32,
    input: Spec,
    output: Spec,
}

impl Trace {
    /// Row sums of the squares of an opened value, shared in the ring `2^width`.
    pub fn square_sum(&mut self, x: Wire, width: u32) -> Wire {
        let input = self.spec(x).clone();
        let (row, shape) = input.shape.split_last().expect("a sum over an axis");
        let gate = SquareSum {
            row: *row,
            width,
            output: Spec::share(shape, width, 2 * input.scale),
            input,
        };
        self.add(gate, &[x])
    }
}

impl Gate for SquareSum {
    fn name(&self) -> &'static str {
        "square sum"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![self.output.clone()]
    }

    fn draws(&self) -> Vec<Draw> {
        let (count, width) = (self.input.count(), self.width);
        let each = Draw::Value { count, width };
        let rows = Draw::Value {
            count: self.output.count(),
            width,
        };
        vec![each, each, each, rows]
    }

    fn work(&self) -> Work {
        Work::online(4 * self.input.count() as u64)
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let (n, _) = self.input.opened();
        let r = dealing.input_mask(0).to_vec();
        let top = |r: u64| r >> (n - 1);
        let shl = |x: u64, bits: u32| x.checked_shl(bits).unwrap_or(0);
        let cross = |r: u64| {
            let m = top(r);
            shl(m, 2 * n).wrapping_sub(shl(r.wrapping_mul(m), n + 1))
        };
        dealing.give(0, r.iter().map(|&r| r.wrapping_neg()).collect());
        dealing.give(1, r.iter().map(|&r| shl(top(r), n)).collect());
        dealing.give(2, r.iter().map(|&r| cross(r)).collect());
        let rows = r.chunks_exact(self.row).map(|row| {
            row.iter()
                .fold(0u64, |s, r| s.wrapping_add(r.wrapping_mul(*r)))
        });
        dealing.give(3, rows.collect());
        dealing.output(Known::Nothing);
    }

    fn run(&self, _: usize, run: &mut Run<'_>) {
        let (n, offset) = self.input.opened();
        let mut out = run.take_words(3);
        let server = u64::from(run.is_server());
        let (minus_r, top, cross) = (run.words(0), run.words(1), run.words(2));
        let rows = run.public(0).chunks_exact(self.row).enumerate();
        for (i, row) in rows {
            let mut sum = 0u64;
            for (j, &c) in row.iter().enumerate() {
                let at = i * self.row + j;
                let moved = c.wrapping_sub(offset);
                let wrap = 1 ^ (c >> (n - 1));
                let linear = minus_r[at].wrapping_add(wrap.wrapping_mul(top[at]));
                sum = sum
                    .wrapping_add(moved.wrapping_mul(moved).wrapping_mul(server))
                    .wrapping_add(moved.wrapping_mul(2).wrapping_mul(linear))
                    .wrapping_add(wrap.wrapping_mul(cross[at]));
            }
            out[i] = out[i].wrapping_add(sum);
        }
        run.output(Value::Share(out));
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        let rows = sim.inputs[0].chunks_exact(self.row);
        let out = rows.map(|r| {
            r.iter()
                .fold(0i64, |s, &x| s.wrapping_add(x.wrapping_mul(x)))
        });
        let out = out.collect();
        sim.output(out);
    }
}

#[cfg(test)]
mod tests {
    use crate::{plan::Trace, testing::Bench};

    #[test]
    fn exact_with_and_without_wraps() {
        for (n, width) in [(20, 48), (33, 64), (18, 40)] {
            let mut bench = Bench::new(4);
            let mut t = Trace::new();
            let x = t.input(&[30, 16], 44, 12);
            let x = t.open_signed(x, n);
            let s = t.square_sum(x, width);
            let s = t.reveal(s, width);
            let plan = t.finish(&[s]);
            let input = bench.signed(480, (n - 1).min(22));
            let result = bench.run_shared(&plan, Vec::new(), &[input]);
            result.check_exact();
        }
    }
}
