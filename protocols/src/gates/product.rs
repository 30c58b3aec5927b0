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
    drawn::{CHUNK, Map, Packed, View},
    gate::{Draw, Gate, Work},
    party::{Run, Value},
    plan::Trace,
    simulate::Simulation,
    spec::{Spec, Term, Wire},
};

use super::form::{add, add_product, knowns, publics, terms};

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
        dealt.map(|(_, _, count)| Draw::Value { count, width }).collect()
    }

    fn work(&self) -> Work {
        Work::online((self.pairs().len() * self.x.count()) as u64)
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let kx = knowns(&self.x, self.width, dealing.input(0));
        let ky = knowns(&self.y, self.width, dealing.input(1));
        let dealt = self.pairs().into_iter().filter(|p| p.2 > 0);
        let mut buffer = [0; CHUNK];
        for (draw, (i, j, _)) in dealt.enumerate() {
            match (kx[i], ky[j]) {
                (Some(d), None) => dealing.give_with(draw, |at, out| d.load(at, out)),
                (None, Some(e)) => dealing.give_with(draw, |at, out| e.load(at, out)),
                (Some(d), Some(e)) => dealing.give_with(draw, |at, out| {
                    let e_words = &mut buffer[..out.len()];
                    broadcast(e, self.row, at, e_words);
                    d.load(at, out);
                    multiply(out, e_words);
                }),
                (None, None) => unreachable!("such pairs deal nothing"),
            }
        }
        dealing.output(Known::Nothing);
    }

    fn run(&self, _: usize, run: &mut Run<'_>) {
        let px = publics(&self.x, self.width, run.value(0));
        let py = publics(&self.y, self.width, run.value(1));
        let (rows, row, count) = (self.y.count(), self.row, self.output.count());
        // out[r][c] = sum over i of P_i[r][c] sum over j of Q_j[r] [D_i E_j][r][c]. Where D_i = 1, the inner
        // sum is the same for a whole row and is done once.
        let mut draw = 0;
        let tx = terms(&self.x, self.width);
        let mut by_row: Vec<Option<Vec<u64>>> = vec![None; px.len()];
        let mut by_element: Vec<Vec<Packed<'_>>> = vec![Vec::new(); px.len()];
        for (i, j, dealt) in self.pairs() {
            let words = (dealt > 0).then(|| run.packed(draw));
            draw += usize::from(dealt > 0);
            match words {
                Some(words) if tx[i].known => by_element[i].push(words),
                words => {
                    let sum = by_row[i].get_or_insert_with(|| vec![0; rows]);
                    let one = u64::from(run.is_server());
                    let words = words.map_or_else(|| vec![one; rows], |w| w.to_words());
                    match py[j] {
                        Some(q) => add_product(sum, &q.to_words(), &words),
                        None => add(sum, &words),
                    }
                }
            }
        }
        let mut out = Vec::with_capacity(count);
        let mut factors = vec![[0; CHUNK]; py.len()];
        let (mut total, mut inner, mut buffer) = ([0; CHUNK], [0; CHUNK], [0; CHUNK]);
        for at in (0..count).step_by(CHUNK) {
            let len = CHUNK.min(count - at);
            let (total, inner, buffer) = (&mut total[..len], &mut inner[..len], &mut buffer[..len]);
            for (factor, q) in factors.iter_mut().zip(&py) {
                if let Some(q) = q {
                    broadcast(*q, row, at, &mut factor[..len]);
                }
            }
            total.fill(0);
            for ((p, by_row), by_element) in px.iter().zip(&by_row).zip(&by_element) {
                inner.fill(0);
                if let Some(words) = by_row {
                    broadcast(View { words, map: Map::Same }, row, at, inner);
                }
                for ((words, factor), q) in by_element.iter().zip(&factors).zip(&py) {
                    words.unpack(at, buffer);
                    match q {
                        Some(_) => add_product(inner, factor, buffer),
                        None => add(inner, buffer),
                    }
                }
                match p {
                    Some(p) => {
                        p.load(at, buffer);
                        add_product(total, buffer, inner);
                    }
                    None => add(total, inner),
                }
            }
            out.extend_from_slice(total);
        }
        run.output(Value::Share(out));
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        let out = (sim.inputs[0].chunks_exact(self.row).zip(sim.inputs[1]))
            .flat_map(|(x, &y)| x.iter().map(move |&x| x.wrapping_mul(y)));
        let out = out.collect();
        sim.output(out);
    }
}

/// One factor a row, for the elements from `at` on.
fn broadcast(factor: View<'_>, row: usize, at: usize, out: &mut [u64]) {
    if row == 1 {
        return factor.load(at, out);
    }
    let (mut r, mut rest) = (at / row, out);
    let mut left = row - at % row;
    while !rest.is_empty() {
        let (head, tail) = rest.split_at_mut(left.min(rest.len()));
        let mut one = [0];
        factor.load(r, &mut one);
        head.fill(one[0]);
        (r, rest, left) = (r + 1, tail, row);
    }
}

fn multiply(out: &mut [u64], by: &[u64]) {
    for (o, b) in out.iter_mut().zip(by) {
        *o = o.wrapping_mul(*b);
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
