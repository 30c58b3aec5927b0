//! Lookup whose result scales a row: like [`super::lookup`], but opened wide.
//!
//! Used for `1 / sqrt(variance)` and `1 / sum`, one element a row, whose result multiplies a whole row
//! ([`super::product`]). Few elements, so `A` and `B` are opened in the product's full ring
//! of `width` bits: then no wrap terms remain, the form has three terms instead of five, and no
//! truncation is needed, which keeps the result exact.
//!
//! Scale of the result: `slope_scale + lo`. Error: [`pieces`]'s, and half a unit of
//! `slope_scale` over one piece. Cost: one flight, `2 width` bits each way; `2^k` bits of correction an
//! element. Security: as [`super::lookup`]; the masks are uniform over `width` bits.

use std::sync::Arc;

use sotto_ring::select::{WideTable, wide_masked_sums2};

use crate::{
    deal::{Dealing, Known},
    drawn::Map,
    encode,
    functions::{Fit, Function, Window, pieces},
    gate::{Draw, Exchange, Gate, To, Work},
    making::{Cut, Factors, Held, Making, Slot, Special},
    party::{Factor, Prepare, Run, Value},
    plan::Trace,
    simulate::Simulation,
    spec::{Kind, Spec, Term, Wire},
};

use super::late::{Late, TABLE};

#[derive(Debug)]
struct RowLookup {
    function: Function,
    window: Window,
    k: u32,
    slope_scale: u32,
    width: u32,
    tables: Late<[WideTable; 2]>,
    output: Spec,
}

encode!(RowLookup { function, window, k, slope_scale, width, tables, output });

impl Trace {
    /// `function` of an opened value with `2^k` pieces, for products in the ring `2^width`.
    pub fn row_lookup(
        &mut self,
        x: Wire,
        function: Function,
        k: u32,
        slope_scale: u32,
        width: u32,
    ) -> Wire {
        let spec = self.spec(x).clone();
        let window = Window::opened(&spec);
        let scale = slope_scale + window.bits - k;
        assert!(TABLE.contains(&k), "a table of 2^3 to 2^20 pieces, not 2^{k}");
        let output = Spec {
            shape: spec.shape,
            scale,
            kind: Kind::Form { terms: vec![Term::BOTH, Term::KNOWN, Term::BOTH] },
        };
        let tables = Late::default();
        let gate = RowLookup { function, window, k, slope_scale, width, tables, output };
        self.add(gate, &[x])
    }
}

impl RowLookup {
    fn lo(&self) -> u32 {
        self.window.bits - self.k
    }

    fn count(&self) -> usize {
        self.output.count()
    }

    fn tables(&self) -> &[WideTable; 2] {
        self.tables.get(|| {
            let (k, scale) = (self.k, self.output.scale);
            let pieces =
                pieces(self.function, self.window, k, [scale, self.slope_scale], Fit::Largest);
            let (value, slope): (Vec<u64>, Vec<u64>) =
                pieces.map(|(value, slope)| (value as u64, slope as u64)).unzip();
            [value, slope].map(|v| WideTable::new(k, &v))
        })
    }
}

impl Gate for RowLookup {
    fn name(&self) -> &'static str {
        "row lookup"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![self.output.clone()]
    }

    fn draws(&self) -> Vec<Draw> {
        let (count, width) = (self.count(), self.width);
        let mask = Draw::Mask { count, width };
        vec![Draw::OneHot { count, k: self.k }, mask, mask]
    }

    fn rounds(&self) -> Vec<Vec<Exchange>> {
        let (count, width) = (self.count(), self.width);
        vec![vec![Exchange { count, width, to: To::Both }; 2]]
    }

    fn work(&self) -> Work {
        Work::online((2 * self.count() as u64) << self.k)
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let lo = self.lo();
        let r = dealing.input_mask(0);
        let high: Vec<u64> = r.iter().map(|r| r >> lo).collect();
        let signs = dealing.give_one_hot(0, &high);
        let (alpha, beta) = (dealing.mask(1), dealing.mask(2));
        let low = sotto_ring::mask(lo);
        let mut terms: [Vec<u64>; 3] = std::array::from_fn(|_| Vec::with_capacity(r.len()));
        for (((&s, &r), &a), &b) in signs.iter().zip(r).zip(&alpha).zip(&beta) {
            let sl = s.wrapping_mul(r & low);
            terms[0].push(s);
            terms[1].push(sl.wrapping_mul(b).wrapping_sub(s.wrapping_mul(a)));
            terms[2].push(sl.wrapping_neg());
        }
        dealing.output(Known::Form(terms.map(Some).to_vec()));
    }

    fn make(&self, making: &mut Making<'_>) {
        let (r, n) = making.input_mask(0);
        let (hot, cut) = Cut::new(making, r, n, self.k);
        making.give(0, hot);
        let masks = [making.mask(1), making.mask(2)];
        making.output(Held::Form(Arc::new(RowFactors { cut, masks, width: self.width })));
    }

    fn prepare(&self, _: &mut Prepare<'_>) {
        self.tables();
    }

    fn run(&self, round: usize, run: &mut Run<'_>) {
        if round == 0 {
            let (lo, c) = (self.lo(), run.public(0));
            let high: Vec<u64> = c.iter().map(|c| c >> lo).collect();
            let (mut u, mut v) = (vec![0; c.len()], vec![0; c.len()]);
            let [t0, t1] = self.tables();
            wide_masked_sums2(run.bits(0), t0, t1, &high, &mut u, &mut v);
            let low = sotto_ring::mask(lo);
            let sign = if run.is_server() { 1 } else { u64::MAX };
            for ((u, v), &c) in u.iter_mut().zip(&mut v).zip(c) {
                *v = v.wrapping_mul(sign);
                *u = u.wrapping_mul(sign).wrapping_add(v.wrapping_mul(c & low));
            }
            run.open(u, 1);
            return run.open(v, 2);
        }
        let (a, b) = (run.opened(0), run.opened(1));
        let factor = |words| Some(Factor::new(&Arc::new(words), Map::Same));
        run.output(Value::form(vec![factor(a), None, factor(b)]));
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        let lo = self.lo();
        let r = sim.input_mask(0, self.window.bits);
        let index_mask = sotto_ring::mask(self.window.bits);
        let low = sotto_ring::mask(lo);
        let [t0, t1] = self.tables();
        let values = sim.inputs[0].iter().zip(r).map(|(&x, r)| {
            let c = (x as u64).wrapping_add(self.window.offset()).wrapping_add(r) & index_mask;
            let h = ((c >> lo).wrapping_sub(r >> lo) & sotto_ring::mask(self.k)) as usize;
            let d = (c & low) as i64 - (r & low) as i64;
            t0.value(h) as i64 + t1.value(h) as i64 * d
        });
        let values = values.collect();
        sim.output(values);
    }
}

/// Two parties' side of the form.
struct RowFactors {
    cut: Cut,
    /// The masks `a` and `b`, of the full ring.
    masks: [Slot; 2],
    width: u32,
}

impl Factors for RowFactors {
    fn shares(&self, making: &mut Making<'_>, width: u32) -> Vec<Option<Slot>> {
        let Self { cut, masks: [a, b], width: full } = self;
        assert!(width <= *full, "a row lookup for {full} bits in a ring of {width}");
        let (lo, sigma) = (cut.lo, cut.sigma);
        let sl = cut.sign_low(making, width);
        let product = making.cross_times(cut.low, lo, *b, width);
        let carried = making.mux(cut.carry, *b, width.saturating_sub(lo));
        let product = making.sum(&[(product, 1), (carried, (1u64 << lo).wrapping_neg())]);
        let by_b = making.times_sign(sigma, product, width);
        let by_a = making.times_sign(sigma, *a, width);
        let minus = u64::MAX;
        let known = making.sum(&[(by_b, 1), (by_a, minus)]);
        vec![Some(cut.sign), Some(known), Some(making.sum(&[(sl, minus)]))]
    }

    fn kind(&self, term: usize) -> Special {
        match term {
            0 => Special::Sign(self.cut),
            1 => Special::Other,
            _ => Special::MinusLow(self.cut),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[test]
    fn reciprocal_and_inverse_root_scale_their_rows() {
        let root = Function::InverseRoot { count: 16.0, epsilon: 1e-5, floor: 0.05 };
        let recip = Function::Reciprocal { floor: 0.5 };
        for (function, top, relative) in [(recip, 60.0, 3e-4), (root, 60.0, 2e-4)] {
            let mut bench = Bench::new(8);
            let mut t = Trace::new();
            let x = t.input(&[200, 5], 40, 12);
            let v = t.input(&[200], 40, 12);
            let x = t.open_signed(x, 20);
            let v = t.open_window(v, Window::positive(18, 12));
            let f = t.row_lookup(v, function, 13, 14, 50);
            let scale = t.spec(f).scale;
            let y = t.product(x, f, 50);
            let y = t.reveal(y, 50);
            let plan = t.finish(&[y]);
            assert_eq!(plan.online().flights, 3);
            let rows: Vec<i64> =
                (0..200).map(|_| ((2.0 + bench.unit() * (top - 2.0)) * 4096.0) as i64).collect();
            let inputs = [bench.signed(1000, 15), rows];
            for result in bench.run_sources(&plan, Vec::new(), &inputs) {
                result.check_exact();
                for (i, (&x, &y)) in inputs[0].iter().zip(&result.outputs[0]).enumerate() {
                    let factor = function.at(inputs[1][i / 5] as f64 / 4096.0);
                    let (x, y) = (x as f64 / 4096.0, y as f64 / f64::from(12 + scale).exp2());
                    let error = (y - x * factor).abs();
                    assert!(error <= relative * (x * factor).abs() + 1e-6, "{function:?} {error}");
                }
            }
        }
    }
}
