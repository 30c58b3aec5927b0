//! Product of two opened values or forms: `x y`, `y` broadcast over the rows of `x`.
//!
//! Shapes: `x` is `(.., d)`, `y` is `(..)` (one factor a row) or the shape of `x` (`d = 1`).
//! Scale: the sum of both. Error: none mod `2^width`.
//!
//! Every pair of terms `P_i D_i` of `x` and `Q_j E_j` of `y` contributes `P_i Q_j [D_i E_j]`: the dealer
//! knows `D_i E_j` and deals shares of it. Uses: normalising a row (layer norm, softmax),
//! selecting by a bit (ReLU). Cost: no flight; `width` bits of correction, less those by which a wrap's factor
//! is shifted ([`super::form`]), for each element and pair with a dealer-known factor of `x`, for each row
//! and pair with one of `y` alone. Security: nothing is sent. Source: the products of masks are Beaver triples whose factors are reused across the
//! public factors; PROTOCOLS 1.11.

use sotto_ring::lanes::{add, add_product, multiply};

use crate::{
    deal::{Dealing, Known},
    drawn::{CHUNK, Map, Packed, View},
    encode,
    gate::{Draw, Gate, Work},
    making::{Held, Making, Slot, Special},
    party::{Run, Value},
    plan::Trace,
    simulate::Simulation,
    spec::{Spec, Term, Wire},
};

use super::form::{divide, knowns, publics, shares, terms};

#[derive(Debug)]
struct Product {
    row: usize,
    width: u32,
    x: Spec,
    y: Spec,
    output: Spec,
}

encode!(Product { row, width, x, y, output });

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

/// A pair of terms, one of `x` and one of `y`.
#[derive(Clone, Copy)]
struct Pair {
    x: usize,
    y: usize,
    /// Dealt elements; 0 where nothing is dealt.
    count: usize,
    /// The dealt product is a multiple of `2^shift`.
    shift: u32,
}

impl Product {
    /// The pairs that are not zero mod `2^width`.
    fn pairs(&self) -> Vec<Pair> {
        let (tx, ty) = (terms(&self.x, self.width), terms(&self.y, self.width));
        let pair = |(x, dx): (usize, &Term), (y, dy): (usize, &Term)| Pair {
            x,
            y,
            count: match (dx.known, dy.known) {
                (true, _) => self.x.count(),
                (false, true) => self.y.count(),
                (false, false) => 0,
            },
            shift: dx.shift + dy.shift,
        };
        let all = (tx.iter().enumerate())
            .flat_map(|x| ty.iter().enumerate().map(move |y| (x, y)))
            .map(|(x, y)| pair(x, y));
        all.filter(|p| p.shift < self.width).collect()
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
        let dealt = self.pairs().into_iter().filter(|p| p.count > 0);
        dealt.map(|p| Draw::Value { count: p.count, width: width - p.shift }).collect()
    }

    fn work(&self) -> Work {
        Work::online((self.pairs().len() * self.x.count()) as u64)
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let kx = knowns(&self.x, self.width, dealing.input(0));
        let ky = knowns(&self.y, self.width, dealing.input(1));
        let dealt = self.pairs().into_iter().filter(|p| p.count > 0);
        let mut buffer = [0; CHUNK];
        for (draw, pair) in dealt.enumerate() {
            dealing.give_with(draw, |at, out| {
                match (kx[pair.x], ky[pair.y]) {
                    (Some(d), None) => d.load(at, out),
                    (None, Some(e)) => e.load(at, out),
                    (Some(d), Some(e)) => {
                        let e_words = &mut buffer[..out.len()];
                        broadcast(e, self.row, at, e_words);
                        d.load(at, out);
                        multiply(out, e_words);
                    }
                    (None, None) => unreachable!("such pairs deal nothing"),
                }
                divide(out, pair.shift);
            });
        }
        dealing.output(Known::Nothing);
    }

    fn make(&self, making: &mut Making<'_>) {
        let (held_x, held_y) = (making.input(0), making.input(1));
        let dealt = self.pairs().into_iter().filter(|p| p.count > 0);
        let (ty, of_y) = (terms(&self.y, self.width), shares(held_y, making, self.width));
        // A mask meets a form without being made shares of.
        let is_bit = |y| matches!(special(held_y, y), Special::Bit(_));
        let alone = |p: &Pair| !ty[p.y].known || is_bit(p.y);
        let of_x = match (held_x, dealt.clone().any(|p| alone(&p))) {
            (Held::Mask(..), false) => None,
            _ => Some(shares(held_x, making, self.width)),
        };
        let tx = terms(&self.x, self.width);
        for (draw, pair) in dealt.enumerate() {
            let width = self.width - pair.shift;
            let x = of_x.as_ref().and_then(|x| x[pair.x]);
            let y = of_y[pair.y];
            let share = match (tx[pair.x].known, ty[pair.y].known) {
                (true, false) => x,
                (false, _) => y,
                (true, true) => {
                    let factors = [(held_x, pair.x, x), (held_y, pair.y, y)];
                    self.times(making, draw, factors, width)
                }
            };
            match share {
                Some(share) => making.give(draw, share),
                None => making.refuse(),
            }
        }
        making.output(Held::Nothing);
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
        let mut by_element: Vec<Vec<(Packed<'_>, Pair)>> = vec![Vec::new(); px.len()];
        for pair in self.pairs() {
            let words = (pair.count > 0).then(|| run.packed(draw));
            draw += usize::from(pair.count > 0);
            match words {
                Some(words) if tx[pair.x].known => by_element[pair.x].push((words, pair)),
                words => {
                    let sum = by_row[pair.x].get_or_insert_with(|| vec![0; rows]);
                    let one = u64::from(run.is_server());
                    let words = words.map_or_else(|| vec![one; rows], |w| w.to_words());
                    match py[pair.y] {
                        Some(q) => add_product(sum, &q.to_words(), &words, pair.shift),
                        None => add(sum, &words, pair.shift),
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
                    broadcast(View::new(words, Map::Same), row, at, inner);
                }
                for (words, pair) in by_element {
                    words.unpack(at, buffer);
                    match py[pair.y] {
                        Some(_) => add_product(inner, &factors[pair.y][..len], buffer, pair.shift),
                        None => add(inner, buffer, pair.shift),
                    }
                }
                match p {
                    Some(p) => {
                        p.load(at, buffer);
                        add_product(total, buffer, inner, 0);
                    }
                    None => add(total, inner, 0),
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

/// What is special about the factor of a term.
fn special(held: &Held, term: usize) -> Special {
    match held {
        Held::Form(form) => form.kind(term),
        _ => Special::Other,
    }
}

impl Product {
    /// Two parties' shares mod `2^width`, for a draw, of the product of two factors, of each what is held, which term it is, and shares of it;
    /// none of two forms of which neither is bits.
    fn times(
        &self,
        making: &mut Making<'_>,
        draw: usize,
        [(held_x, term_x, x), (held_y, term_y, y)]: [(&Held, usize, Option<Slot>); 2],
        width: u32,
    ) -> Option<Slot> {
        let kind = special(held_y, term_y);
        if let Special::Bit(bit) = kind {
            return Some(making.mux(bit, x?, width));
        }
        if let (&Held::Mask(r, n), 1) = (held_x, term_x) {
            // The factor is minus the mask.
            let (product, factor) = match kind {
                Special::Sign(cut) => (cut.sign_mask(making, (r, n), width), u64::MAX),
                Special::MinusLow(cut) => (cut.sign_low_mask(making, (r, n), width), 1),
                _ => (making.mask_times_rows(draw, (r, n), (y?, self.row), width), u64::MAX),
            };
            return Some(making.sum(&[(product, factor)]));
        }
        let bit = match (held_x, special(held_x, term_x)) {
            (&Held::Mask(r, n), _) => making.top_bit(r, n),
            (_, Special::Bit(bit)) => bit,
            _ => return None,
        };
        let y = making.repeat(y?, self.row);
        Some(making.mux(bit, y, width))
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

#[cfg(test)]
mod tests {
    use sotto_crypto::Seed;

    use crate::{
        local::Local,
        make::{Extension, recipe, whole_recipe},
        plan::Trace,
        spec::Role,
        testing::{Bench, made::whole_batches},
    };

    /// Rows of 64 elements go by encryption: fewer COTs, some units of the last place off.
    #[test]
    fn long_rows_are_made_within_their_tolerance() {
        let (mut bench, mut t) = (Bench::new(13), Trace::new());
        let (x, y) = (t.input(&[5, 64], 40, 4), t.input(&[5], 64, 7));
        let (x, y) = (t.open_signed(x, 20), t.open(y, 50, 0));
        let z = t.product(x, y, 50);
        let z = t.reveal(z, 50);
        let plan = t.finish(&[z]);
        let inputs = [bench.signed(320, 19), bench.signed(5, 25)];
        let local = Local::without_masks(&plan, Vec::new(), &Seed::from_bytes([1; 32])).unwrap();
        let seeds = local.seeds(0, Role::Server);
        // This holds every draw against its tolerance.
        let batches = whole_batches(&plan, 0, &seeds, &[], &mut ()).unwrap();
        let [_, client] = local.evaluate(batches, [&[], &inputs]).unwrap();
        let exact = inputs[0].iter().enumerate().map(|(i, x)| x * inputs[1][i / 64]);
        let off = client.outputs[0].iter().zip(exact).map(|(z, e)| (z - e).unsigned_abs());
        let worst = off.max().unwrap();
        assert!(worst > 0 && worst < 1 << 20, "{worst} units of 2^44 off");
        let [gilboa, encrypted] =
            [recipe(&plan), whole_recipe(&plan, Extension::Ferret)].map(|r| {
                let r = r.unwrap();
                r.cots(Role::Server) + r.cots(Role::Client)
            });
        assert_eq!(gilboa - encrypted, 2 * 20 * 320, "COTs for each bit of both parts");
    }

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
            for result in bench.run_sources(&plan, Vec::new(), &inputs) {
                result.check_exact();
                assert_eq!(plan.online().flights, 2);
            }
        }
    }
}
