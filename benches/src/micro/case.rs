//! What one micro-benchmark measures: a function of shared inputs, its inputs and its true values.

use sotto_crypto::{Seed, Stream};
use sotto_protocols::{
    Wire,
    plan::{Plan, Trace},
    weights::Matrix,
};

/// Traces the function; the inputs first, in their order.
type Build = Box<dyn Fn(&mut Trace) -> Wire>;

/// One function with inputs of the peers' benchmark.
pub struct Case {
    build: Build,
    /// Real inputs; their scale is the traced wire's.
    pub inputs: Vec<Vec<f64>>,
    /// The server's matrices.
    pub matrices: Vec<Matrix>,
    /// The function of the real inputs, before any rounding.
    pub truth: Vec<f64>,
}

impl Case {
    /// A function without weights.
    pub fn new(
        inputs: Vec<Vec<f64>>,
        truth: Vec<f64>,
        build: impl Fn(&mut Trace) -> Wire + 'static,
    ) -> Self {
        Self { build: Box::new(build), inputs, matrices: Vec::new(), truth }
    }

    /// The function alone, as it is timed: its result stays shared.
    pub fn plan(&self) -> Plan {
        let mut t = Trace::new();
        (self.build)(&mut t);
        t.finish(&[])
    }

    /// The function and the revealing of its result, with the result's scale: to check what is timed.
    pub fn revealed(&self) -> (Plan, u32) {
        let mut t = Trace::new();
        let y = (self.build)(&mut t);
        let (width, scale) = (t.spec(y).share_width(), t.spec(y).scale);
        let y = t.reveal(y, width);
        (t.finish(&[y]), scale)
    }

    /// Fresh uniform shares of the inputs: the server's, the client's.
    pub fn shares(&self, plan: &Plan) -> [Vec<Vec<i64>>; 2] {
        let mut stream = Seed::from_bytes([6; 32]).stream(0);
        let mut server: Vec<Vec<i64>> = Vec::new();
        let mut client = Vec::new();
        for (values, wire) in self.inputs.iter().zip(&plan.inputs) {
            let unit = f64::from(plan.wires[wire.index()].scale).exp2();
            let masks: Vec<i64> = values.iter().map(|_| stream.word() as i64).collect();
            let fixed = values.iter().map(|x| (x * unit).round() as i64);
            client.push(fixed.zip(&masks).map(|(x, m)| x.wrapping_sub(*m)).collect());
            server.push(masks);
        }
        [server, client]
    }

    /// Largest absolute error of a revealed result.
    pub fn error(&self, output: &[i64], scale: u32) -> f64 {
        assert_eq!(output.len(), self.truth.len(), "one result for each true value");
        let unit = f64::from(scale).exp2();
        let errors = self.truth.iter().zip(output).map(|(t, &y)| (t - y as f64 / unit).abs());
        errors.fold(0.0, f64::max)
    }
}

/// Reproducible random numbers.
pub struct Draws(Stream);

impl Draws {
    /// The numbers number `number`.
    pub fn new(number: u64) -> Self {
        Self(Seed::from_bytes([8; 32]).stream(number))
    }

    /// `count` normal numbers with this deviation.
    pub fn normal(&mut self, count: usize, deviation: f64) -> Vec<f64> {
        let mut one = || {
            let (u, v) = (1.0 - self.0.unit(), self.0.unit());
            deviation * (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
        };
        (0..count).map(|_| one()).collect()
    }

    /// `count` uniform numbers in `[low, high)`.
    pub fn uniform(&mut self, count: usize, low: f64, high: f64) -> Vec<f64> {
        (0..count).map(|_| low + (high - low) * self.0.unit()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::Local;

    #[test]
    fn shares_sum_to_the_input_and_errors_are_against_the_truth() {
        let case = Case::new(vec![vec![1.5, -2.25]], vec![1.5, -2.0], |t| t.input(&[2], 64, 4));
        let plan = case.plan();
        assert_eq!(plan.online().flights, 0, "the result stays shared");
        let [server, client] = case.shares(&plan);
        let sums = server[0].iter().zip(&client[0]).map(|(a, b)| a.wrapping_add(*b));
        assert_eq!(sums.collect::<Vec<_>>(), [24, -36]);
        let (plan, scale) = case.revealed();
        let local = Local::new(&plan, Vec::new()).expect("no weights");
        let done = local.evaluate(0, &case.shares(&plan)).expect("local");
        assert_eq!(case.error(&done.outputs[0], scale), 0.25);
    }

    #[test]
    fn draws_have_their_distribution() {
        let mut draws = Draws::new(1);
        let normal = draws.normal(20_000, 3.0);
        let variance = normal.iter().map(|x| x * x).sum::<f64>() / 20_000.0;
        assert!((variance - 9.0).abs() < 0.5, "{variance}");
        let uniform = draws.uniform(20_000, -8.0, 2.0);
        assert!(uniform.iter().all(|x| (-8.0..2.0).contains(x)));
        let mean = uniform.iter().sum::<f64>() / 20_000.0;
        assert!((mean + 3.0).abs() < 0.1, "{mean}");
    }
}
