//! Product of two opened values or forms: `x y`, `y` broadcast over the rows of `x`.
//!
//! Shapes: `x` is `(.., d)`, `y` is `(..)` (one factor a row) or the shape of `x` (`d = 1`).
//! Scale: the sum of both. Error: none mod `2^width`.
//!
//! Every pair of terms `P_i D_i` of `x` and `Q_j E_j` of `y` contributes `P_i Q_j [D_i E_j]`: the dealer
//! knows `D_i E_j` and deals shares of it. Uses: normalising a row (layer norm, softmax),
//! selecting by a bit (ReLU). Cost: no flight; `width` bits of correction for each element and pair with
//! a dealer-known factor of `x`, for each row and pair with one of `y` alone. Security: nothing
//! is sent. Source: the products of masks are Beaver triples whose factors are reused across the
//! public factors; PROTOCOLS 1.11.

use crate::{
    deal::{Dealing, Known},
    gate::{Draw, Gate, Work},
    party::{Run, Value},
    plan::Trace,
    simulate::Simulation,
    spec::{Spec, Term, Wire},
};

use super::form::{knowns, publics, terms};

#[derive(Debug)]
struct Product {
    row: usize,
    width: u32,
    x: Spec,
    y: Spec,
    output: Spec,
}

impl Trace {
    /// `x y` as a share in the ring `2^width`.
    pub fn product(&mut self, x: Wire, y: Wire, width: u32) -> Wire {
        let (sx, sy) = (self.spec(x).clone(), self.spec(y).clone());
        let fits = sx.shape == sy.shape || sx.shape[..sx.shape.len() - 1] == sy.shape;
        assert!(fits, "product of {:?} and {:?}", sx.shape, sy.shape);
        let gate = Product {
            row: sx.count() / sy.count(),
            width,
            output: Spec::share(&sx.shape, width, sx.scale + sy.scale),
            x: sx,
            y: sy,
        };
        self.add(gate, &[x, y])
    }
}

impl Product {
    /// Pairs of terms, with the number of dealt elements (0: nothing is dealt).
    fn pairs(&self) -> Vec<(usize, usize, usize)> {
        let (tx, ty) = (terms(&self.x, self.width), terms(&self.y, self.width));
        let count = |x: Term, y: Term| match (x.known, y.known) {
            (true, _) => self.x.count(),
            (false, true) => self.y.count(),
            (false, false) => 0,
        };
        (tx.iter().enumerate())
            .flat_map(|(i, &x)| {
                let pair = move |(j, &y): (usize, &Term)| (i, j, count(x, y));
                ty.iter().enumerate().map(pair).collect::<Vec<_>>()
            })
            .collect()
    }
}

impl Gate for Product {
    fn name(&self) -> &'static str {
        "product"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![self.output.clone()]
    }

    fn draws(&self) -> Vec<Draw> {
        let width = self.width;
        let dealt = self.pairs().into_iter().filter(|p| p.2 > 0);
        dealt
            .map(|(_, _, count)| Draw::Value { count, width })
            .collect()
    }

    fn work(&self) -> Work {
        Work::online((self.pairs().len() * self.x.count()) as u64)
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let kx = knowns(&self.x, self.width, dealing.input(0));
        let ky = knowns(&self.y, self.width, dealing.input(1));
        let dealt = self.pairs().into_iter().filter(|p| p.2 > 0);
        for (draw, (i, j, _)) in dealt.enumerate() {
            let values = match (&kx[i], &ky[j]) {
                (Some(d), None) => d.clone(),
                (None, Some(e)) => e.clone(),
                (Some(d), Some(e)) => (d.chunks_exact(self.row).zip(e))
                    .flat_map(|(d, &e)| d.iter().map(move |d| d.wrapping_mul(e)))
                    .collect(),
                (None, None) => unreachable!("such pairs deal nothing"),
            };
            dealing.give(draw, values);
        }
        dealing.output(Known::Nothing);
    }

    fn run(&self, _: usize, run: &mut Run<'_>) {
        let px = publics(&self.x, self.width, run.value(0));
        let py = publics(&self.y, self.width, run.value(1));
        let (rows, row) = (self.y.count(), self.row);
        let ones = vec![1; rows];
        let server = u64::from(run.is_server());
        let mut out = vec![0u64; self.output.count()];
        let mut draw = 0;
        // out[r][c] = sum over i of P_i[r][c] sum over j of Q_j[r] [D_i E_j][r][c].
        let mut inner = vec![0u64; self.output.count()];
        let mut current = 0;
        for (i, j, dealt) in self.pairs() {
            if i != current {
                fold(&mut out, &mut inner, &px[current]);
                current = i;
            }
            let q = py[j].as_ref().unwrap_or(&ones);
            let lines = inner.chunks_exact_mut(row).zip(q).enumerate();
            if dealt == 0 {
                for (line, &q) in lines.map(|(_, l)| l) {
                    for o in line {
                        *o = o.wrapping_add(q * server);
                    }
                }
                continue;
            }
            let words = run.words(draw);
            draw += 1;
            for (r, (line, &q)) in lines {
                if dealt == rows && row > 1 {
                    let w = words[r].wrapping_mul(q);
                    line.iter_mut().for_each(|o| *o = o.wrapping_add(w));
                } else {
                    let words = &words[r * row..(r + 1) * row];
                    for (o, w) in line.iter_mut().zip(words) {
                        *o = o.wrapping_add(w.wrapping_mul(q));
                    }
                }
            }
        }
        fold(&mut out, &mut inner, &px[current]);
        run.output(Value::Share(out));
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        let out = (sim.inputs[0].chunks_exact(self.row).zip(sim.inputs[1]))
            .flat_map(|(x, &y)| x.iter().map(move |&x| x.wrapping_mul(y)));
        let out = out.collect();
        sim.output(out);
    }
}

/// `out += public inner` (or `inner` where there is no factor), and clears `inner`.
fn fold(out: &mut [u64], inner: &mut [u64], public: &Option<Vec<u64>>) {
    match public {
        Some(p) => {
            for ((o, w), p) in out.iter_mut().zip(inner).zip(p) {
                *o = o.wrapping_add(w.wrapping_mul(*p));
                *w = 0;
            }
        }
        None => {
            for (o, w) in out.iter_mut().zip(inner) {
                *o = o.wrapping_add(*w);
                *w = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{plan::Trace, testing::Bench};

    #[test]
    fn exact_by_rows_and_by_elements() {
        for by_row in [true, false] {
            let mut bench = Bench::new(12);
            let mut t = Trace::new();
            let x = t.input(&[40, 9], 40, 4);
            let y_shape: &[usize] = if by_row { &[40] } else { &[40, 9] };
            let y = t.input(y_shape, 64, 7);
            let x = t.open_signed(x, 20);
            let y = t.open(y, 50, 0);
            let z = t.product(x, y, 50);
            let z = t.reveal(z, 50);
            let plan = t.finish(&[z]);
            let y_count = y_shape.iter().product();
            let inputs = [bench.signed(360, 19), bench.signed(y_count, 25)];
            let result = bench.run_shared(&plan, Vec::new(), &inputs);
            result.check_exact();
            assert_eq!(plan.online().flights, 2);
        }
    }
}
