//! RowTable: any smooth function of an opened value without a further flight, for more offline bytes.
//!
//! Shapes: the input's. Scale of the result: `value_scale + POWER`. Error: that of interpolation of degree `d` on
//! rows of length `2^(n-m)`, and `d + 1` units of the value scale. The last row's length at the top of the window
//! must not be reached.
//!
//! The dealer knows the mask `r`. Split the open `c = i + r` into a row `ch` of `2^m` and a low part `cl`: for fixed
//! `(r, ch)` the index `i = c - r` runs over one interval as `cl` does, so the function on it is a polynomial in
//! the public `cl`, whose `d + 1` coefficients the dealer deals for every row. The parties evaluate row `ch`
//! locally: no second flight, and no adjacent piece as in [`super::lookup`].
//!
//! Cost: no flight; `2^m (d + 1)` words of correction an element. Security: nothing is sent; the row that is read is
//! chosen by the public `c`. The dealer evaluates the function at points that follow from its mask: how long that takes
//! may tell of it to somebody on the dealer's own machine, and to nobody else. Source: PROTOCOLS 1.7b.

use crate::{
    deal::{Dealing, Known},
    encode,
    functions::{Function, Window},
    gate::{Draw, Gate, Work},
    party::{Run, Value},
    plan::Trace,
    simulate::Simulation,
    spec::{Spec, Wire},
};

/// Fractional bits of the public powers.
const POWER: u32 = 14;

/// Size of a row table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Logarithm of the number of rows.
    pub m: u32,
    /// Degree of the polynomials.
    pub degree: u32,
    /// Fractional bits of the coefficients.
    pub value_scale: u32,
}

encode!(Rows { m, degree, value_scale });

#[derive(Debug)]
struct RowTable {
    function: Function,
    window: Window,
    rows: Rows,
    width: u32,
    output: Spec,
}

encode!(RowTable { function, window, rows, width, output });

impl Trace {
    /// `function` of an opened value as a share in the ring `2^width`.
    pub fn row_table(&mut self, x: Wire, function: Function, rows: Rows, width: u32) -> Wire {
        let spec = self.spec(x).clone();
        let window = Window::opened(&spec);
        assert!(rows.m < window.bits && rows.degree <= 5, "{rows:?} on {} bits", window.bits);
        let output = Spec::share(&spec.shape, width, rows.value_scale + POWER);
        self.add(RowTable { function, window, rows, width, output }, &[x])
    }
}

impl RowTable {
    fn lo(&self) -> u32 {
        self.window.bits - self.rows.m
    }

    fn terms(&self) -> usize {
        self.rows.degree as usize + 1
    }

    /// Interpolation nodes in `(0, 1)` and the matrix from values there to coefficients.
    fn nodes(&self) -> (Vec<f64>, Vec<Vec<f64>>) {
        let n = self.terms();
        let angle = |t: usize| (2 * t + 1) as f64 * std::f64::consts::PI / (2 * n) as f64;
        let nodes: Vec<f64> = (0..n).map(|t| 0.5 - 0.5 * angle(t).cos()).collect();
        // Column t of the inverse holds the coefficients of the t-th Lagrange polynomial.
        let mut inverse = vec![vec![0.0; n]; n];
        for (t, &at) in nodes.iter().enumerate() {
            let mut polynomial = vec![1.0];
            for (_, &other) in nodes.iter().enumerate().filter(|(s, _)| *s != t) {
                let mut next = vec![0.0; polynomial.len() + 1];
                for (j, p) in polynomial.iter().enumerate() {
                    next[j] -= p * other / (at - other);
                    next[j + 1] += p / (at - other);
                }
                polynomial = next;
            }
            for (row, p) in inverse.iter_mut().zip(polynomial) {
                row[t] = p;
            }
        }
        (nodes, inverse)
    }

    /// The coefficients of the row whose interval starts at the index `c_row - r`.
    fn coefficients(&self, row: u64, r: u64, nodes: &[f64], inverse: &[Vec<f64>]) -> Vec<i64> {
        let (lo, bits) = (self.lo(), self.window.bits);
        let start = (row << lo).wrapping_sub(r) & sotto_ring::mask(bits);
        // An interval that straddles the window's end belongs to its bottom.
        let top = (1u64 << bits) - (1 << lo);
        let below = if start > top { 1i64 << bits } else { 0 };
        let start = start as i64 - below + self.window.low;
        let unit = (-f64::from(self.window.scale)).exp2();
        let length = f64::from(lo).exp2();
        let values: Vec<f64> =
            nodes.iter().map(|u| self.function.at((start as f64 + u * length) * unit)).collect();
        let scale = f64::from(self.rows.value_scale).exp2();
        inverse
            .iter()
            .map(|row| {
                let sum: f64 = row.iter().zip(&values).map(|(a, b)| a * b).sum();
                (sum * scale).round() as i64
            })
            .collect()
    }

    /// The public powers of `cl / 2^lo`.
    fn powers(&self, low: u64) -> Vec<i64> {
        let u = low as f64 / f64::from(self.lo()).exp2();
        let scale = f64::from(POWER).exp2();
        (0..self.terms()).map(|j| (u.powi(j as i32) * scale).round() as i64).collect()
    }
}

impl Gate for RowTable {
    fn name(&self) -> &'static str {
        "row table"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![self.output.clone()]
    }

    fn draws(&self) -> Vec<Draw> {
        let count = (self.output.count() << self.rows.m) * self.terms();
        vec![Draw::Value { count, width: self.width }]
    }

    fn work(&self) -> Work {
        let each = (self.output.count() * self.terms()) as u64;
        Work { dealer: (each * self.terms() as u64) << self.rows.m, ..Work::online(each) }
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let (nodes, inverse) = self.nodes();
        let mut all = Vec::with_capacity((self.output.count() << self.rows.m) * self.terms());
        for &r in dealing.input_mask(0) {
            for row in 0..1 << self.rows.m {
                let a = self.coefficients(row, r, &nodes, &inverse);
                all.extend(a.into_iter().map(|a| a as u64));
            }
        }
        dealing.give(0, &all);
        dealing.output(Known::Nothing);
    }

    fn run(&self, _: usize, run: &mut Run<'_>) {
        let low = sotto_ring::mask(self.lo());
        let block = self.terms() << self.rows.m;
        let dealt = run.words(0);
        let c = run.public(0);
        let mut out = Vec::with_capacity(c.len());
        for (table, &c) in dealt.chunks_exact(block).zip(c) {
            let start = (c >> self.lo()) as usize * self.terms();
            let a = &table[start..start + self.terms()];
            let sum = a
                .iter()
                .zip(self.powers(c & low))
                .fold(0u64, |s, (a, p)| s.wrapping_add(a.wrapping_mul(p as u64)));
            out.push(sum);
        }
        run.output(Value::Share(out));
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        let (nodes, inverse) = self.nodes();
        let bits = self.window.bits;
        let r = sim.input_mask(0, bits);
        let out = sim.inputs[0].iter().zip(r).map(|(&x, r)| {
            let c = (x as u64).wrapping_add(self.window.offset()).wrapping_add(r)
                & sotto_ring::mask(bits);
            let a = self.coefficients(c >> self.lo(), r, &nodes, &inverse);
            let p = self.powers(c & sotto_ring::mask(self.lo()));
            a.iter().zip(p).map(|(a, p)| a * p).sum()
        });
        let out = out.collect();
        sim.output(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[test]
    fn functions_within_their_bounds_in_one_flight() {
        let gelu = Function::Gelu { stretch: 1.0 };
        let silu = Function::Silu;
        for (function, m, degree, bound) in
            [(gelu, 4, 3, 9e-4), (gelu, 5, 3, 4e-4), (gelu, 4, 4, 5e-4), (silu, 4, 3, 9e-4)]
        {
            let mut bench = Bench::new(60);
            let mut t = Trace::new();
            let x = t.input(&[1500], 40, 12);
            let c = t.open_window(x, Window::signed(16, 12));
            let y = t.row_table(c, function, Rows { m, degree, value_scale: 14 }, 48);
            let scale = t.spec(y).scale;
            let y = t.reveal(y, 48);
            let plan = t.finish(&[y]);
            assert_eq!(plan.online().flights, 2, "the opening and the reveal");
            // Up to a row below the top of +-8.
            let input: Vec<i64> =
                (0..1500).map(|_| ((bench.unit() * 14.9 - 8.0) * 4096.0) as i64).collect();
            let result = bench.run_shared(&plan, Vec::new(), std::slice::from_ref(&input));
            result.check_exact();
            for (&x, &y) in input.iter().zip(&result.outputs[0]) {
                let x = x as f64 / 4096.0;
                let error = (y as f64 / f64::from(scale).exp2() - function.at(x)).abs();
                assert!(error <= bound, "{function:?}({x}): {error} with {m}, {degree}");
            }
        }
    }
}
