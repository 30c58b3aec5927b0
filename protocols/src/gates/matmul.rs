//! Product of two shared matrices, both opened at the product's ring width (Beaver).
//!
//! Shapes: `(.., m, k) x (.., k, n)`, or `(.., n, k)` for the second when transposed; the leading
//! axes are a batch. Scale: the sum of both. Error: none mod `2^width`.
//!
//! With `a^ = a + r`, `b^ = b + q` open, `a b = a^ b^ - a^ q - r b^ + r q`; each party adds its part
//! of `-a^ q - r b^`, the server `a^ b^`, and the dealer deals shares of `r q`. One mask per
//! tensor serves every product that reads the tensor.
//!
//! Cost: no flight of its own; `width` bits of correction an output element; two products at each
//! party online, one at the dealer. Without a
//! dealer the shares are a few units of the last place off ([`sotto_lattice::Triple`]). Security: nothing is sent here. PROTOCOLS 1.5; Beaver, CRYPTO 1991.

use sotto_lattice::{Sizes, Triple};
use sotto_ring::gemm::{Mat, gemm};

use crate::{
    deal::{Dealing, Known},
    encode,
    gate::{Draw, Gate, Work},
    making::{Held, Making},
    party::{Run, Value},
    plan::Trace,
    simulate::Simulation,
    spec::{Spec, Wire},
};

#[derive(Debug)]
struct Matmul {
    batch: usize,
    m: usize,
    k: usize,
    n: usize,
    transposed: bool,
    width: u32,
    output: Spec,
}

encode!(Matmul { batch, m, k, n, transposed, width, output });

impl Trace {
    /// `a b`, or `a b^T` when `transposed`; both opened without offset at one width.
    pub fn matmul(&mut self, a: Wire, b: Wire, transposed: bool) -> Wire {
        let (sa, sb) = (self.spec(a).clone(), self.spec(b).clone());
        let (width, oa) = sa.opened();
        assert_eq!((width, 0), sb.opened(), "widths and offsets of a product");
        assert_eq!(oa, 0, "a product needs openings without offset");
        let axes = sa.shape.len();
        assert!(axes >= 2 && sb.shape.len() == axes, "axes of a product");
        let (m, k) = (sa.shape[axes - 2], sa.shape[axes - 1]);
        let (kb, n) = match transposed {
            false => (sb.shape[axes - 2], sb.shape[axes - 1]),
            true => (sb.shape[axes - 1], sb.shape[axes - 2]),
        };
        assert_eq!(k, kb, "matmul of {:?} and {:?}", sa.shape, sb.shape);
        let lead = &sa.shape[..axes - 2];
        assert_eq!(lead, &sb.shape[..axes - 2], "batch axes of a product");
        let mut shape = lead.to_vec();
        shape.extend([m, n]);
        let gate = Matmul {
            batch: lead.iter().product(),
            m,
            k,
            n,
            transposed,
            width,
            output: Spec::share(&shape, width, sa.scale + sb.scale),
        };
        self.add(gate, &[a, b])
    }
}

impl Matmul {
    /// `acc += a b` for the whole batch.
    fn product(&self, a: &[u64], b: &[u64], acc: &mut [u64]) {
        let (m, k, n) = (self.m, self.k, self.n);
        let batches =
            (a.chunks_exact(m * k).zip(b.chunks_exact(k * n))).zip(acc.chunks_exact_mut(m * n));
        for ((a, b), c) in batches {
            let b = match self.transposed {
                false => Mat::rows(b, n),
                true => Mat::rows(b, k).t(),
            };
            gemm(self.width, m, k, n, Mat::rows(a, k), b, c);
        }
    }

    /// The products as two parties make them without a dealer.
    fn triple(&self) -> Triple {
        let Self { batch, m, k, n, transposed, width, .. } = *self;
        Triple::new(Sizes { batch, m, k, n, transposed }, width)
    }

    fn macs(&self) -> u64 {
        (self.batch * self.m * self.k * self.n) as u64
    }
}

impl Gate for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![self.output.clone()]
    }

    fn draws(&self) -> Vec<Draw> {
        vec![Draw::Value { count: self.output.count(), width: self.width }]
    }

    fn work(&self) -> Work {
        Work { dealer: self.macs(), ..Work::online(2 * self.macs()) }
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let mut c = vec![0; self.output.count()];
        self.product(dealing.input_mask(0), dealing.input_mask(1), &mut c);
        dealing.give(0, &c);
        dealing.output(Known::Nothing);
    }

    fn make(&self, making: &mut Making<'_>) {
        making.products(0, self.triple());
        making.output(Held::Nothing);
    }

    fn run(&self, _: usize, run: &mut Run<'_>) {
        let mut out = run.take_words(0);
        let (a, b) = (run.public(0), run.public(1));
        // Server: a^ (b^ - q0); client: a^ (-q1); both: - r_p b^.
        let server = u64::from(run.is_server()).wrapping_neg();
        let mut right = run.own_mask(1, self.width).to_words();
        for (q, b) in right.iter_mut().zip(b) {
            *q = (b & server).wrapping_sub(*q);
        }
        self.product(a, &right, &mut out);
        let mut left = run.own_mask(0, self.width).to_words();
        left.iter_mut().for_each(|r| *r = r.wrapping_neg());
        self.product(&left, b, &mut out);
        run.output(Value::Share(out));
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        let words = |v: &[i64]| v.iter().map(|&x| x as u64).collect::<Vec<_>>();
        let mut out = vec![0; self.output.count()];
        self.product(&words(sim.inputs[0]), &words(sim.inputs[1]), &mut out);
        sim.output(out.into_iter().map(|x| x as i64).collect());
    }
}

#[cfg(test)]
mod tests {
    use crate::{plan::Trace, testing::Bench};

    #[test]
    fn exact_with_batches_and_transposes() {
        for (transposed, width) in [(false, 32), (true, 40), (true, 64)] {
            let mut bench = Bench::new(9);
            let mut t = Trace::new();
            let a = t.input(&[2, 3, 5, 4], 64, 6);
            let b_shape = if transposed { [2, 3, 7, 4] } else { [2, 3, 4, 7] };
            let b = t.input(&b_shape, 64, 5);
            let a = t.open(a, width, 0);
            let b = t.open(b, width, 0);
            let c = t.matmul(a, b, transposed);
            let c = t.reveal(c, width);
            let plan = t.finish(&[c]);
            let inputs = [bench.signed(120, 13), bench.signed(168, 13)];
            for result in bench.run_sources(&plan, Vec::new(), &inputs) {
                result.check_exact();
                assert_eq!(plan.online().flights, 2, "both operands open in one flight");
            }
        }
    }
}
