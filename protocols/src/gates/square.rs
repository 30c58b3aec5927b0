//! Sum of squares over the last axis of an opened value: the variance of a layer norm.
//!
//! Shapes: `(.., d)` to `(..)`. Scale: twice the input's. Error: none mod `2^width`.
//!
//! With `x = c' - r + w 2^n m` (see [`super::form`]; `w` public, `m` the mask's top bit):
//! `x^2 = c'^2 + r^2 - 2 c' r + w (2 c' 2^n m + 2^2n m - 2^(n+1) r m)`. The dealer deals `-r`, `2^n m`,
//! `2^2n m - 2^(n+1) r m` an element, the latter two as shares of their quotients by `2^n` and `2^(n+1)`, and the row
//! sum of `r^2`.
//! Cost: no flight; `3 width - 2 n - 1` bits of correction an element and one word a row. Security: nothing is sent.
//! PROTOCOLS 1.11.

use crate::{
    deal::{Dealing, Known},
    drawn::CHUNK,
    encode,
    gate::{Draw, Gate, Work},
    making::{Held, Making},
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

encode!(SquareSum { row, width, input, output });

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

impl SquareSum {
    /// The dealt factors are multiples of these powers of two: shares of the quotients are dealt.
    fn shifts(&self) -> [u32; 3] {
        let (n, _) = self.input.opened();
        [0, n, n + 1].map(|s| s.min(self.width - 1))
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
        let each = |shift| Draw::Value { count: self.input.count(), width: self.width - shift };
        let rows = Draw::Value { count: self.output.count(), width: self.width };
        let [minus_r, top, cross] = self.shifts().map(each);
        vec![minus_r, top, cross, rows]
    }

    fn work(&self) -> Work {
        Work::online(4 * self.input.count() as u64)
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let (n, _) = self.input.opened();
        let r = dealing.input_mask(0);
        let top = |r: u64| r >> (n - 1);
        let [_, by_top, by_cross] = self.shifts();
        let cross = |r: u64| {
            let m = top(r);
            (m << (n - 1)).wrapping_sub(r.wrapping_mul(m)) << (n + 1 - by_cross)
        };
        let mut each = |draw: usize, f: &dyn Fn(u64) -> u64| {
            dealing.give_with(draw, |at, out| {
                out.iter_mut().zip(&r[at..]).for_each(|(o, &r)| *o = f(r));
            });
        };
        each(0, &u64::wrapping_neg);
        each(1, &|r| top(r) << (n - by_top));
        each(2, &cross);
        let rows = r
            .chunks_exact(self.row)
            .map(|row| row.iter().fold(0u64, |s, r| s.wrapping_add(r.wrapping_mul(*r))));
        dealing.give(3, &rows.collect::<Vec<_>>());
        dealing.output(Known::Nothing);
    }

    /// With `r = r0 + r1 - 2^n c`, `c` the wrap: `r^2 = (r0 + r1)^2 - 2^(n+1) c (r0 + r1) + 2^2n c`.
    fn make(&self, making: &mut Making<'_>) {
        let ((r, n), width, row) = (making.input_mask(0), self.width, self.row);
        let [_, by_top, by_cross] = self.shifts();
        let number = making.mask_share(r, n, width);
        let minus_r = making.sum(&[(number, u64::MAX)]);
        making.give(0, minus_r);
        let top = making.top_bit(r, n);
        let by_width = making.arithmetic(top, width.saturating_sub(n));
        let shifted = making.sum(&[(by_width, 1 << (n - by_top))]);
        making.give(1, shifted);
        let v = width.saturating_sub(n + 1);
        let low = making.mask_share(r, n, v);
        let times = making.mux(top, low, v);
        let up = 1u64 << (n + 1 - by_cross);
        let cross = making.sum(&[(by_width, up << (n - 1)), (times, up.wrapping_neg())]);
        making.give(2, cross);
        let squares = making.squares(3, (r, n), row, width);
        let wrap = making.carry(r, n);
        let wrapped = making.mux(wrap, r, v);
        let squared = making.arithmetic(wrap, width.saturating_sub(2 * n));
        let up = |bits: u32| 1u64.checked_shl(bits).unwrap_or(0);
        let wraps = making.sum(&[(wrapped, up(n + 1).wrapping_neg()), (squared, up(2 * n))]);
        let wraps = making.sum_rows(wraps, row);
        let rows = making.sum(&[(squares, 1), (wraps, 1)]);
        making.give(3, rows);
        making.output(Held::Nothing);
    }

    fn run(&self, _: usize, run: &mut Run<'_>) {
        let (n, offset) = self.input.opened();
        let mut out = run.take_words(3);
        let server = u64::from(run.is_server());
        let dealt = [0, 1, 2].map(|draw| run.packed(draw));
        let [_, up_top, up_cross] = self.shifts();
        let mut buffers = [[0; CHUNK]; 3];
        for (i, public) in run.public(0).chunks(CHUNK).enumerate() {
            let [minus_r, top, cross] = &mut buffers;
            for (packed, buffer) in dealt.iter().zip([&mut *minus_r, top, cross]) {
                packed.unpack(i * CHUNK, &mut buffer[..public.len()]);
            }
            // The summands take the place of the first buffer.
            let dealt = minus_r.iter_mut().zip(&*top).zip(&*cross);
            for (((minus_r, top), cross), &c) in dealt.zip(public) {
                let moved = c.wrapping_sub(offset);
                let wrap = 1 ^ (c >> (n - 1));
                let linear = minus_r.wrapping_add(wrap.wrapping_mul(*top) << up_top);
                *minus_r = (moved.wrapping_mul(moved).wrapping_mul(server))
                    .wrapping_add(moved.wrapping_mul(2).wrapping_mul(linear))
                    .wrapping_add(wrap.wrapping_mul(*cross) << up_cross);
            }
            let (mut at, end) = (i * CHUNK, i * CHUNK + public.len());
            while at < end {
                let next = end.min((at / self.row + 1) * self.row);
                let part = &minus_r[at - i * CHUNK..next - i * CHUNK];
                let sum = part.iter().fold(out[at / self.row], |s, x| s.wrapping_add(*x));
                out[at / self.row] = sum;
                at = next;
            }
        }
        run.output(Value::Share(out));
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        let rows = sim.inputs[0].chunks_exact(self.row);
        let out = rows.map(|r| r.iter().fold(0i64, |s, &x| s.wrapping_add(x.wrapping_mul(x))));
        let out = out.collect();
        sim.output(out);
    }
}

#[cfg(test)]
mod tests {
    use sotto_crypto::Seed;

    use crate::{
        local::Local,
        make::{Extension, recipe, whole_recipe},
        plan::Trace,
        spec::Role,
        testing::{Bench, made::whole_batches},
    };

    /// How far sums of rows of 64 elements are off in a ring of `width`, made by two parties, and how many COTs encryption saves.
    fn long_rows(width: u32) -> (u64, usize) {
        let (mut bench, mut t) = (Bench::new(5), Trace::new());
        let x = t.input(&[7, 64], 44, 12);
        let x = t.open_signed(x, 20);
        let s = t.square_sum(x, width);
        let s = t.reveal(s, width);
        let plan = t.finish(&[s]);
        let input = bench.signed(448, 19);
        let local = Local::without_masks(&plan, Vec::new(), &Seed::from_bytes([1; 32])).unwrap();
        let seeds = local.seeds(0, Role::Server);
        // This holds every draw against its tolerance.
        let batches = whole_batches(&plan, 0, &seeds, &[], &mut ()).unwrap();
        let [_, client] = local.evaluate(batches, [&[], std::slice::from_ref(&input)]).unwrap();
        let exact = input.chunks_exact(64).map(|row| row.iter().map(|x| x * x).sum::<i64>());
        let off = client.outputs[0].iter().zip(exact).map(|(s, e)| (s - e).unsigned_abs());
        let worst = off.max().unwrap();
        let [gilboa, encrypted] =
            [recipe(&plan), whole_recipe(&plan, Extension::Ferret)].map(|r| {
                let r = r.unwrap();
                r.cots(Role::Server) + r.cots(Role::Client)
            });
        (worst, gilboa - encrypted)
    }

    /// They go by encryption: no COTs for products of both parts, some units of the last place off.
    #[test]
    fn long_rows_are_made_within_their_tolerance() {
        let (worst, saved) = long_rows(50);
        assert!(worst > 0 && worst < 1 << 10, "{worst} units of 2^44 off");
        assert_eq!(saved, 20 * 448, "COTs for each bit of the client's parts");
    }

    /// In a narrow ring a unit of the last place is much.
    #[test]
    fn long_rows_of_narrow_rings_are_exact() {
        assert_eq!(long_rows(46), (0, 0));
    }

    #[test]
    fn exact_with_and_without_wraps() {
        for (n, width) in [(20, 48), (33, 64), (18, 40), (22, 20)] {
            let mut bench = Bench::new(4);
            let mut t = Trace::new();
            let x = t.input(&[30, 16], 44, 12);
            let x = t.open_signed(x, n);
            let s = t.square_sum(x, width);
            let s = t.reveal(s, width);
            let plan = t.finish(&[s]);
            let input = bench.signed(480, (n - 1).min(22));
            for result in bench.run_sources(&plan, Vec::new(), &[input]) {
                result.check_exact();
            }
        }
    }
}
