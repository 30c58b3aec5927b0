//! Forms: what a value is right after an opening, and how it becomes a share again.
//!
//! Once `c = x + offset + r` is open, `x = (c - offset) - r + wrap 2^n msb(r)` with the public
//! `wrap = 1 - msb(c)`, provided `x + offset` lies in `[0, 2^(n-1))` (PROTOCOLS 1.3). That is a sum of
//! public factors times dealer-known factors, and so is the result of a lookup. [`Trace::lift`]
//! deals shares of the dealer's factors and thereby turns a form into a share in any ring, with no
//! flight; [`super::product`] does the same for products of forms.
//!
//! A dealer-known factor that is a multiple of `2^s`, as that of every wrap is, is dealt as shares of its quotient
//! mod `2^(width - s)`, which the parties shift up.
//!
//! Cost of lifting: `width - s` bits of correction for each element and each dealer-known term, but for one whose factor the
//! parties have shares of already ([`Term::shared`]).
//! Security: nothing is sent; the shares that the dealer deals are uniform halves, and so are their multiples
//! among the multiples of `2^s`.

use sotto_ring::lanes::{add, add_product};

use crate::{
    deal::{Dealing, Known},
    drawn::{CHUNK, Map, Packed, View},
    encode,
    gate::{Draw, Gate, Work},
    making::{Held, Making, Slot},
    party::{Factor, Run, Value},
    plan::Trace,
    simulate::Simulation,
    spec::{Kind, Spec, Term, Wire},
};

/// The terms of an opened value or form, seen in a ring of `width` bits. A term whose shift reaches `width`
/// is zero there.
pub(super) fn terms(spec: &Spec, width: u32) -> Vec<Term> {
    match &spec.kind {
        Kind::Opened { width: n, .. } if width <= *n => vec![Term::PUBLIC, Term::KNOWN],
        Kind::Opened { width: n, .. } => {
            vec![Term::PUBLIC, Term::KNOWN, Term::BOTH.multiple_of(*n)]
        }
        Kind::Form { terms } => terms.clone(),
        Kind::Share { .. } => panic!("a share has no public part: open it first"),
    }
}

/// A party's public factors of those terms; `None` is the constant 1.
pub(super) fn publics<'a>(spec: &Spec, width: u32, value: &'a Value) -> Vec<Option<View<'a>>> {
    match value {
        Value::Opened(c, _) => {
            let (n, offset) = spec.opened();
            let view = |map| Some(View::new(c, map));
            let mut all = vec![view(Map::Minus(offset)), None];
            if width > n {
                all.push(view(Map::Wrap(n)));
            }
            all
        }
        Value::Form { publics, .. } => {
            publics.iter().map(|p| p.as_ref().map(Factor::view)).collect()
        }
        Value::Share(_) => panic!("a share has no public part"),
    }
}

/// The dealer's factors of those terms; `None` is the constant 1.
pub(super) fn knowns<'a>(spec: &Spec, width: u32, known: &'a Known) -> Vec<Option<View<'a>>> {
    let view = |words, map| Some(View::new(words, map));
    match known {
        Known::Mask(r) => {
            let (n, _) = spec.opened();
            let mut all = vec![None, view(r, Map::Negated)];
            if width > n {
                all.push(view(r, Map::Top(n)));
            }
            all
        }
        Known::Form(knowns) => {
            let views = knowns.iter().map(|k| k.as_deref().and_then(|k| view(k, Map::Same)));
            views.collect()
        }
        Known::Nothing => panic!("the dealer knows nothing of a share"),
    }
}

/// Two parties' shares of the factors of those terms, each divided by `2^shift`, mod `2^(width - shift)`; none of the constant 1, nor
/// where the shift reaches the width.
pub(super) fn shares(held: &Held, making: &mut Making<'_>, width: u32) -> Vec<Option<Slot>> {
    match held {
        &Held::Mask(r, n) => {
            let number = making.mask_share(r, n, width);
            let negated = making.sum(&[(number, u64::MAX)]);
            let mut all = vec![None, Some(negated)];
            if width > n {
                let top = making.top_bit(r, n);
                all.push(Some(making.arithmetic(top, width - n)));
            }
            all
        }
        Held::Form(factors) => factors.shares(making, width),
        Held::Nothing => panic!("nothing is held of a share"),
    }
}

#[derive(Debug)]
struct Lift {
    width: u32,
    input: Spec,
    output: Spec,
}

encode!(Lift { width, input, output });

impl Trace {
    /// Shares of an opened value or a form in the ring `2^width`.
    pub fn lift(&mut self, x: Wire, width: u32) -> Wire {
        let input = self.spec(x).clone();
        let output = Spec::share(&input.shape, width, input.scale);
        self.add(Lift { width, input, output }, &[x])
    }
}

impl Lift {
    fn terms(&self) -> Vec<Term> {
        terms(&self.input, self.width)
    }

    /// Shares are dealt of this term's factor.
    fn is_dealt(&self, term: &Term) -> bool {
        term.known && !term.shared && term.shift < self.width
    }
}

impl Gate for Lift {
    fn name(&self) -> &'static str {
        "lift"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![self.output.clone()]
    }

    fn draws(&self) -> Vec<Draw> {
        let (count, width) = (self.output.count(), self.width);
        let dealt = self.terms().into_iter().filter(|t| self.is_dealt(t));
        dealt.map(|t| Draw::Value { count, width: width - t.shift }).collect()
    }

    fn work(&self) -> Work {
        Work::online((self.terms().len() * self.output.count()) as u64)
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let knowns = knowns(&self.input, self.width, dealing.input(0));
        let dealt = self.terms().into_iter().zip(knowns).filter(|(t, _)| self.is_dealt(t));
        for (draw, (term, known)) in dealt.enumerate() {
            let known = known.expect("a known term has a factor");
            dealing.give_with(draw, |at, out| {
                known.load(at, out);
                divide(out, term.shift);
            });
        }
        dealing.output(Known::Nothing);
    }

    fn make(&self, making: &mut Making<'_>) {
        let shares = shares(making.input(0), making, self.width);
        let dealt = self.terms().into_iter().zip(shares).filter(|(t, _)| self.is_dealt(t));
        for (draw, (_, share)) in dealt.enumerate() {
            making.give(draw, share.expect("a known term has a factor"));
        }
        making.output(Held::Nothing);
    }

    fn run(&self, _: usize, run: &mut Run<'_>) {
        let publics = publics(&self.input, self.width, run.value(0));
        let mut draw = 0;
        let terms: Vec<_> = (self.terms().into_iter().zip(publics))
            .filter(|(term, _)| term.shift < self.width)
            .map(|(term, public)| {
                let known = match (term.known, term.shared) {
                    (false, _) => Part::One,
                    (true, true) => Part::Own(own_shares(run.value(0))),
                    (true, false) => {
                        draw += 1;
                        Part::Dealt(run.packed(draw - 1))
                    }
                };
                (public, known, term.shift)
            })
            .collect();
        let count = self.output.count();
        let mut out = Vec::with_capacity(count);
        let (mut public, mut dealt, mut sum) = ([0; CHUNK], [0; CHUNK], [0; CHUNK]);
        for at in (0..count).step_by(CHUNK) {
            let len = CHUNK.min(count - at);
            let (public, dealt, sum) = (&mut public[..len], &mut dealt[..len], &mut sum[..len]);
            sum.fill(0);
            for (factor, known, shift) in &terms {
                if let Some(factor) = factor {
                    factor.load(at, public);
                }
                let known = match *known {
                    Part::One => {
                        if factor.is_some() && run.is_server() {
                            add(sum, public, 0);
                        }
                        continue;
                    }
                    Part::Own(shares) => &shares[at..at + len],
                    Part::Dealt(packed) => {
                        packed.unpack(at, dealt);
                        &*dealt
                    }
                };
                match factor {
                    Some(_) => add_product(sum, public, known, *shift),
                    None => add(sum, known, *shift),
                }
            }
            out.extend_from_slice(sum);
        }
        run.output(Value::Share(out));
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        sim.output(sim.inputs[0].to_vec());
    }
}

/// A party's shares of the dealer's factor of a term.
enum Part<'a> {
    /// The factor is 1.
    One,
    /// Dealt.
    Dealt(Packed<'a>),
    /// Its own, of a term that is shared.
    Own(&'a [u64]),
}

/// A party's shares of the dealer's factor of the term that is shared.
fn own_shares(value: &Value) -> &[u64] {
    match value {
        Value::Form { shared: Some(shares), .. } => shares,
        _ => panic!("no term of this form is shared"),
    }
}

/// `out /= 2^shift`, of multiples of it.
pub(super) fn divide(out: &mut [u64], shift: u32) {
    if shift > 0 {
        out.iter_mut().for_each(|o| *o >>= shift);
    }
}

#[cfg(test)]
mod tests {
    use crate::{plan::Trace, testing::Bench};

    #[test]
    fn lifting_is_exact_over_the_whole_range() {
        for n in [3, 16, 20, 33] {
            let mut bench = Bench::new(u64::from(n));
            let mut t = Trace::new();
            let x = t.input(&[500], 40, 4);
            let c = t.open_signed(x, n);
            let up = t.lift(c, 60);
            let same = t.lift(c, n);
            let up = t.reveal(up, 60);
            let same = t.reveal(same, n);
            let plan = t.finish(&[up, same]);
            let bound = 1i64 << (n - 2);
            let mut input = bench.signed(500, n - 1);
            input[..3].copy_from_slice(&[-bound, bound - 1, 0]);
            for result in bench.run_sources(&plan, Vec::new(), std::slice::from_ref(&input)) {
                result.check_exact();
                assert_eq!(result.outputs[0], input);
            }
        }
    }
}
