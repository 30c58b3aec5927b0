//! Truncate-reduce: `x / 2^shift` on shares in the smaller ring `2^(width - shift)`.
//!
//! Error: the result is `floor(x / 2^shift)` or one more, unbiased: each party shifts its share, the
//! server after adding `2^shift` (without which the mean would be one unit low). The wrap mod
//! `2^width` disappears because the ring shrank with the value, so there is no catastrophic
//! case, unlike local truncation in one ring (SecureML). Cost: none. PROTOCOLS 1.1.
//!
//! Security: nothing is sent. The rounding coin is a function of one party's share, so what is realised is
//! stochastic rounding with a coin known to that party (Li et al., USENIX Security 2023, on why it
//! is not plain Bernoulli rounding).

use sotto_ring::mask;

use crate::{
    deal::{Dealing, Known},
    encode,
    gate::Gate,
    making::{Held, Making},
    party::{Run, Value},
    plan::Trace,
    simulate::Simulation,
    spec::{Spec, Wire},
};

#[derive(Debug)]
struct Truncate {
    width: u32,
    shift: u32,
    output: Spec,
}

encode!(Truncate { width, shift, output });

impl Trace {
    /// Drops fractional bits until `scale` are left; the ring shrinks by as many bits.
    pub fn truncate_to(&mut self, x: Wire, scale: u32) -> Wire {
        let spec = self.spec(x).clone();
        assert!(spec.scale >= scale, "scale {} to {scale}", spec.scale);
        let (width, shift) = (spec.share_width(), spec.scale - scale);
        if shift == 0 {
            return x;
        }
        let output = Spec::share(&spec.shape, width - shift, scale);
        self.add(Truncate { width, shift, output }, &[x])
    }
}

impl Gate for Truncate {
    fn name(&self) -> &'static str {
        "truncate"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![self.output.clone()]
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        dealing.output(Known::Nothing);
    }

    fn make(&self, making: &mut Making<'_>) {
        making.output(Held::Nothing);
    }

    fn run(&self, _: usize, run: &mut Run<'_>) {
        let m = mask(self.width);
        let up = if run.is_server() { 1u64 << self.shift } else { 0 };
        let words = run.share(0).iter();
        let out = words.map(|&x| (x.wrapping_add(up) & m) >> self.shift);
        run.output(Value::Share(out.collect()));
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        let out = (sim.inputs[0].iter()).map(|&x| sim.coins.round(x, self.shift));
        let out = out.collect();
        sim.output(out);
    }
}

#[cfg(test)]
mod tests {
    use crate::{plan::Trace, testing::Bench};

    #[test]
    fn floor_or_one_more_and_unbiased() {
        let (width, shift, count) = (40, 9, 20_000);
        let mut bench = Bench::new(3);
        let mut t = Trace::new();
        let x = t.input(&[count], width, 20);
        let y = t.truncate_to(x, 20 - shift);
        let y = t.reveal(y, width - shift);
        let plan = t.finish(&[y]);
        let input = bench.signed(count, width - 2);
        let result = bench.run_shared(&plan, Vec::new(), std::slice::from_ref(&input));
        result.check_exact();
        let bias: f64 = (result.outputs[0].iter().zip(&input))
            .map(|(&y, &x)| y as f64 - x as f64 / f64::from(1 << shift))
            .sum::<f64>()
            / count as f64;
        assert!(bias.abs() < 0.02, "mean error {bias} units");
    }
}
