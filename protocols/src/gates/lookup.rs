//! LutLin: any smooth function of an opened value, one flight after the opening.
//!
//! Shapes: the input's. Scale of the result: `slope_scale + lo` bits. Error: that of
//! [`pieces`] plus one unit of `value_scale`. Outside of the window the index wraps and the
//! result is garbage; the last of the `2^k` pieces must not be reached either (a borrow would
//! wrap).
//!
//! `c = i + r` is open, `i` the index in the window, `c = (ch, cl)`, `r = (rh, rl)` split at `lo` bits. The
//! dealer deals XOR shares of the unit vector at `rh`, so that masked sums over the rotated
//! tables give shares of `s T[h]`, `h = ch - rh`, with a sign `s` that only the dealer knows (1.6). The
//! function is `y = T0[h] + T1[h] (cl - rl) / 2^lo`. The parties open `A = s (T0 + T1 cl / 2^lo)` and
//! `B = s T1` under masks `a`, `b`; then `y = s (A^ - a) - s rl (B^ - b)` is a form in dealer-known factors. Of `s` alone nothing
//! is dealt: all bits of the two shares of a unit vector are equal but one, so `s` is the server's number of ones less the
//! client's, in every ring.
//!
//! Cost: one flight, `width(A) + width(B)` bits each way; `2^k` bits of correction an element, and
//! up to four words more when the form is lifted; `2 2^k` masked adds at each party.
//!
//! Security: `A` and `B` are opened under fresh uniform masks of exactly their widths. The scan reads
//! every table entry that the public `c` selects, in an order that depends on `c` alone; the one-hot
//! bits are lane masks, never addresses or branches. The one-hot shares are uniform bits to each
//! party. Source: PROTOCOLS 1.6, 1.7; the sign is known to the dealer instead of being
//! opened as in SIGMA.

use std::sync::Arc;

use sotto_ring::select::{Table, masked_sums2, ones};

use crate::{
    deal::{Dealing, Known},
    drawn::Map,
    encode,
    functions::{Fit, Function, Window, pieces, signed_width},
    gate::{Draw, Exchange, Gate, To, Work},
    making::{Cut, Factors, Held, Making, Slot},
    party::{Factor, Prepare, Run, Value},
    plan::Trace,
    simulate::Simulation,
    spec::{Kind, Spec, Term, Wire},
};

use super::late::{Late, TABLE};

/// Precision of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precision {
    /// Logarithm of the number of pieces.
    pub k: u32,
    /// Fractional bits of `A`.
    pub value_scale: u32,
    /// Fractional bits of the slope over one piece.
    pub slope_scale: u32,
}

encode!(Precision { k, value_scale, slope_scale });

#[derive(Debug)]
struct Lookup {
    function: Function,
    window: Window,
    precision: Precision,
    lo: u32,
    /// Opened widths of `A` and `B`.
    widths: [u32; 2],
    tables: Late<[Table; 2]>,
    output: Spec,
}

encode!(Lookup { function, window, precision, lo, widths, tables, output });

impl Trace {
    /// Opens `x` in `window` for a lookup.
    pub fn open_window(&mut self, x: Wire, window: Window) -> Wire {
        assert_eq!(self.spec(x).scale, window.scale, "scale of a window");
        self.open(x, window.bits, window.offset())
    }

    /// `function` of an opened value, as a form of scale `slope_scale + lo`.
    pub fn lookup(&mut self, x: Wire, function: Function, precision: Precision) -> Wire {
        let spec = self.spec(x).clone();
        let window = Window::opened(&spec);
        let Precision { k, value_scale, slope_scale } = precision;
        let lo = window.bits - k;
        assert!(TABLE.contains(&k), "a table of 2^3 to 2^20 pieces, not 2^{k}");
        let pieces = pieces(function, window, k, [value_scale, slope_scale], Fit::Mean);
        // The shift that brings T1 cl from scale slope_scale + lo to value_scale.
        assert!(slope_scale + lo >= value_scale, "slope too coarse for the value");
        let shift = slope_scale + lo - value_scale;
        // A piece's sums lie between those of its two ends.
        let (sum, slope) = pieces.fold((0, 0), |(sum, slope): (u64, u64), (value, rise)| {
            let start = value << shift;
            let ends = [start, start + (rise << lo)].map(i64::unsigned_abs);
            (sum.max(ends[0]).max(ends[1]), slope.max(rise.unsigned_abs()))
        });
        assert!(sum < 1 << 31, "lookup of {function:?} exceeds the table's 32 bits");
        let widths = [signed_width((sum >> shift) + 2), signed_width(slope)];
        assert!(widths[0] + shift <= 32, "lookup of {function:?} exceeds its ring");
        let terms = vec![
            Term::BOTH.multiple_of(shift).shared(),
            Term::KNOWN,
            Term::BOTH.multiple_of(shift + widths[0]),
            Term::BOTH,
            Term::BOTH.multiple_of(widths[1]),
        ];
        let kind = Kind::Form { terms };
        let output = Spec { shape: spec.shape, scale: slope_scale + lo, kind };
        let tables = Late::default();
        let gate = Lookup { function, window, precision, lo, widths, tables, output };
        self.add(gate, &[x])
    }
}

impl Lookup {
    fn shift(&self) -> u32 {
        self.precision.slope_scale + self.lo - self.precision.value_scale
    }

    fn count(&self) -> usize {
        self.output.count()
    }

    fn tables(&self) -> &[Table; 2] {
        self.tables.get(|| {
            let Precision { k, value_scale, slope_scale } = self.precision;
            let scales = [value_scale, slope_scale];
            let pieces = pieces(self.function, self.window, k, scales, Fit::Mean);
            let (value, slope): (Vec<i32>, Vec<i32>) =
                pieces.map(|(value, slope)| (value as i32, slope as i32)).unzip();
            [value, slope].map(|v| Table::new(k, &v))
        })
    }
}

impl Gate for Lookup {
    fn name(&self) -> &'static str {
        "lookup"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![self.output.clone()]
    }

    fn draws(&self) -> Vec<Draw> {
        let count = self.count();
        let [a, b] = self.widths;
        vec![
            Draw::OneHot { count, k: self.precision.k },
            Draw::Mask { count, width: a },
            Draw::Mask { count, width: b },
        ]
    }

    fn rounds(&self) -> Vec<Vec<Exchange>> {
        let count = self.count();
        let open = |width| Exchange { count, width, to: To::Both };
        vec![self.widths.map(open).to_vec()]
    }

    fn work(&self) -> Work {
        Work::online((2 * self.count() as u64) << self.precision.k)
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let (lo, shift, [na, nb]) = (self.lo, self.shift(), self.widths);
        let r = dealing.input_mask(0);
        let high: Vec<u64> = r.iter().map(|r| r >> lo).collect();
        let signs = dealing.give_one_hot(0, &high);
        let (alpha, beta) = (dealing.mask(1), dealing.mask(2));
        let low = sotto_ring::mask(lo);
        let mut terms: [Vec<u64>; 5] = std::array::from_fn(|_| Vec::with_capacity(r.len()));
        for (((&s, &r), &a), &b) in signs.iter().zip(r).zip(&alpha).zip(&beta) {
            let sl = s.wrapping_mul(r & low);
            let sa = s << shift;
            let top_a = (a >> (na - 1)) << na;
            let top_b = (b >> (nb - 1)) << nb;
            terms[0].push(sa);
            terms[1].push(sl.wrapping_mul(b).wrapping_sub(sa.wrapping_mul(a)));
            terms[2].push(sa.wrapping_mul(top_a));
            terms[3].push(sl.wrapping_neg());
            terms[4].push(sl.wrapping_mul(top_b).wrapping_neg());
        }
        dealing.output(Known::Form(terms.map(Some).to_vec()));
    }

    fn make(&self, making: &mut Making<'_>) {
        let (r, n) = making.input_mask(0);
        let (hot, cut) = Cut::new(making, r, n, self.precision.k);
        making.give(0, hot);
        let factors = LookupFactors {
            cut,
            shift: self.shift(),
            masks: [making.mask(1), making.mask(2)],
            widths: self.widths,
        };
        making.output(Held::Form(Arc::new(factors)));
    }

    fn prepare(&self, _: &mut Prepare<'_>) {
        self.tables();
    }

    fn run(&self, round: usize, run: &mut Run<'_>) {
        let (lo, shift, [na, nb]) = (self.lo, self.shift(), self.widths);
        let (half_a, half_b) = (1u64 << (na - 2), 1u64 << (nb - 2));
        if round == 0 {
            let c = run.public(0);
            let high: Vec<u64> = c.iter().map(|c| c >> lo).collect();
            let (mut u, mut v) = (vec![0; c.len()], vec![0; c.len()]);
            let [t0, t1] = self.tables();
            masked_sums2(run.bits(0), t0, t1, &high, &mut u, &mut v);
            let server = run.is_server();
            let mut signs = ones(run.bits(0), self.precision.k);
            if !server {
                signs.iter_mut().for_each(|s| *s = s.wrapping_neg());
            }
            run.keep(signs);
            let low = sotto_ring::mask(lo);
            // The server adds the truncation's 2^shift and the openings' offsets.
            let (up, oa, ob) = match server {
                true => (u64::from(shift > 0) << shift, half_a, half_b),
                false => (0, 0, 0),
            };
            let ring = sotto_ring::mask(32);
            for ((u, v), &c) in u.iter_mut().zip(&mut v).zip(c) {
                if !server {
                    (*u, *v) = (u.wrapping_neg(), v.wrapping_neg());
                }
                let sum = (*u << shift).wrapping_add(v.wrapping_mul(c & low));
                *u = ((sum.wrapping_add(up) & ring) >> shift).wrapping_add(oa);
                *v = v.wrapping_add(ob);
            }
            run.open(u, 1);
            return run.open(v, 2);
        }
        let (a, b) = (run.opened(0), run.opened(1));
        let (a, b) = (Arc::new(a), Arc::new(b));
        let publics = vec![
            Some(Factor::new(&a, Map::Minus(half_a))),
            None,
            Some(Factor::new(&a, Map::Wrap(na))),
            Some(Factor::new(&b, Map::Minus(half_b))),
            Some(Factor::new(&b, Map::Wrap(nb))),
        ];
        let signs = Arc::new(run.kept(0));
        run.output(Value::Form { publics, shared: Some(signs) });
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        let (lo, shift) = (self.lo, self.shift());
        let r = sim.input_mask(0, self.window.bits);
        let index_mask = sotto_ring::mask(self.window.bits);
        let low = sotto_ring::mask(lo);
        let tables = self.tables();
        let mut out = Vec::with_capacity(r.len());
        for (&x, r) in sim.inputs[0].iter().zip(r) {
            let c = (x as u64).wrapping_add(self.window.offset()).wrapping_add(r) & index_mask;
            let h = ((c >> lo).wrapping_sub(r >> lo) & sotto_ring::mask(self.precision.k)) as usize;
            let (t0, t1) = (i64::from(tables[0].value(h)), i64::from(tables[1].value(h)));
            let s = sim.coins.sign();
            let a = s * sim.coins.round(s * ((t0 << shift) + t1 * (c & low) as i64), shift);
            out.push((a << shift) - t1 * (r & low) as i64);
        }
        sim.output(out);
    }
}

/// Two parties' side of the form.
struct LookupFactors {
    cut: Cut,
    shift: u32,
    /// The masks `a` and `b` and their widths.
    masks: [Slot; 2],
    widths: [u32; 2],
}

impl Factors for LookupFactors {
    fn shares(&self, making: &mut Making<'_>, width: u32) -> Vec<Option<Slot>> {
        let Self { cut, shift, masks: [a, b], widths: [na, nb] } = self;
        // Ring widths of s and s a, of s m_a, of s rl m_b.
        let [w0, w2, w4] = [*shift, shift + na, *nb].map(|s| width.saturating_sub(s));
        let sl = cut.sign_low(making, width);
        let by_b = cut.sign_low_mask(making, (*b, *nb), width);
        let by_a = cut.sign_mask(making, (*a, *na), w0);
        let known = making.sum(&[(by_b, 1), (by_a, (1u64 << shift).wrapping_neg())]);
        let [top_a, top_b] = [(*a, *na), (*b, *nb)].map(|(r, n)| making.top_bit(r, n));
        let top_a = making.mux(top_a, cut.sign, w2);
        let top_b = making.mux(top_b, sl, w4);
        let minus = u64::MAX;
        let (sl, top_b) = (making.sum(&[(sl, minus)]), making.sum(&[(top_b, minus)]));
        let reaches = |slot: Slot, w: u32| (w > 0).then_some(slot);
        vec![reaches(cut.sign, w0), Some(known), reaches(top_a, w2), Some(sl), reaches(top_b, w4)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{functions::Unit, spec::Role, testing::Bench};

    /// Gives the bytes that the lookup opens.
    fn check(
        function: Function,
        window: Window,
        precision: Precision,
        bound: f64,
        range: f64,
    ) -> usize {
        let mut bench = Bench::new(21);
        let mut t = Trace::new();
        let x = t.input(&[3000], 40, window.scale);
        let c = t.open_window(x, window);
        let y = t.lookup(c, function, precision);
        let scale = t.spec(y).scale;
        let y = t.lift(y, 48);
        let y = t.reveal(y, 48);
        let plan = t.finish(&[y]);
        let opened = plan.level_bytes(1, Role::Server);
        let unit = f64::from(window.scale).exp2();
        let low = if window.low == 0 { 0.0 } else { -range };
        let input: Vec<i64> =
            (0..3000).map(|_| ((low + bench.unit() * (range - low)) * unit) as i64).collect();
        for result in bench.run_sources(&plan, Vec::new(), std::slice::from_ref(&input)) {
            result.check_exact();
            for (&x, &y) in input.iter().zip(&result.outputs[0]) {
                let (x, y) = (x as f64 / unit, y as f64 / f64::from(scale).exp2());
                let error = (y - function.at(x)).abs();
                assert!(error <= bound, "{function:?}({x}) = {y}, error {error}");
            }
        }
        opened
    }

    /// Numbers on both sides of 0 have a bit less.
    #[test]
    fn less_a_constant_a_unit_is_opened_in_fewer_bits() {
        let (window, stretch) = (Window::signed(17, 12), 1.03);
        let p = Precision { k: 9, value_scale: 12, slope_scale: 12 };
        let whole = check(Function::Gelu { stretch }, window, p, 1.6e-3, 15.9);
        for unit in [Unit::Gelu, Unit::GeluTanh, Unit::QuickGelu, Unit::Silu] {
            let value = (16.0 / stretch + unit.least()) / 2.0;
            let least = (-64..0).map(|i| unit.at(f64::from(i) / 16.0)).fold(0.0, f64::min);
            assert!((least - unit.least()).abs() < 1e-3, "{unit:?}: {least}");
            let bytes = check(Function::Less { unit, stretch, value }, window, p, 1.6e-3, 15.9);
            assert_eq!(whole - bytes, 3000 / 8, "{unit:?}");
        }
    }

    #[test]
    fn smooth_functions_within_their_bounds() {
        let gelu = Function::Gelu { stretch: 1.0 };
        let p = Precision { k: 9, value_scale: 12, slope_scale: 12 };
        check(gelu, Window::signed(17, 12), p, 1.4e-3, 15.9);
        check(gelu, Window::signed(16, 12), p, 7e-4, 7.9);
        check(Function::Silu, Window::signed(17, 12), p, 1e-3, 15.9);
        check(Function::Sigmoid, Window::signed(17, 12), p, 6e-4, 15.9);
        check(Function::Tanh, Window::signed(16, 12), p, 6e-4, 7.9);
        let floor = 1.0;
        let p = Precision { k: 12, value_scale: 14, slope_scale: 14 };
        let positive = Window::positive(17, 10);
        check(Function::Reciprocal { floor }, positive, p, 2e-3, 127.9);
    }
}
