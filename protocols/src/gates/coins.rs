//! Common coins: 256 bits that nobody knows before the flight in which a given value can be opened.
//!
//! Shapes: anything to `(4)` words of 64 bits, opened. It is an opening of nothing: each party's part is its part of a
//! mask, so that the opened sum is that mask, of which both have drawn a half ahead and the dealer knows all.
//!
//! Cost: one flight both ways, 32 bytes each way. Security: the coins are uniform if either party's half is, and say
//! nothing of anything else, since their masks cover nothing. A party that waits for the other's half knows them before it sends
//! what it opens in the same flight.

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

/// How many words, and their bits.
const WORDS: usize = 4;
const WIDTH: u32 = 64;

#[derive(Debug)]
struct Coins {
    output: Spec,
}

encode!(Coins { output });

impl Trace {
    /// Coins that are opened in the flight in which `with` can be, whose words are not read.
    pub fn coins(&mut self, with: Wire) -> Wire {
        let kind = Kind::Opened { width: WIDTH, offset: 0 };
        self.add(Coins { output: Spec { shape: vec![WORDS], scale: 0, kind } }, &[with])
    }
}

impl Gate for Coins {
    fn name(&self) -> &'static str {
        "open"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![self.output.clone()]
    }

    fn draws(&self) -> Vec<Draw> {
        vec![Draw::Mask { count: WORDS, width: WIDTH }]
    }

    fn rounds(&self) -> Vec<Vec<Exchange>> {
        vec![vec![Exchange { count: WORDS, width: WIDTH, to: To::Both }]]
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let r = dealing.mask(0);
        dealing.output(Known::Mask(r));
    }

    fn make(&self, making: &mut Making<'_>) {
        let r = making.mask(0);
        making.output(Held::Mask(r, WIDTH));
    }

    fn run(&self, round: usize, run: &mut Run<'_>) {
        if round == 0 {
            return run.open(vec![0; WORDS], 0);
        }
        let (c, r) = (run.opened(0), run.take_mask(0));
        run.output(Value::Opened(c, r));
    }

    /// Of nothing: the coins are the mask.
    fn simulate(&self, sim: &mut Simulation<'_>) {
        sim.output(vec![0; WORDS]);
    }
}
