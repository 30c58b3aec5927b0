//! One-sided linear layer: `y = x W^T + bias`, the weights private to the server.
//!
//! Shapes: `x` is `(.., inputs)`, `W` is `outputs x inputs`, `y` is `(.., outputs)`.
//! Scale: the product's, `scale(x) + scale(W)`; nothing is rounded.
//! Error: none mod `2^width`; the result must fit the ring (calibration).
//!
//! Setup, once per model: the client has `W^ = W - B`. Per evaluation the dealer knows the client's
//! mask `A` and deals shares of `C = A B^T`. Offline the client computes `D = A W^^T + C_1`.
//! Online it sends `x_1 - A`; the server outputs `W (x_0 + x_1 - A) + C_0 + bias`, the client `D`:
//! the sum is `W(x - A) + A(W - B) + A B + bias = W x + bias`.
//!
//! Without a dealer there is no `W^` and no `B`: the client multiplies `A` with the encrypted `W` when the batch is made, and
//! both hold shares of `A W^T`, a few units of the last place off ([`sotto_lattice::Layer`]).
//!
//! Cost: one flight to the server, `width` bits an input element; `width` bits of correction an
//! output element; one product each at dealer and client (offline) and server (online).
//!
//! Security: the server sees `x - A` with `A` uniform mod `2^width` and fresh; the client sees
//! `W^`, uniform because `B` is. `A` must never be used twice, `B` only for the same `W`.
//!
//! Source: PROTOCOLS 1.4 (asymmetric Beaver triples with a reusable weight mask, as in SPU's
//! beaver cache and Delphi).

use sotto_lattice::Layer;
use sotto_ring::gemm::{Mat, gemm};

use crate::{
    deal::{Dealing, Known},
    encode,
    gate::{Draw, Exchange, Gate, To, Work},
    making::{Held, Making},
    party::{Prepare, Run, Value},
    plan::Trace,
    simulate::Simulation,
    spec::{Role, Spec, Wire},
    weights::Packed,
};

/// See the module.
#[derive(Debug)]
struct Linear {
    weight: usize,
    inputs: usize,
    outputs: usize,
    rows: usize,
    bias_rows: usize,
    width: u32,
    output: Spec,
}

encode!(Linear { weight, inputs, outputs, rows, bias_rows, width, output });

impl Trace {
    /// `x W^T + bias` with matrix `weight` of the server; `bias_rows` rows of bias repeat over the
    /// rows of `x`.
    pub fn linear(&mut self, x: Wire, weight: usize, bias_rows: usize) -> Wire {
        let (spec, w) = (self.spec(x).clone(), self.weight_spec(weight).clone());
        assert!(
            spec.share_width() >= w.width,
            "{}: input ring of {} bits is narrower than the weight's {}",
            w.name,
            spec.share_width(),
            w.width
        );
        let mut shape = spec.shape.clone();
        let last = shape.last_mut().expect("an input has a last axis");
        assert_eq!(*last, w.inputs, "{}: input features", w.name);
        *last = w.outputs;
        let rows = spec.count() / w.inputs;
        assert_eq!(rows % bias_rows, 0, "{}: rows of bias", w.name);
        let gate = Linear {
            weight,
            inputs: w.inputs,
            outputs: w.outputs,
            rows,
            bias_rows,
            width: w.width,
            output: Spec::share(&shape, w.width, spec.scale + w.scale),
        };
        self.add(gate, &[x])
    }
}

impl Linear {
    /// The layer as two parties make it without a dealer.
    fn layer(&self) -> Layer {
        Layer::new(self.rows, self.inputs, self.outputs, self.width)
    }

    /// `acc += a W^T`.
    fn product(&self, a: &[u64], w: Packed<'_>, acc: &mut [u64]) {
        gemm(self.width, self.rows, self.inputs, self.outputs, Mat::rows(a, self.inputs), w, acc);
    }
}

impl Gate for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![self.output.clone()]
    }

    fn draws(&self) -> Vec<Draw> {
        let (width, count) = (self.width, self.rows * self.inputs);
        vec![
            Draw::ClientMask { count, width },
            Draw::Value { count: self.rows * self.outputs, width },
        ]
    }

    fn rounds(&self) -> Vec<Vec<Exchange>> {
        vec![vec![Exchange { count: self.rows * self.inputs, width: self.width, to: To::Server }]]
    }

    fn work(&self) -> Work {
        let macs = (self.rows * self.inputs * self.outputs) as u64;
        Work { dealer: macs, offline: [0, macs], online: [macs, 0] }
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let a = dealing.mask(0);
        let mut c = vec![0; self.rows * self.outputs];
        self.product(&a, dealing.weight_mask(self.weight), &mut c);
        dealing.give(1, &c);
        dealing.output(Known::Nothing);
    }

    fn make(&self, making: &mut Making<'_>) {
        making.layer([0, 1], self.layer(), self.weight);
        making.output(Held::Nothing);
    }

    fn prepare(&self, ctx: &mut Prepare<'_>) {
        if ctx.role == Role::Client
            && let Some(masked) = ctx.weights.masked(self.weight)
        {
            let (a, mut d) = (ctx.words(0), ctx.words(1));
            self.product(&a, masked, &mut d);
            ctx.replace(1, d);
        }
    }

    fn run(&self, round: usize, run: &mut Run<'_>) {
        if round == 0 {
            let words = run.share(0).to_vec();
            return run.open_to_server(words, 0);
        }
        let mut out = run.take_words(1);
        if run.is_server() {
            let x = run.opened(0);
            let w = run.weights().plain(self.weight);
            self.product(&x, w.entries(), &mut out);
            let bias = w.bias.chunks_exact(self.outputs).cycle();
            for (row, bias) in out.chunks_exact_mut(self.outputs).zip(bias) {
                for (y, &b) in row.iter_mut().zip(bias) {
                    *y = y.wrapping_add(b as u64);
                }
            }
        }
        run.output(Value::Share(out));
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        let w = &sim.weights[self.weight];
        assert_eq!(w.bias.len(), self.bias_rows * self.outputs, "rows of bias");
        let x: Vec<u64> = sim.inputs[0].iter().map(|&x| x as u64).collect();
        let mut y = vec![0; self.rows * self.outputs];
        self.product(&x, w.entries(), &mut y);
        let bias = w.bias.iter().cycle();
        let out = y.iter().zip(bias).map(|(&y, &b)| (y as i64).wrapping_add(b));
        sim.output(out.collect());
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        plan::{Trace, WeightSpec},
        testing::Bench,
        weights::Matrix,
    };

    #[test]
    fn exact_at_several_widths_and_bias_rows() {
        for (width, bias_rows) in [(20, 1), (34, 3), (50, 1), (64, 3)] {
            let mut bench = Bench::new(width as u64);
            let mut t = Trace::new();
            let x = t.input(&[6, 5], width, 8);
            let weight =
                t.weight(WeightSpec { name: "w".into(), outputs: 7, inputs: 5, width, scale: 4 });
            let y = t.linear(x, weight, bias_rows);
            let y = t.reveal(y, width);
            let plan = t.finish(&[y]);
            let entries: Vec<u64> = bench.signed(35, 6).iter().map(|&x| x as u64).collect();
            let w = Matrix::new(entries, bench.signed(7 * bias_rows, 10));
            let input = bench.signed(30, 9);
            let result = bench.run(&plan, vec![w], &[input]);
            result.check_exact();
        }
    }
}
