//! Opening: both parties learn `c = x + offset + r mod 2^width` under a fresh mask `r`.
//!
//! Shapes and scale: the input's. Error: none; `x + offset` must lie in `[0, 2^width)`, and in
//! `[0, 2^(width-1))` where a consumer lifts it to a larger ring.
//!
//! Cost: one flight both ways, `width` bits an element each way, no dealer bytes (both parts of
//! `r` come from seeds).
//!
//! Security: each party reduces its share mod `2^width` before packing (the unreduced high bits
//! of a share would be a leak); `r` is uniform mod `2^width` and used for this opening alone, so
//! `c` is uniform to everybody who does not know both seeds. PROTOCOLS 1.2.

use sotto_ring::mask;

use crate::{
    deal::{Dealing, Known},
    encode,
    gate::{Draw, Exchange, Gate, To},
    making::{Held, Making},
    party::{Run, Value},
    plan::Trace,
    simulate::Simulation,
    spec::{Kind, Spec, Wire},
};

#[derive(Debug)]
struct Open {
    width: u32,
    offset: u64,
    output: Spec,
}

encode!(Open { width, offset, output });

/// Differences of pairs of entries along the last axis of one opening. Local, as [`Difference`].
#[derive(Debug)]
struct Pairs {
    first: Vec<usize>,
    second: Vec<usize>,
    row: usize,
    output: Spec,
}

encode!(Pairs { first, second, row, output });

/// The difference of two openings of equal width, the second broadcast over rows of the first.
/// Local: its mask is the difference of the masks, which the dealer knows.
#[derive(Debug)]
struct Difference {
    row: usize,
    /// Public correction from the inputs' offsets to the output's.
    shift: u64,
    output: Spec,
}

encode!(Difference { row, shift, output });

impl Trace {
    /// Opens the low `width` bits of `x + offset`.
    pub fn open(&mut self, x: Wire, width: u32, offset: u64) -> Wire {
        let spec = self.spec(x).clone();
        assert!(
            spec.share_width() >= width,
            "opening {width} bits of a {}-bit share",
            spec.share_width()
        );
        let output = Spec { kind: Kind::Opened { width, offset }, ..spec };
        self.add(Open { width, offset, output }, &[x])
    }

    /// Opens a signed value such that it can be lifted to a larger ring: `|x| < 2^(width-2)`.
    pub fn open_signed(&mut self, x: Wire, width: u32) -> Wire {
        self.open(x, width, 1 << (width - 2))
    }

    /// The differences `x[first] - x[second]` along the last axis of an opened value without offset.
    pub fn opened_pairs(&mut self, open: Wire, first: &[usize], second: &[usize]) -> Wire {
        assert_eq!(first.len(), second.len(), "pairs");
        assert_eq!(self.spec(open).opened().1, 0, "pairs of an opening without offset");
        let spec = self.spec(open).clone();
        let mut output = spec.clone();
        let last = output.shape.last_mut().expect("pairs along an axis");
        let row = std::mem::replace(last, first.len());
        let (first, second) = (first.to_vec(), second.to_vec());
        self.add(Pairs { first, second, row, output }, &[open])
    }

    /// `a - b`, where `b` has one element for each `row` elements of `a`; both are opened. The
    /// new offset is `offset`: a lookup's window.
    pub fn opened_difference(&mut self, a: Wire, b: Wire, offset: u64) -> Wire {
        let (sa, sb) = (self.spec(a).clone(), self.spec(b).clone());
        let ((wa, _), (wb, _)) = (sa.opened(), sb.opened());
        assert_eq!(wa, wb, "difference of openings of unequal widths");
        assert_eq!(sa.scale, sb.scale, "difference of openings of unequal scales");
        assert_eq!(sa.count() % sb.count(), 0, "rows of a difference");
        let row = sa.count() / sb.count();
        let (oa, ob) = (sa.opened().1, sb.opened().1);
        let output = Spec { kind: Kind::Opened { width: wa, offset }, ..sa };
        let shift = offset.wrapping_sub(oa).wrapping_add(ob);
        self.add(Difference { row, shift, output }, &[a, b])
    }
}

impl Gate for Open {
    fn name(&self) -> &'static str {
        "open"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![self.output.clone()]
    }

    fn draws(&self) -> Vec<Draw> {
        vec![Draw::Mask { count: self.output.count(), width: self.width }]
    }

    fn rounds(&self) -> Vec<Vec<Exchange>> {
        vec![vec![Exchange { count: self.output.count(), width: self.width, to: To::Both }]]
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let r = dealing.mask(0);
        dealing.output(Known::Mask(r));
    }

    fn make(&self, making: &mut Making<'_>) {
        let r = making.mask(0);
        making.output(Held::Mask(r, self.width));
    }

    fn run(&self, round: usize, run: &mut Run<'_>) {
        if round == 0 {
            let offset = if run.is_server() { self.offset } else { 0 };
            let words = run.share(0).iter().map(|w| w.wrapping_add(offset));
            let words = words.collect();
            return run.open(words, 0);
        }
        let (c, r) = (run.opened(0), run.take_mask(0));
        run.output(Value::Opened(c, r));
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        sim.output(sim.inputs[0].to_vec());
    }
}

impl Difference {
    fn broadcast<T: Copy>(&self, a: &[T], b: &[T], f: impl Fn(T, T) -> T) -> Vec<T> {
        a.chunks_exact(self.row)
            .zip(b)
            .flat_map(|(row, &b)| row.iter().map(move |&a| (a, b)))
            .map(|(a, b)| f(a, b))
            .collect()
    }
}

impl Gate for Difference {
    fn name(&self) -> &'static str {
        "difference"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![self.output.clone()]
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let m = mask(self.output.opened().0);
        let r = self
            .broadcast(dealing.input_mask(0), dealing.input_mask(1), |a, b| a.wrapping_sub(b) & m);
        dealing.output(Known::Mask(r));
    }

    fn make(&self, making: &mut Making<'_>) {
        let ((a, n), (b, _)) = (making.input_mask(0), making.input_mask(1));
        let b = making.repeat(b, self.row);
        let r = making.zip(a, b, move |_, a, b| a.wrapping_sub(b) & mask(n));
        making.output(Held::Mask(r, n));
    }

    fn run(&self, _: usize, run: &mut Run<'_>) {
        let m = mask(self.output.opened().0);
        let c = self.broadcast(run.public(0), run.public(1), |a, b| {
            a.wrapping_sub(b).wrapping_add(self.shift) & m
        });
        run.output(Value::Opened(c, Vec::new()));
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        sim.output(self.broadcast(sim.inputs[0], sim.inputs[1], i64::wrapping_sub));
    }
}

impl Pairs {
    fn map<T: Copy>(&self, x: &[T], f: impl Fn(T, T) -> T) -> Vec<T> {
        let f = &f;
        x.chunks_exact(self.row)
            .flat_map(|row| {
                let pairs = self.first.iter().zip(&self.second);
                pairs.map(move |(&a, &b)| f(row[a], row[b]))
            })
            .collect()
    }
}

impl Gate for Pairs {
    fn name(&self) -> &'static str {
        "pairs"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![self.output.clone()]
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let m = mask(self.output.opened().0);
        let r = self.map(dealing.input_mask(0), |a, b| a.wrapping_sub(b) & m);
        dealing.output(Known::Mask(r));
    }

    fn make(&self, making: &mut Making<'_>) {
        let (r, n) = making.input_mask(0);
        let places = [&self.first, &self.second].map(Clone::clone);
        let [first, second] = places.map(|places| making.pick(r, self.row, places));
        let r = making.zip(first, second, move |_, a, b| a.wrapping_sub(b) & mask(n));
        making.output(Held::Mask(r, n));
    }

    fn run(&self, _: usize, run: &mut Run<'_>) {
        let m = mask(self.output.opened().0);
        let c = self.map(run.public(0), |a, b| a.wrapping_sub(b) & m);
        run.output(Value::Opened(c, Vec::new()));
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        sim.output(self.map(sim.inputs[0], i64::wrapping_sub));
    }
}
