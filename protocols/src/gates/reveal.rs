//! Revealing a result: the server sends its share to the client, who learns the value.
//!
//! Cost: one flight to the client, `width` bits an element. Security: this is the promised output and
//! nothing else may be revealed; the low bits of logits carry truncation coins of the
//! shares (PROTOCOLS 7.1). Reveal the class alone (`Trace::argmax`) where that is what was promised.

use sotto_ring::mask;

use crate::{
    deal::{Dealing, Known},
    encode,
    gate::{Exchange, Gate, To},
    making::{Held, Making},
    party::{Run, Value},
    plan::Trace,
    simulate::Simulation,
    spec::{Kind, Spec, Wire},
};

#[derive(Debug)]
struct Reveal {
    width: u32,
    output: Spec,
}

encode!(Reveal { width, output });

impl Trace {
    /// The client learns the low `width` bits of `x` as a signed number.
    pub fn reveal(&mut self, x: Wire, width: u32) -> Wire {
        self.reveal_from(x, width, 1 << (width - 1))
    }

    /// The client learns bits, 0 or 1, and no more than a bit each.
    pub fn reveal_bits(&mut self, x: Wire) -> Wire {
        self.reveal_from(x, 1, 0)
    }

    fn reveal_from(&mut self, x: Wire, width: u32, offset: u64) -> Wire {
        let spec = self.spec(x).clone();
        assert!(spec.share_width() >= width, "reveal more than the share");
        let kind = Kind::Opened { width, offset };
        self.add(Reveal { width, output: Spec { kind, ..spec } }, &[x])
    }
}

impl Gate for Reveal {
    fn name(&self) -> &'static str {
        "reveal"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![self.output.clone()]
    }

    fn rounds(&self) -> Vec<Vec<Exchange>> {
        vec![vec![Exchange { count: self.output.count(), width: self.width, to: To::Client }]]
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        dealing.output(Known::Nothing);
    }

    fn make(&self, making: &mut Making<'_>) {
        making.output(Held::Nothing);
    }

    fn run(&self, round: usize, run: &mut Run<'_>) {
        let m = mask(self.width);
        if round == 0 {
            let words = run.share(0).iter().map(|&x| x & m).collect();
            return run.reveal_to_client(words, self.width);
        }
        let (_, offset) = self.output.opened();
        let words = run.opened(0).into_iter();
        let out = words.map(|x| x.wrapping_add(offset) & m).collect();
        run.output(Value::Opened(out, Vec::new()));
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        sim.output(sim.inputs[0].to_vec());
    }
}
