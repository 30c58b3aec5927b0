//! Exact accounting of masks: what a wrong gate could do with its masks is refused, by the trace or at the latest when
//! the gate runs. Statistics would need luck to see most of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use sotto_net::{Error as NetError, Link, Traffic};
use sotto_protocols::{
    Role, Spec,
    deal::{Dealing, Known},
    encode::Encode,
    gate::{Draw, Exchange, Gate, To},
    party::{Prepare, Run, Value},
    plan::Trace,
    simulate::Simulation,
};

use crate::wiretap::dealt;

const COUNT: usize = 64;
const WIDTH: u32 = 14;

/// How the gate under test uses its masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// As it should: the control.
    Sound,
    /// Two openings under one mask.
    Twice,
    /// The second opening under the first's mask, one element further.
    Shifted,
    /// One word of one opening has no mask.
    Rare,
    /// Half of the first mask's words, which are wider, serve the second opening.
    OtherWidth,
    /// As `Rare`, with a mask that was read before the input was known.
    Prepared,
    /// A mask is never opened under.
    Unused,
    /// Opened under at a later call again.
    Later,
}

impl Encode for Opens {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.0 as u8).encode(out);
    }
}

/// Opens its input twice, at two widths.
#[derive(Debug)]
struct Opens(Use);

impl Gate for Opens {
    fn name(&self) -> &'static str {
        "opens"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![Spec::share(&[COUNT], WIDTH, 0)]
    }

    fn draws(&self) -> Vec<Draw> {
        let mask = |width| Draw::Mask { count: COUNT, width };
        vec![mask(WIDTH), mask(WIDTH - 2), Draw::Value { count: COUNT, width: WIDTH }]
    }

    fn rounds(&self) -> Vec<Vec<Exchange>> {
        let open = |width| Exchange { count: COUNT, width, to: To::Both };
        vec![vec![open(WIDTH), open(WIDTH - 2)]]
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        dealing.give(2, &[0; COUNT]);
        dealing.output(Known::Nothing);
    }

    fn prepare(&self, prepare: &mut Prepare<'_>) {
        if self.0 == Use::Prepared {
            let mask = prepare.words(1);
            prepare.replace(2, mask);
        }
    }

    fn run(&self, round: usize, run: &mut Run<'_>) {
        let x = run.share(0);
        if round == 1 {
            // What is opened under may be read, as often as one likes.
            let _ = (run.words(0), run.packed(0));
            if self.0 == Use::Later {
                run.open(x.to_vec(), 0);
            }
            return run.output(Value::Share(x.to_vec()));
        }
        // `open` adds the mask, so that who wants another one takes it away before.
        let instead = |own: Vec<u64>, wanted: &dyn Fn(usize) -> u64| -> Vec<u64> {
            let words = x.iter().zip(own).enumerate();
            words.map(|(j, (x, own))| x.wrapping_sub(own).wrapping_add(wanted(j))).collect()
        };
        run.open(x.to_vec(), 0);
        match self.0 {
            Use::Sound | Use::Later => run.open(x.to_vec(), 1),
            Use::Twice => run.open(x.to_vec(), 0),
            Use::Shifted | Use::OtherWidth => {
                let (first, own) = (run.words(0), run.words(1));
                let further = usize::from(self.0 == Use::Shifted);
                run.open(instead(own, &|j| first[(j + further) % COUNT]), 1);
            }
            Use::Rare => {
                let own = run.words(1);
                run.open(instead(own.clone(), &|j| if j == 7 { 0 } else { own[j] }), 1);
            }
            Use::Prepared => {
                let own = run.words(2);
                run.open(instead(own.clone(), &|j| if j == 7 { 0 } else { own[j] }), 1);
            }
            Use::Unused => {}
        }
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        sim.output(sim.inputs[0].to_vec());
    }
}

/// A peer that always sends zeros.
struct Zeros;

impl Link for Zeros {
    fn send(&mut self, _: u32, _: Vec<u8>) -> Result<(), NetError> {
        Ok(())
    }

    fn room(&mut self, _: u64) -> Result<(), NetError> {
        Ok(())
    }

    fn recv(&mut self, _: u32, len: usize) -> Result<Vec<u8>, NetError> {
        Ok(vec![0; len])
    }

    fn recv_upto(&mut self, _: u32, limit: usize) -> Result<Vec<u8>, NetError> {
        Ok(vec![0; limit])
    }

    fn set_deadline(&mut self, _: Duration) {}

    fn set_longest(&mut self, _: Option<Duration>) {}

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }

    fn peer(&self) -> &str {
        "nobody"
    }

    fn finish(&mut self) -> Result<(), NetError> {
        Ok(())
    }
}

/// What `work` panics with, if it does.
fn panic_of<T>(work: impl FnOnce() -> T) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(work)).err()?;
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()))
}

/// What a party of this role panics with, if it does.
fn refused(kind: Use, role: Role) -> Option<String> {
    let mut trace = Trace::new();
    let x = trace.input(&[COUNT], WIDTH, 0);
    trace.add(Opens(kind), &[x]);
    let plan = trace.finish(&[]);
    let seed = sotto_crypto::Seed::from_bytes([3; 32]);
    let (local, [server, client]) = dealt(&plan, &[], &seed, Role::Server);
    let batch = if role == Role::Server { server } else { client };
    let staged = local.stage(role, batch).expect("the plan's own batch");
    panic_of(|| local.party(role).evaluate(&mut Zeros, staged, &[vec![5; COUNT]]).is_ok())
}

#[test]
fn a_mask_is_opened_under_exactly_once() {
    let cases = [
        (Use::Sound, None),
        (Use::Twice, Some("second opening")),
        (Use::Later, Some("second opening")),
        (Use::Shifted, Some("read before")),
        (Use::OtherWidth, Some("read before")),
        (Use::Rare, Some("read before")),
        (Use::Prepared, Some("read before")),
        (Use::Unused, Some("leaves a mask unused")),
    ];
    for role in [Role::Server, Role::Client] {
        for (kind, expected) in cases {
            match (refused(kind, role), expected) {
                (None, None) => {}
                (Some(why), Some(expected)) if why.contains(expected) => {}
                (why, _) => panic!("{kind:?}, {}: {why:?} for {expected:?}", role.name()),
            }
        }
    }
}

impl Encode for Declares {
    fn encode(&self, out: &mut Vec<u8>) {
        (&self.0, self.1).encode(out);
    }
}

/// A gate of these draws and this exchange.
#[derive(Debug)]
struct Declares(Vec<Draw>, Exchange);

impl Gate for Declares {
    fn name(&self) -> &'static str {
        "declares"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![Spec::share(&[COUNT], WIDTH, 0)]
    }

    fn draws(&self) -> Vec<Draw> {
        self.0.clone()
    }

    fn rounds(&self) -> Vec<Vec<Exchange>> {
        vec![vec![self.1]]
    }

    fn deal(&self, _: &mut Dealing<'_>) {}

    fn run(&self, _: usize, _: &mut Run<'_>) {}

    fn simulate(&self, _: &mut Simulation<'_>) {}
}

#[test]
fn no_plan_has_an_opening_without_its_mask() {
    let (mask, client) = (
        |count, width| Draw::Mask { count, width },
        |count, width| Draw::ClientMask { count, width },
    );
    let both = Exchange { count: COUNT, width: WIDTH, to: To::Both };
    let server = Exchange { to: To::Server, ..both };
    let traced = |draws: &[Draw], exchange| {
        panic_of(|| Trace::new().add(Declares(draws.to_vec(), exchange), &[]))
    };
    assert_eq!(traced(&[mask(COUNT, WIDTH)], both), None);
    assert_eq!(traced(&[client(COUNT, WIDTH)], server), None);
    let value = Draw::Value { count: COUNT, width: WIDTH };
    for (draws, exchange) in [
        (vec![], both),
        (vec![value], both),
        (vec![mask(COUNT, WIDTH - 1)], both),
        (vec![mask(COUNT, WIDTH + 1)], both),
        (vec![mask(COUNT - 1, WIDTH)], both),
        (vec![mask(COUNT, WIDTH); 2], both),
        (vec![client(COUNT, WIDTH)], both),
        (vec![mask(COUNT, WIDTH)], server),
    ] {
        let why = traced(&draws, exchange).unwrap_or_default();
        assert!(why.contains("masks and openings of `declares`"), "{draws:?}, {exchange:?}: {why}");
    }
}
