//! A peer that sends the wrong thing in the middle of an evaluation: both sides err in time, nobody hangs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sotto_crypto::Seed;
use sotto_net::{Error as NetError, Link, LocalLink, Traffic, local_pair};
use sotto_protocols::{
    Error, Role,
    party::Evaluated,
    plan::{Plan, Trace, WeightSpec},
    weights::Matrix,
};

use crate::wiretap::{dealt, evaluate};

const DEADLINE: Duration = Duration::from_millis(400);
/// Two deadlines one after the other, and time for a loaded machine to notice.
const PATIENCE: Duration = Duration::from_secs(5);

/// What happens to one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    EarlierStep,
    LaterStep,
    Shorter,
    Empty,
    Longer,
    Doubled,
    Dropped,
    /// Right step and length, wrong bits: no error can be due, but no panic either.
    Garbled,
    /// The sender's own link dies.
    Gone,
}

impl Fault {
    const ERRORS: [Fault; 7] = [
        Fault::EarlierStep,
        Fault::LaterStep,
        Fault::Shorter,
        Fault::Empty,
        Fault::Longer,
        Fault::Doubled,
        Fault::Dropped,
    ];
}

/// A link whose message number `at` suffers.
struct Faulty<'a> {
    inner: LocalLink,
    fault: Option<(Fault, usize)>,
    sent: usize,
    struck: &'a AtomicBool,
}

impl Link for Faulty<'_> {
    fn send(&mut self, step: u32, mut payload: Vec<u8>) -> Result<(), NetError> {
        let number = self.sent;
        self.sent += 1;
        let fault = match self.fault {
            Some((fault, at)) if at == number => fault,
            _ => return self.inner.send(step, payload),
        };
        self.struck.store(true, Ordering::Relaxed);
        match fault {
            Fault::EarlierStep => self.inner.send(step.wrapping_sub(1), payload),
            Fault::LaterStep => self.inner.send(step + 1, payload),
            Fault::Shorter => {
                payload.pop();
                self.inner.send(step, payload)
            }
            Fault::Empty => self.inner.send(step, Vec::new()),
            Fault::Longer => {
                payload.push(0);
                self.inner.send(step, payload)
            }
            Fault::Doubled => {
                self.inner.send(step, payload.clone())?;
                self.inner.send(step, payload)
            }
            Fault::Dropped => Ok(()),
            Fault::Garbled => {
                payload.iter_mut().for_each(|b| *b = b.wrapping_mul(91).wrapping_add(17));
                self.inner.send(step, payload)
            }
            Fault::Gone => Err(NetError::Link {
                peer: self.peer().to_owned(),
                step,
                why: "it was struck".into(),
                remedy: "none",
            }),
        }
    }

    fn room(&mut self, at_most: u64) -> Result<(), NetError> {
        self.inner.room(at_most)
    }

    fn recv(&mut self, step: u32, len: usize) -> Result<Vec<u8>, NetError> {
        self.inner.recv(step, len)
    }

    fn recv_upto(&mut self, step: u32, limit: usize) -> Result<Vec<u8>, NetError> {
        self.inner.recv_upto(step, limit)
    }

    fn set_deadline(&mut self, deadline: Duration) {
        self.inner.set_deadline(deadline);
    }

    fn set_longest(&mut self, longest: Option<Duration>) {
        self.inner.set_longest(longest);
    }

    fn traffic(&self) -> Traffic {
        self.inner.traffic()
    }

    fn peer(&self) -> &str {
        self.inner.peer()
    }

    fn finish(&mut self) -> Result<(), NetError> {
        self.inner.finish()
    }
}

/// A linear layer, a ReLU, another linear layer and two results: messages both ways and one way.
fn small_plan() -> (Plan, Vec<Matrix>, Vec<Vec<i64>>) {
    let mut t = Trace::new();
    let x = t.input(&[3, 4], 40, 4);
    let mut matrix = |width| {
        let spec = WeightSpec { name: "w".into(), outputs: 4, inputs: 4, width, scale: 4 };
        t.weight(spec)
    };
    let weights = [matrix(40), matrix(30)];
    let y = t.linear(x, weights[0], 1);
    let o = t.open_signed(y, 20);
    let y = t.relu(o, 30);
    let y = t.linear(y, weights[1], 1);
    let outputs = [t.reveal(y, 30)];
    let plan = t.finish(&outputs);
    let matrix = || Matrix::new((0..16).collect::<Vec<u64>>(), vec![1, -2, 3, -4]);
    (plan, vec![matrix(), matrix()], vec![(-6..6).collect()])
}

/// Levels in which `role` sends.
fn sending(plan: &Plan, role: Role) -> Vec<usize> {
    (0..plan.levels.len()).filter(|&level| plan.level_bytes(level, role) > 0).collect()
}

fn run(fault: Fault, who: Role, at: usize, seed: u64) -> [Result<Evaluated, Error>; 2] {
    let (plan, matrices, inputs) = small_plan();
    let seed = Seed::from_bytes([0x33; 32]).derive("hostile", seed);
    let (local, batches) = dealt(&plan, &matrices, &seed, who);
    let zeros = vec![vec![0; inputs[0].len()]];
    let struck = AtomicBool::new(false);
    let (server, client) = local_pair("client", "server");
    let link = |role: Role, mut inner: LocalLink| -> Box<dyn Link + '_> {
        inner.set_deadline(DEADLINE);
        let fault = (role == who).then_some((fault, at));
        Box::new(Faulty { inner, fault, sent: 0, struck: &struck })
    };
    let links = [link(Role::Server, server), link(Role::Client, client)];
    let start = Instant::now();
    let results = evaluate(&local, batches, links, [&zeros, &inputs]);
    let took = start.elapsed();
    assert!(took < PATIENCE, "{fault:?} of {who:?}'s message {at}: {took:?}");
    assert!(struck.load(Ordering::Relaxed), "{who:?} has no message {at}");
    results
}

/// The text of a link error; any other outcome fails the test.
fn link_error(result: &Result<Evaluated, Error>, what: &str) -> String {
    match result {
        Err(Error::Link(
            e @ (NetError::Desync { .. } | NetError::Deadline { .. } | NetError::Link { .. }),
        )) => e.to_string(),
        Err(e) => panic!("{what}: another error: {e}"),
        Ok(_) => panic!("{what}: no error"),
    }
}

fn strike(who: Role, fault: Fault) {
    let (plan, ..) = small_plan();
    let (ours, theirs) = (sending(&plan, who), sending(&plan, who.peer()));
    for (at, &level) in ours.iter().enumerate() {
        let what = format!("{fault:?} of {}'s message {at}", who.name());
        let results = run(fault, who, at, at as u64);
        let (sender, receiver) = (&results[who.index()], &results[who.peer().index()]);
        // A copy is noticed where the next message is due; that of the last one lies unread.
        let noticed = match fault {
            Fault::Doubled => ours.get(at + 1),
            _ => Some(&level),
        };
        let Some(noticed) = noticed else {
            // Whether the sender still finds the other side there is a race.
            assert!(receiver.is_ok(), "{what}");
            continue;
        };
        let text = link_error(receiver, &what);
        assert!(text.contains(&format!("step {noticed}")), "{what}: {text}");
        // Whoever waits for the other later on learns of it; whoever is done cannot.
        if theirs.iter().any(|l| l > noticed) {
            link_error(sender, &what);
        }
    }
}

#[test]
fn whatever_the_server_spoils_both_sides_err() {
    Fault::ERRORS.into_iter().for_each(|fault| strike(Role::Server, fault));
}

#[test]
fn whatever_the_client_spoils_both_sides_err() {
    Fault::ERRORS.into_iter().for_each(|fault| strike(Role::Client, fault));
}

#[test]
fn garbled_words_are_neither_errors_nor_panics() {
    let (plan, ..) = small_plan();
    for who in [Role::Server, Role::Client] {
        let count = sending(&plan, who).len();
        assert!(count >= 4, "a plan with messages to spoil");
        for at in 0..count {
            let [server, client] = run(Fault::Garbled, who, at, 100 + at as u64);
            assert!(server.is_ok() && client.is_ok());
        }
    }
}

#[test]
fn a_peer_that_goes_away_is_noticed_before_the_deadline() {
    let (plan, ..) = small_plan();
    for who in [Role::Server, Role::Client] {
        for at in 0..sending(&plan, who).len() {
            let results = run(Fault::Gone, who, at, 200 + at as u64);
            assert!(results[who.index()].is_err());
            match &results[who.peer().index()] {
                Err(Error::Link(NetError::Link { .. })) => {}
                Err(e) => panic!("{}'s message {at}: {e}", who.name()),
                Ok(_) => panic!("{}'s message {at}: no error", who.name()),
            }
        }
    }
}
