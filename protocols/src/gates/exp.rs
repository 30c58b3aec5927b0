//! Exponential in base 2 of an opened value, one flight after the opening.
//!
//! Shapes: the input's. Scale of the result: `head + FRACTION + span - 1` bits. Error: relative `2^-11.5` at most from the
//! two fraction factors, absolute `2^-head + 2^(span - head - 1)` from the opened word and the table; arguments
//! far below the window's top give 0. The lowest piece of the window must not be reached. Where two parties make the
//! correlations, a fraction factor is off by two units more at most: relative `2^-10`.
//!
//! `c = t + r` is open and cut into `k` high and the low bits, which span `span` powers: 1, or 2 where a shorter one-hot
//! is worth it. `2^t = 2^cl 2^-rl 2^(ch - rh)`: exponents add, so no borrow needs a correction. The high
//! part is looked up through a one-hot as in [`super::lookup`], times the public `2^cl`; the parties open
//! `A = s T[h] 2^cl` under a mask `a`. With `rho = 2^-rl`, known to the dealer, `2^t = s rho (A^ - a)` is a
//! form of three terms. `log2 e` is folded into the query's weights by their owner.
//!
//! Cost: one flight, `width` bits each way; `2^k` bits of correction an element, three words, one of them
//! shorter, more when lifted. Security: as [`super::lookup`]. Source: PROTOCOLS 1.9; there `2^cl` is
//! multiplied after the opening, whose ring would have to hold its bits, too.

use std::{f64::consts, sync::Arc};

use sotto_ring::{
    mask,
    select::{Table, masked_sums},
};

use crate::{
    deal::{Dealing, Known},
    drawn::Map,
    encode,
    functions::{Window, signed_width},
    gate::{Draw, Exchange, Gate, To, Work},
    making::{Cut, Factors, Held, Making, Slot},
    party::{Factor, Prepare, Run, Value},
    plan::Trace,
    simulate::Simulation,
    spec::{Kind, Role, Spec, Term, Wire},
};

use super::late::Late;

/// Fractional bits of the two fraction factors: of `rho` for a span of 1, one more for 2.
const FRACTION: u32 = 12;

/// Units that `2^-rl` is off by where two parties make it, at most: each has rounded its own factor, and the product is rounded on
/// shares.
const TOLERANCE: u64 = 2;

/// Precision of an exponential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpFormat {
    /// Powers of two that the low bits span: 1 or 2.
    pub span: u32,
    /// Arguments are below this: a result of `2^top` does not fit.
    pub top: u32,
    /// Fractional bits of the opened power.
    pub head: u32,
}

encode!(ExpFormat { span, top, head });

#[derive(Debug)]
struct Exp {
    format: ExpFormat,
    window: Window,
    k: u32,
    /// Opened width of the looked-up power.
    width: u32,
    tables: Late<Powers>,
    output: Spec,
}

encode!(Exp { format, window, k, width, tables, output });

/// What the parties look up.
struct Powers {
    /// The powers of the high part, to as many bits as the ring of 32 leaves after the truncation.
    high: Table,
    /// `2^cl` for every low part.
    low: Vec<u64>,
}

/// Powers of two of low parts.
#[derive(Clone, Copy)]
struct Fractions {
    lo: u32,
    span: u32,
}

impl Fractions {
    /// `2^(sign low / 2^scale)` to `bits` fractional bits. The same on every machine, and without a table: masks must not
    /// address memory.
    fn at(&self, low: u64, sign: f64, bits: u32) -> u64 {
        let unit = f64::from(self.lo).exp2();
        let x = sign * (low as f64 / unit - 0.5) * consts::LN_2;
        // Around the middle: the eighth term is below 2^-25.
        let series = (1..=7).rev().fold(1.0, |sum, i| 1.0 + sum * x / f64::from(i));
        let root = if sign > 0.0 { consts::SQRT_2 } else { consts::FRAC_1_SQRT_2 };
        let y = series * root;
        let power = if self.span == 2 { y * y } else { y };
        (power * (1u64 << bits) as f64 + 0.5) as u64
    }
}

impl Trace {
    /// `2^x` of an opened value, as a form; the window's top bounds the result.
    pub fn exp2(&mut self, x: Wire) -> Wire {
        let window = Window::opened(self.spec(x));
        let top = (window.low + (1i64 << window.bits)) >> window.scale;
        let top = u32::try_from(top).unwrap_or(0);
        // As many fractional bits as fit the opened word, 14 at most.
        let head = (32 - FRACTION - 4).saturating_sub(top).min(14);
        self.exp2_below(x, ExpFormat { span: 1, top, head })
    }

    /// `2^x` of an opened value below `format.top`, as a form.
    pub fn exp2_below(&mut self, x: Wire, format: ExpFormat) -> Wire {
        let spec = self.spec(x).clone();
        let window = Window::opened(&spec);
        let ExpFormat { span, top, head } = format;
        assert!(span == 1 || span == 2, "the low bits span 1 or 2 powers, not {span}");
        let lo = spec.scale + span - 1;
        let k = window.bits - lo;
        assert!((3..=10).contains(&k), "exp2 needs 3 to 10 high bits, has {k}");
        assert_eq!(window.offset() & mask(lo), 0, "the window starts at a piece");
        let width = signed_width((1 << (top + span + head)) + 1);
        assert!(width <= 32 - FRACTION, "powers below 2^{top} to {head} bits do not fit the table");
        let output = Spec {
            shape: spec.shape,
            scale: head + FRACTION + span - 1,
            kind: Kind::Form {
                terms: vec![Term::BOTH, Term::KNOWN, Term::BOTH.multiple_of(width)],
            },
        };
        let tables = Late::default();
        self.add(Exp { format, window, k, width, tables, output }, &[x])
    }
}

impl Exp {
    fn count(&self) -> usize {
        self.output.count()
    }

    fn lo(&self) -> u32 {
        self.window.scale + self.format.span - 1
    }

    /// Bits that are dropped before the opening, in the ring of 32 bits.
    fn shift(&self) -> u32 {
        32 - self.width
    }

    fn fractions(&self) -> Fractions {
        Fractions { lo: self.lo(), span: self.format.span }
    }

    fn tables(&self) -> &Powers {
        self.tables.get(|| Powers {
            high: Table::new(self.k, &self.powers()),
            low: (0..1 << self.lo()).map(|low| self.fractions().at(low, 1.0, FRACTION)).collect(),
        })
    }

    fn powers(&self) -> Vec<i32> {
        let ExpFormat { span, top, head } = self.format;
        let first = self.window.low >> self.window.scale;
        let scale = i64::from(head + 32 - self.width - FRACTION);
        let power = |h: i64| {
            // A borrow of the last piece wraps to index 0; its true power is the top's.
            let h = if h == 0 { 1 << self.k } else { h };
            // Beyond the top only what is garbage anyhow.
            let e = (first + h * i64::from(span)).min(i64::from(top + span) - 1);
            ((e + scale) as f64).exp2().round() as i32
        };
        (0..1i64 << self.k).map(power).collect()
    }

    /// Fractional bits of `rho`.
    fn scale(&self) -> u32 {
        FRACTION + self.format.span - 1
    }

    /// `2^-rl`.
    fn down(&self, low: u64) -> u64 {
        self.fractions().at(low, -1.0, self.scale())
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
        let (lo, n) = (self.lo(), self.width);
        let r = dealing.input_mask(0);
        let high: Vec<u64> = r.iter().map(|r| r >> lo).collect();
        let signs = dealing.give_one_hot(0, &high);
        let alpha = dealing.mask(1);
        let low = mask(lo);
        let down = dealing.rounded(r.iter().map(|r| self.down(r & low)).collect(), TOLERANCE);
        let rho: Vec<u64> = signs.iter().zip(down).map(|(s, f)| s.wrapping_mul(f)).collect();
        let by_mask = rho.iter().zip(&alpha).map(|(p, &a)| p.wrapping_mul(a).wrapping_neg());
        let by_mask = by_mask.collect();
        let by_top = rho.iter().zip(&alpha).map(|(p, &a)| p.wrapping_mul((a >> (n - 1)) << n));
        let by_top = by_top.collect();
        dealing.output(Known::Form([rho, by_mask, by_top].map(Some).to_vec()));
    }

    /// Exponents add: `2^-rl = f0 f1 2^(span c)` with the parties' own `f = 2^-l` of their low bits and the carry `c`.
    fn make(&self, making: &mut Making<'_>) {
        let (r, n) = making.input_mask(0);
        let (hot, cut) = Cut::new(making, r, n, self.k);
        making.give(0, hot);
        let (span, own_bits) = (self.format.span, FRACTION + self.format.span);
        let fractions = self.fractions();
        let f = making.map(cut.low, move |_, l| fractions.at(l, -1.0, own_bits));
        let ring = 2 * own_bits + 2;
        let product = making.private_times(f, own_bits + 1, Role::Client, f, ring);
        let more = making.mux(cut.carry, product, ring);
        let product = making.sum(&[(product, 1), (more, (1 << span) - 1)]);
        // Truncated on the shares: a unit of rounding more or less, the same one for all that reads it.
        let drop = 2 * own_bits - self.scale();
        let rho = making.map(product, move |role, p| {
            let up = if role == Role::Server { 1 << drop } else { 0 };
            (p.wrapping_add(up) & mask(ring)) >> drop
        });
        making.rounded(rho, ring - drop);
        let factors = ExpFactors {
            sigma: cut.sigma,
            rho,
            bits: ring - drop,
            mask: making.mask(1),
            n: self.width,
        };
        making.output(Held::Form(Arc::new(factors)));
    }

    fn prepare(&self, _: &mut Prepare<'_>) {
        self.tables();
    }

    fn run(&self, round: usize, run: &mut Run<'_>) {
        let (lo, n, shift) = (self.lo(), self.width, self.shift());
        let half = 1u64 << (n - 2);
        if round == 0 {
            let c = run.public(0);
            let high: Vec<u64> = c.iter().map(|c| c >> lo).collect();
            let mut v = vec![0; c.len()];
            let (low, powers) = (mask(lo), self.tables());
            masked_sums(run.bits(0), &powers.high, &high, &mut v);
            // The server adds the truncation's 2^shift and the opening's offset.
            let (sign, up, offset) = match run.is_server() {
                true => (1, 1u64 << shift, half),
                false => (u64::MAX, 0, 0),
            };
            for (v, c) in v.iter_mut().zip(c) {
                let power = v.wrapping_mul(sign).wrapping_mul(powers.low[(c & low) as usize]);
                *v = ((power.wrapping_add(up) & mask(32)) >> shift).wrapping_add(offset);
            }
            return run.open(v, 1);
        }
        let v = Arc::new(run.opened(0));
        run.output(Value::form(vec![
            Some(Factor::new(&v, Map::Minus(half))),
            None,
            Some(Factor::new(&v, Map::Wrap(n))),
        ]));
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        let (lo, bits, shift) = (self.lo(), self.lo() + self.k, self.shift());
        let r = sim.input_mask(0, bits);
        let (low, powers) = (mask(lo), self.tables());
        let mut out = Vec::with_capacity(r.len());
        for (&x, r) in sim.inputs[0].iter().zip(r) {
            let c = (x as u64).wrapping_add(self.window.offset()).wrapping_add(r) & mask(bits);
            let h = ((c >> lo).wrapping_sub(r >> lo) & mask(self.k)) as usize;
            let power = i64::from(powers.high.value(h)) * powers.low[(c & low) as usize] as i64;
            let s = sim.coins.sign();
            out.push(s * sim.coins.round(s * power, shift) * self.down(r & low) as i64);
        }
        sim.output(out);
    }
}

/// Two parties' side of the form.
struct ExpFactors {
    sigma: Slot,
    /// Shares of `2^-rl` mod `2^bits`, the top bit 0.
    rho: Slot,
    bits: u32,
    /// The mask `a` of `n` bits.
    mask: Slot,
    n: u32,
}

impl Factors for ExpFactors {
    fn shares(&self, making: &mut Making<'_>, width: u32) -> Vec<Option<Slot>> {
        let &Self { sigma, rho, bits, mask: a, n } = self;
        // rho a, below 2^(bits - 1 + n), is multiplied in a ring of one bit more; its own wrap is taken off.
        let ring = bits + n;
        let product = making.cross_times(rho, bits, a, ring);
        let by_wrap = making.wrap_times(rho, bits, a, ring - bits);
        let carry = making.carry(a, n);
        let by_carry = making.mux(carry, rho, ring - n);
        let product = making.sum(&[
            (product, 1),
            (by_wrap, (1u64 << bits).wrapping_neg()),
            (by_carry, (1u64 << n).wrapping_neg()),
        ]);
        let product = making.widen(product, ring, width);
        let by_a = making.times_sign(sigma, product, width);
        let wide = making.widen(rho, bits, width);
        let signed = making.times_sign(sigma, wide, width);
        let top = making.top_bit(a, n);
        let by_top = making.mux(top, signed, width.saturating_sub(n));
        let by_top = (width > n).then_some(by_top);
        vec![Some(signed), Some(making.sum(&[(by_a, u64::MAX)])), by_top]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[test]
    fn powers_of_two_within_the_bound() {
        let formats = [
            ExpFormat { span: 1, top: 2, head: 14 },
            ExpFormat { span: 1, top: 1, head: 14 },
            ExpFormat { span: 2, top: 2, head: 13 },
        ];
        for (i, format) in formats.into_iter().enumerate() {
            let mut bench = Bench::new(6 + i as u64);
            let mut t = Trace::new();
            let x = t.input(&[4000], 30, 10);
            // The window is [-62, 2).
            let c = t.open(x, 16, 62 << 10);
            let y = t.exp2_below(c, format);
            let scale = t.spec(y).scale;
            let y = t.lift(y, 58);
            let y = t.reveal(y, 58);
            let plan = t.finish(&[y]);
            assert_eq!(plan.online().flights, 3);
            let top = f64::from(format.top);
            let mut input: Vec<i64> =
                (0..4000).map(|_| ((top - bench.unit() * 22.0) * 1024.0) as i64 - 1).collect();
            input[0] = i64::from(format.top) * 1024 - 1;
            // Above the lowest piece, whose index is the top's after a borrow.
            input[1] = (i64::from(format.span) - 62) * 1024;
            let results = bench.run_sources(&plan, Vec::new(), std::slice::from_ref(&input));
            // Two parties round otherwise than the simulator.
            results[0].check_exact();
            for (result, relative) in results.iter().zip([3.5e-4, 1e-3]) {
                let head = f64::from(format.head);
                let bound = (-head).exp2() + (f64::from(format.span) - head - 1.0).exp2();
                for (&x, &y) in input.iter().zip(&result.outputs[0]) {
                    let x = x as f64 / 1024.0;
                    let error = (y as f64 / f64::from(scale).exp2() - x.exp2()).abs();
                    assert!(error <= relative * x.exp2() + bound, "{format:?}, 2^{x}: {error}");
                }
            }
        }
    }

    #[test]
    fn fractions_are_those_of_the_definition() {
        for span in [1, 2] {
            let gate = Exp {
                format: ExpFormat { span, top: 2, head: 13 },
                window: Window::positive(16, 10),
                k: 6,
                width: 20,
                tables: Late::default(),
                output: Spec::share(&[1], 16, 26),
            };
            for low in 0..1u64 << gate.lo() {
                for sign in [1.0, -1.0] {
                    let truth = (sign * low as f64 / 1024.0).exp2() * 8192.0;
                    let error = (gate.fractions().at(low, sign, 13) as f64 - truth).abs();
                    assert!(error <= 0.51, "2^({sign} {low} / 1024): {error} units");
                }
            }
        }
    }
}
