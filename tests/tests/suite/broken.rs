//! Openings with a fault: each must be caught by the statistics that the real gates pass.
//!
//! No gate can be written that has one (`accounting.rs`), so the faults are put into the transcript of a sound one.

use sotto_crypto::Seed;
use sotto_protocols::{
    Spec, Wire,
    deal::{Dealing, Known},
    encode,
    gate::{Draw, Exchange, Gate, To},
    party::{Run, Value},
    plan::{Plan, Trace},
    simulate::Simulation,
    spec::Kind,
};
use sotto_ring::{mask, pack};

use crate::wiretap::Transcript;

/// What is wrong with an opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: the control of the controls.
    Sound,
    /// No mask at all.
    Unmasked,
    /// The server forgets its part of the mask.
    OneParty,
    /// The mask lacks its top bit.
    Narrow,
    /// The mask lacks its lowest bit.
    Even,
    /// One element's mask serves the whole tensor.
    Repeated,
    /// The second opening uses the first one's mask.
    Twice,
}

impl Fault {
    pub const ALL: [Fault; 6] = [
        Fault::Unmasked,
        Fault::OneParty,
        Fault::Narrow,
        Fault::Even,
        Fault::Repeated,
        Fault::Twice,
    ];
}

/// Opens its two inputs at one width.
#[derive(Debug)]
struct Two {
    width: u32,
    output: Spec,
}

encode!(Two { width, output });

/// A plan that opens two inputs, and nothing else.
pub fn plan(count: usize, width: u32) -> Plan {
    let mut t = Trace::new();
    let inputs: Vec<Wire> = (0..2).map(|_| t.input(&[count], width, 0)).collect();
    let output =
        Spec { kind: Kind::Opened { width, offset: 0 }, ..Spec::share(&[count], width, 0) };
    t.add(Two { width, output }, &inputs);
    t.finish(&[])
}

impl Fault {
    /// Makes of a transcript of [`plan`] what parties with this fault would have sent.
    pub fn put_into(self, seen: &mut Transcript, seed: &Seed, count: usize, width: u32) {
        for (party, role) in ["server", "client"].into_iter().enumerate() {
            let seed = seed.derive(role, 0);
            let length = pack::packed_len(count, width);
            let masks =
                [0, 1].map(|i| pack::unpack_vec(&seed.stream(i).bytes(length), width, count));
            let [(_, message)] = &mut seen.records[party].sent[..] else {
                panic!("one message with both openings")
            };
            let words = [0, 1]
                .map(|i| pack::unpack_vec(&message[i * length..(i + 1) * length], width, count));
            message.clear();
            for (words, own) in words.iter().zip(&masks) {
                let used = |j: usize| match self {
                    Fault::Sound => own[j],
                    Fault::Unmasked => 0,
                    Fault::OneParty if role == "server" => 0,
                    Fault::OneParty => own[j],
                    Fault::Narrow => own[j] & (mask(width) >> 1),
                    Fault::Even => own[j] & !1,
                    Fault::Repeated => own[0],
                    Fault::Twice => masks[0][j],
                };
                let words = words.iter().enumerate();
                let words: Vec<u64> = words
                    .map(|(j, w)| w.wrapping_sub(own[j]).wrapping_add(used(j)) & mask(width))
                    .collect();
                pack::pack(&words, width, message);
            }
        }
    }
}

impl Gate for Two {
    fn name(&self) -> &'static str {
        "two openings"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![self.output.clone()]
    }

    fn draws(&self) -> Vec<Draw> {
        vec![Draw::Mask { count: self.output.count(), width: self.width }; 2]
    }

    fn rounds(&self) -> Vec<Vec<Exchange>> {
        let count = self.output.count();
        vec![vec![Exchange { count, width: self.width, to: To::Both }; 2]]
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let r = dealing.mask(0);
        dealing.output(Known::Mask(r));
    }

    fn run(&self, round: usize, run: &mut Run<'_>) {
        if round == 1 {
            let opened = run.opened(0);
            return run.output(Value::Opened(opened, Vec::new()));
        }
        for i in 0..2 {
            let words = run.share(i).to_vec();
            run.open(words, i);
        }
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        sim.output(sim.inputs[0].to_vec());
    }
}
