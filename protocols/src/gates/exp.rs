//! Exponential in base 2 of an opened value, one flight after the opening.
//!
//! Shapes: the input's. Scale of the result: `HEAD + 2 FRACTION` bits. Error: relative `2^-11.5` at most
//! from the two fraction factors, absolute `2^-HEAD-1` from the table; arguments far below the
//! window's top give 0.
//!
//! `c = t + r` is open (10 fractional bits, the rest integer). `2^t = 2^cl 2^-rl 2^(ch - rh)`: exponents
//! add, so no borrow needs a correction. The integer part is looked up through a one-hot on the high
//! bits as in [`super::lookup`]; the parties open `s T[h] + a`. With `rho = 2^-rl`, known to the
//! dealer, `2^t = 2^cl (s rho) (v^ - a)` is a form of three terms. `log2 e` is folded into the
//! query's weights by their owner.
//!
//! Cost: one flight, `width` bits each way; `2^k` bits of correction an element, three words
//! more when lifted. Security: as [`super::lookup`]. Source: PROTOCOLS 1.9.

use std::sync::Arc;

use sotto_ring::select::{Table, masked_sums};

use crate::{
    deal::{Dealing, Known},
    drawn::Map,
    functions::signed_width,
    gate::{Draw, Exchange, Gate, To, Work},
    party::{Factor, Run, Value},
    plan::Trace,
    simulate::Simulation,
    spec::{Kind, Spec, Term, Wire},
};

/// Fractional bits of the table of integer powers.
const HEAD: u32 = 14;
/// Fractional bits of each of the two fraction factors.
const FRACTION: u32 = 12;

struct Exp {
    lo: u32,
    k: u32,
    offset: u64,
    /// Opened width of the looked-up power.
    width: u32,
    table: Table,
    output: Spec,
}

impl std::fmt::Debug for Exp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Exp {{ lo: {}, k: {}, offset: {}, width: {}, output: {:?} }}",
            self.lo, self.k, self.offset, self.width, self.output
        )
    }
}

impl Trace {
    /// `2^x` of an opened value, as a form; the window's top bounds the result.
    pub fn exp2(&mut self, x: Wire) -> Wire {
        let spec = self.spec(x).clone();
        let (bits, offset) = spec.opened();
        let lo = spec.scale;
        let k = bits - lo;
        assert!((3..=10).contains(&k), "exp2 needs 3 to 10 integer bits, has {k}");
        assert_eq!(offset & sotto_ring::mask(lo), 0, "the window starts at an integer");
        let first = -((offset >> lo) as i64);
        let powers: Vec<i32> = (0..1i64 << k)
            .map(|h| {
                // A borrow of the last piece wraps to index 0; its true power is the top's.
                let e = if h == 0 { first + (1 << k) } else { first + h };
                let power = ((e + i64::from(HEAD)) as f64).exp2().round();
                power as i32
            })
            .collect();
        let width = signed_width(powers.iter().map(|&p| p as u64).max().unwrap_or(0));
        let output = Spec {
            shape: spec.shape,
            scale: HEAD + 2 * FRACTION,
            kind: Kind::Form { terms: vec![Term::BOTH; 3] },
        };
        let table = Table::new(k, &powers);
        self.add(Exp { lo, k, offset, width, table, output }, &[x])
    }
}

impl Exp {
    fn count(&self) -> usize {
        self.output.count()
    }

    /// `2^(+-low / 2^lo)` in fixed point.
    fn fraction(&self, low: u64, sign: f64) -> u64 {
        let exponent = sign * low as f64 / f64::from(self.lo).exp2();
        (exponent.exp2() * f64::from(FRACTION).exp2()).round() as u64
    }

    fn fractions(&self, sign: f64) -> Vec<u64> {
        (0..1 << self.lo).map(|low| self.fraction(low, sign)).collect()
    }
}

impl Gate for Exp {
    fn name(&self) -> &'static str {
        "exp"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![self.output.clone()]
    }

    fn draws(&self) -> Vec<Draw> {
        let (count, width) = (self.count(), self.width);
        vec![Draw::OneHot { count, k: self.k }, Draw::Mask { count, width }]
    }

    fn rounds(&self) -> Vec<Vec<Exchange>> {
        let (count, width) = (self.count(), self.width);
        vec![vec![Exchange { count, width, to: To::Both }]]
    }

    fn work(&self) -> Work {
        Work::online((self.count() as u64) << self.k)
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let (lo, n) = (self.lo, self.width);
        let r = dealing.input_mask(0);
        let high: Vec<u64> = r.iter().map(|r| r >> lo).collect();
        let signs = dealing.give_one_hot(0, &high);
        let alpha = dealing.mask(1);
        let low = sotto_ring::mask(lo);
        let mut terms: [Vec<u64>; 3] = Default::default();
        for ((&s, &r), &a) in signs.iter().zip(r).zip(&alpha) {
            // Computed, not tabulated: the mask must not address memory.
            let rho = s.wrapping_mul(self.fraction(r & low, -1.0));
            terms[0].push(rho);
            terms[1].push(rho.wrapping_mul(a).wrapping_neg());
            terms[2].push(rho.wrapping_mul((a >> (n - 1)) << n));
        }
        dealing.output(Known::Form(terms.map(Some).to_vec()));
    }

    fn run(&self, round: usize, run: &mut Run<'_>) {
        let (lo, n) = (self.lo, self.width);
        let half = 1u64 << (n - 2);
        let c = run.public(0);
        if round == 0 {
            let high: Vec<u64> = c.iter().map(|c| c >> lo).collect();
            let mut v = vec![0; c.len()];
            masked_sums(run.bits(0), &self.table, &high, &mut v);
            let server = run.is_server();
            for v in &mut v {
                *v = if server { v.wrapping_add(half) } else { v.wrapping_neg() };
            }
            return run.open(v, 1);
        }
        let v = run.opened(0);
        let (low, fractions) = (sotto_ring::mask(lo), self.fractions(1.0));
        let fraction: Vec<u64> = c.iter().map(|c| fractions[(c & low) as usize]).collect();
        let times = |f: &dyn Fn(u64) -> u64| -> Vec<u64> {
            let products = fraction.iter().zip(&v).map(|(p, &v)| p.wrapping_mul(f(v)));
            products.collect()
        };
        let moved = times(&|v| v.wrapping_sub(half));
        let wrap = times(&|v| 1 ^ (v >> (n - 1)));
        let factor = |words| Some(Factor::new(&Arc::new(words), Map::Same));
        run.output(Value::Form([moved, fraction, wrap].map(factor).to_vec()));
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        let (lo, bits) = (self.lo, self.lo + self.k);
        let r = sim.input_mask(0, bits);
        let low = sotto_ring::mask(lo);
        let values = sim.inputs[0].iter().zip(r).map(|(&x, r)| {
            let c = (x as u64).wrapping_add(self.offset).wrapping_add(r) & sotto_ring::mask(bits);
            let h = ((c >> lo).wrapping_sub(r >> lo) & sotto_ring::mask(self.k)) as usize;
            let (up, down) = (self.fraction(c & low, 1.0), self.fraction(r & low, -1.0));
            i64::from(self.table.value(h)) * (up * down) as i64
        });
        let values = values.collect();
        sim.output(values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[test]
    fn powers_of_two_within_the_bound() {
        let mut bench = Bench::new(6);
        let mut t = Trace::new();
        let x = t.input(&[4000], 30, 10);
        // The window is [-62, 2).
        let c = t.open(x, 16, 62 << 10);
        let y = t.exp2(c);
        let y = t.lift(y, 58);
        let y = t.reveal(y, 58);
        let plan = t.finish(&[y]);
        assert_eq!(plan.online().flights, 3);
        let mut input: Vec<i64> =
            (0..4000).map(|_| ((-20.0 + bench.unit() * 22.0) * 1024.0) as i64).collect();
        input[0] = 2 * 1024 - 1;
        input[1] = -62 * 1024 + 1024;
        let result = bench.run_shared(&plan, Vec::new(), std::slice::from_ref(&input));
        result.check_exact();
        for (&x, &y) in input.iter().zip(&result.outputs[0]) {
            let (truth, y) = ((x as f64 / 1024.0).exp2(), y as f64 / 38f64.exp2());
            let error = (y - truth).abs();
            assert!(error <= 3.5e-4 * truth + 6.2e-5, "2^{}: {error}", x as f64 / 1024.0);
        }
    }
}
