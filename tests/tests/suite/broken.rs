//! Openings with a fault: each must be caught by the statistics that the real gates pass.

use sotto_protocols::{
    Spec, Wire,
    deal::{Dealing, Known},
    gate::{Draw, Exchange, Gate, To},
    party::{Run, Value},
    plan::{Plan, Trace},
    simulate::Simulation,
    spec::Kind,
};

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

/// Opens its two inputs at one width, with a fault.
#[derive(Debug)]
struct Broken {
    fault: Fault,
    width: u32,
    output: Spec,
}

/// A plan that opens two inputs with a fault, and nothing else.
pub fn plan(fault: Fault, count: usize, width: u32) -> Plan {
    let mut t = Trace::new();
    let inputs: Vec<Wire> = (0..2).map(|_| t.input(&[count], width, 0)).collect();
    let output =
        Spec { kind: Kind::Opened { width, offset: 0 }, ..Spec::share(&[count], width, 0) };
    t.add(Broken { fault, width, output }, &inputs);
    t.finish(&[])
}

impl Gate for Broken {
    fn name(&self) -> &'static str {
        "broken open"
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
            // `open` adds the whole mask: what the fault lacks is taken away before.
            let (first, mask) = (run.words(0), run.words(i));
            let used = |j: usize| match self.fault {
                Fault::Sound => mask[j],
                Fault::Unmasked => 0,
                Fault::OneParty => {
                    if run.is_server() {
                        0
                    } else {
                        mask[j]
                    }
                }
                Fault::Narrow => mask[j] & (sotto_ring::mask(self.width) >> 1),
                Fault::Even => mask[j] & !1,
                Fault::Repeated => mask[0],
                Fault::Twice => first[j],
            };
            let share = run.share(i).iter().enumerate();
            let words = share.map(|(j, x)| x.wrapping_add(used(j)).wrapping_sub(mask[j]));
            let words = words.collect();
            run.open(words, i);
        }
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        sim.output(sim.inputs[0].to_vec());
    }
}
