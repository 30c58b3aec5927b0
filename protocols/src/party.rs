//! A party: walks the plan's levels with its share of everything.

use sotto_net::Link;
use sotto_ring::mask;

pub use crate::run::{Factor, Prepare, Run, Value};
use crate::{
    batch::Staged,
    drawn::{Drawn, Packed},
    error::Error,
    exchange::{Exchange, To},
    matrices::Weights,
    plan::{Plan, Step, Traffic},
    run::{Content, Outgoing, Output},
    spec::{Role, Spec, Wire},
};

/// How far an evaluation is, for an observer with a clock; says nothing that the plan does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A call of a gate has ended.
    Ran(Step),
    /// The peer's message of the level, if it has one, is here.
    Received(usize),
    /// What the level opened is unpacked.
    Opened(usize),
}

/// What an evaluation gave to this party.
pub struct Evaluation {
    /// The plan's outputs as signed integers, at the client; empty at the server.
    pub outputs: Vec<Vec<i64>>,
    /// All shares and openings that were alive, for tests: only with [`Party::watch`].
    pub watched: Vec<Option<Value>>,
    /// Measured traffic.
    pub traffic: Traffic,
}

/// One party of an evaluation.
pub struct Party<'a> {
    /// Which one.
    pub role: Role,
    /// The plan.
    pub plan: &'a Plan,
    /// Its weights.
    pub weights: &'a Weights,
    /// Keep every wire (tests only: memory).
    pub watch: bool,
}

impl Party<'_> {
    /// Evaluates the plan once with `staged` correlations, which are used up.
    ///
    /// `inputs` are the client's input tensors in fixed point; the server passes none.
    ///
    /// # Errors
    /// [`Error::Link`] when the peer vanishes, hangs or is out of step.
    pub fn evaluate(
        &self,
        link: &mut dyn Link,
        staged: Staged,
        inputs: &[Vec<i64>],
    ) -> Result<Evaluation, Error> {
        match self.role {
            Role::Client => self.evaluate_shared(link, staged, inputs),
            Role::Server => {
                let specs = self.plan.inputs.iter().map(|w| &self.plan.wires[w.index()]);
                let zeros: Vec<Vec<i64>> = specs.map(|s| vec![0; s.count()]).collect();
                self.evaluate_shared(link, staged, &zeros)
            }
        }
    }

    /// Like [`Party::evaluate`] on inputs that are already shared: `shares` is this party's part.
    ///
    /// # Errors
    /// As [`Party::evaluate`]; [`Error::Input`] when the shares are not of the plan's shape.
    pub fn evaluate_shared(
        &self,
        link: &mut dyn Link,
        staged: Staged,
        shares: &[Vec<i64>],
    ) -> Result<Evaluation, Error> {
        self.evaluate_observed(link, staged, shares, &mut |_| {})
    }

    /// Like [`Party::evaluate_shared`]; `observe` is told how far it is.
    ///
    /// # Errors
    /// As [`Party::evaluate_shared`].
    pub fn evaluate_observed(
        &self,
        link: &mut dyn Link,
        mut staged: Staged,
        shares: &[Vec<i64>],
        observe: &mut dyn FnMut(Event),
    ) -> Result<Evaluation, Error> {
        let plan = self.plan;
        let mut values: Vec<Option<Value>> = vec![None; plan.wires.len()];
        self.place_inputs(&mut values, shares)?;
        let mut traffic = Traffic::default();
        let mut pending: Vec<Option<Pending>> = (0..plan.nodes.len()).map(|_| None).collect();
        let mut time = 0;
        for (level, steps) in plan.levels.iter().enumerate() {
            let mut queue: Vec<(usize, Outgoing)> = Vec::new();
            let mut payload = Vec::with_capacity(plan.level_bytes(level, self.role));
            for step in steps {
                let node = &plan.nodes[step.node];
                let before = pending[step.node].take().unwrap_or_default();
                let mut run = Run {
                    role: self.role,
                    inputs: (node.inputs.iter())
                        .map(|w| values[w.index()].as_ref().expect("written before read"))
                        .collect(),
                    drawn: &mut staged.drawn[step.node],
                    corrections: &staged.corrections,
                    draws: &plan.draws[step.node],
                    opened: before.opened,
                    kept: before.kept,
                    queue: Vec::new(),
                    payload: &mut payload,
                    outputs: Vec::new(),
                    weights: self.weights,
                };
                node.gate.run(step.round, &mut run);
                let Run { queue: sent, outputs, kept, .. } = run;
                if !sent.is_empty() || !kept.is_empty() {
                    pending[step.node] = Some(Pending { opened: Vec::new(), kept });
                }
                let done = !outputs.is_empty();
                let last = |w: &Wire| !self.watch && plan.last_use[w.index()] == time;
                for (w, v) in node.outputs.iter().zip(outputs) {
                    let from = |i: usize| node.inputs[i];
                    values[w.index()] = match v {
                        Output::New(value) => Some(value),
                        Output::Input(i) if last(&from(i)) => values[from(i).index()].take(),
                        Output::Input(i) => values[from(i).index()].clone(),
                    };
                }
                queue.extend(sent.into_iter().map(|o| (step.node, o)));
                for w in node.inputs.iter().filter(|w| last(w)) {
                    values[w.index()] = None;
                }
                if done {
                    let drawn = std::mem::take(&mut staged.drawn[step.node]);
                    let unused = drawn.iter().any(Drawn::is_fresh);
                    assert!(!unused, "{} leaves a mask unused", node.gate.name());
                }
                time += 1;
                observe(Event::Ran(*step));
            }
            let sending = (queue, payload);
            self.exchange(link, level, sending, &mut pending, &mut traffic, observe)?;
        }
        let outputs = match self.role {
            Role::Server => Vec::new(),
            Role::Client => (plan.outputs.iter())
                .map(|w| signed_output(&plan.wires[w.index()], values[w.index()].as_ref()))
                .collect(),
        };
        Ok(Evaluation { outputs, watched: values, traffic })
    }

    fn place_inputs(&self, values: &mut [Option<Value>], inputs: &[Vec<i64>]) -> Result<(), Error> {
        let specs = self.plan.inputs.iter().map(|w| (w, &self.plan.wires[w.index()]));
        for (i, (w, spec)) in specs.enumerate() {
            let input = inputs.get(i).map_or(&[][..], |v| v);
            if input.len() != spec.count() {
                return Err(Error::Input(format!(
                    "input {i} has {} elements, the plan says {}",
                    input.len(),
                    spec.count()
                )));
            }
            let m = mask(spec.share_width());
            let words = input.iter().map(|&x| x as u64 & m).collect();
            values[w.index()] = Some(Value::Share(words));
        }
        Ok(())
    }

    fn exchange(
        &self,
        link: &mut dyn Link,
        level: usize,
        (queue, payload): (Vec<(usize, Outgoing)>, Vec<u8>),
        pending: &mut [Option<Pending>],
        traffic: &mut Traffic,
        observe: &mut dyn FnMut(Event),
    ) -> Result<(), Error> {
        let sends = |role: Role, to: To| match to {
            To::Both => true,
            To::Server => role == Role::Client,
            To::Client => role == Role::Server,
        };
        let mut expected = 0;
        for (_, o) in &queue {
            if sends(self.role.peer(), o.exchange.to) {
                expected += o.exchange.bytes();
            }
        }
        let sent = payload.len();
        if sent > 0 {
            link.send(level as u32, payload)?;
        }
        let received = if expected > 0 { link.recv(level as u32, expected)? } else { Vec::new() };
        observe(Event::Received(level));
        let (server, client) = match self.role {
            Role::Server => (sent, expected),
            Role::Client => (expected, sent),
        };
        traffic.from_server += server as u64;
        traffic.from_client += client as u64;
        traffic.flights += u64::from(sent + expected > 0);
        let mut rest = &received[..];
        for (node, o) in queue {
            let theirs = sends(self.role.peer(), o.exchange.to).then(|| {
                let (head, tail) = rest.split_at(o.exchange.bytes());
                rest = tail;
                head
            });
            pending[node].get_or_insert_default().opened.push(joined(o, theirs));
        }
        observe(Event::Opened(level));
        Ok(())
    }
}

#[derive(Default)]
struct Pending {
    opened: Vec<Content>,
    kept: Vec<Vec<u64>>,
}

/// What is open once the peer's packed part has arrived; nothing where it sends none.
fn joined(own: Outgoing, theirs: Option<&[u8]>) -> Content {
    let Outgoing { exchange: Exchange { count, width, .. }, mut content } = own;
    match (&mut content, theirs) {
        (Content::Words(words), Some(theirs)) => {
            let m = mask(width);
            Packed::new(theirs, count, width).zip(words, |words, theirs| {
                for (w, t) in words.iter_mut().zip(theirs) {
                    *w = w.wrapping_add(*t) & m;
                }
            });
        }
        (Content::Bits(bits), Some(theirs)) => {
            bits.iter_mut().zip(theirs).for_each(|(b, t)| *b ^= t);
        }
        (_, None) => content = Content::Words(Vec::new()),
    }
    content
}

fn signed_output(spec: &Spec, value: Option<&Value>) -> Vec<i64> {
    match value {
        Some(Value::Opened(words, _)) => {
            let (_, offset) = spec.opened();
            words.iter().map(|&w| w.wrapping_sub(offset) as i64).collect()
        }
        _ => panic!("the plan's outputs are revealed values"),
    }
}
