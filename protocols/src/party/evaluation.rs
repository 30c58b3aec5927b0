//! An evaluation as a state machine: what to send and what to wait for, without a link, a clock or a thread.

use sotto_link::Link;
use sotto_ring::{lanes, mask};

use super::{Evaluated, Party};
use crate::{
    batch::Staged,
    drawn::{Drawn, Packed},
    error::Error,
    exchange::Exchange,
    observer::Observer,
    plan::{Step, Traffic},
    run::{Content, Outgoing, Output, Run, Value},
    spec::{Role, Spec, Wire},
};

/// What an evaluation wants next.
pub enum Turn {
    /// Messages cross in this level.
    Exchange {
        /// The level, which names the messages of both parties.
        level: u32,
        /// What to send, unless it is empty.
        send: Vec<u8>,
        /// Bytes of the peer's message; where it is not 0, [`Evaluation::receive`] is due before the next turn.
        expect: usize,
    },
    /// It is over.
    Done(Evaluated),
}

/// One evaluation of a plan at one party, which uses its correlations up.
///
/// Whoever drives it takes turns until it is done, and carries the messages. [`Evaluation::run`] does so over a link,
/// [`super::lockstep()`] for both parties in one process.
pub struct Evaluation<'a> {
    party: Party<'a>,
    staged: Staged,
    values: Vec<Option<Value>>,
    pending: Vec<Option<Pending>>,
    traffic: Traffic,
    level: usize,
    /// Calls of gates so far.
    time: usize,
    /// What the level exchanges, by node, until the peer's message is here.
    queue: Vec<(usize, Outgoing)>,
    /// Bytes of the peer's message that is waited for.
    due: usize,
    observer: Option<&'a mut dyn Observer>,
}

/// What a gate has for its next call.
#[derive(Default)]
struct Pending {
    opened: Vec<Content>,
    kept: Vec<Vec<u64>>,
}

impl<'a> Evaluation<'a> {
    /// Begins. `inputs` are this party's shares of the plan's inputs, in fixed point: the inputs themselves at a client
    /// that alone knows them, and then none at the server.
    ///
    /// # Errors
    /// [`Error::Input`] when they are not of the plan's shape.
    pub fn new(party: &Party<'a>, staged: Staged, inputs: &[Vec<i64>]) -> Result<Self, Error> {
        let plan = party.plan;
        let mut values: Vec<Option<Value>> = vec![None; plan.wires.len()];
        for (i, w) in plan.inputs.iter().enumerate() {
            let spec = &plan.wires[w.index()];
            let m = mask(spec.share_width());
            let words = match inputs.get(i) {
                None if party.role == Role::Server && inputs.is_empty() => vec![0; spec.count()],
                input => input.into_iter().flatten().map(|&x| x as u64 & m).collect(),
            };
            if words.len() != spec.count() {
                let (found, due) = (words.len(), spec.count());
                let what = format!("input {i} has {found} elements, the plan says {due}");
                return Err(Error::Input(what));
            }
            values[w.index()] = Some(Value::Share(words));
        }
        Ok(Self {
            party: *party,
            staged,
            values,
            pending: (0..plan.nodes.len()).map(|_| None).collect(),
            traffic: Traffic::default(),
            level: 0,
            time: 0,
            queue: Vec::new(),
            due: 0,
            observer: None,
        })
    }

    /// The same with somebody who watches, who is shown the inputs at once.
    pub fn observed(mut self, observer: &'a mut dyn Observer) -> Self {
        for w in &self.party.plan.inputs {
            let value = self.values[w.index()].as_ref();
            observer.wrote(*w, value.expect("it was placed"));
        }
        self.observer = Some(observer);
        self
    }

    /// Takes turns over a link until it is over.
    ///
    /// # Errors
    /// [`Error::Link`] when the peer vanishes, hangs or is out of step.
    pub fn run(mut self, link: &mut dyn Link) -> Result<Evaluated, Error> {
        loop {
            match self.turn() {
                Turn::Exchange { level, send, expect } => {
                    if let Some(message) =
                        link.exchange(level, send, expect, &mut || self.expand())?
                    {
                        self.receive(&message)?;
                    }
                }
                Turn::Done(evaluated) => return Ok(evaluated),
            }
        }
    }

    /// Expands the correlations of the gates that begin in the next level, which needs nothing of the peer: time well spent while
    /// a message is under way. What is not expanded then is when its gate begins.
    pub fn expand(&mut self) {
        let plan = self.party.plan;
        let next = plan.levels.get(self.level + usize::from(self.due > 0)).into_iter().flatten();
        for step in next.filter(|step| step.round == 0) {
            self.staged.reach(plan, step.node);
        }
    }

    /// Works until there is something to send or to wait for.
    ///
    /// # Panics
    /// When the peer's message of the last turn is still due: the driver is wrong.
    pub fn turn(&mut self) -> Turn {
        assert_eq!(self.due, 0, "the peer's message of level {} is due", self.level);
        let Party { role, plan, .. } = self.party;
        while self.level < plan.levels.len() {
            let level = self.level;
            let send = self.run_level();
            let theirs = self.queue.iter().map(|(_, o)| &o.exchange);
            let theirs = theirs.filter(|e| e.to.sends(role.peer()));
            let expect: usize = theirs.map(Exchange::bytes).sum();
            let (server, client) = match role {
                Role::Server => (send.len(), expect),
                Role::Client => (expect, send.len()),
            };
            self.traffic.from_server += server as u64;
            self.traffic.from_client += client as u64;
            self.traffic.flights += u64::from(server + client > 0);
            self.due = expect;
            if expect == 0 {
                self.join(&[]);
            }
            if server + client > 0 {
                self.tell(|o| o.sends(level, &send));
                return Turn::Exchange { level: level as u32, send, expect };
            }
        }
        let output =
            |w: &Wire| signed_output(&plan.wires[w.index()], self.values[w.index()].as_ref());
        let outputs = match role {
            Role::Server => Vec::new(),
            Role::Client => plan.outputs.iter().map(output).collect(),
        };
        Turn::Done(Evaluated { outputs, traffic: self.traffic })
    }

    /// Takes the peer's message of this level in.
    ///
    /// # Errors
    /// [`Error::Desync`] when none is due, or one of another length; the evaluation is as before then.
    pub fn receive(&mut self, message: &[u8]) -> Result<(), Error> {
        let due = self.due;
        if due == 0 || message.len() != due {
            let (level, len) = (self.level, message.len());
            return Err(Error::Desync {
                peer: self.party.role.peer().name().to_owned(),
                what: format!("it sent {len} bytes where {due} are due, in level {level}"),
                remedy: "compare the plans of both sides".into(),
            });
        }
        self.join(message);
        Ok(())
    }

    fn tell(&mut self, what: impl FnOnce(&mut dyn Observer)) {
        if let Some(observer) = &mut self.observer {
            what(&mut **observer);
        }
    }

    /// Runs the level's gates; gives this party's message.
    fn run_level(&mut self) -> Vec<u8> {
        let Party { role, plan, .. } = self.party;
        let mut payload = Vec::with_capacity(plan.level_bytes(self.level, role));
        for step in &plan.levels[self.level] {
            self.run_step(*step, &mut payload);
        }
        payload
    }

    fn run_step(&mut self, step: Step, payload: &mut Vec<u8>) {
        let Self { party, staged, values, pending, observer, .. } = self;
        let plan = party.plan;
        let node = &plan.nodes[step.node];
        let before = pending[step.node].take().unwrap_or_default();
        let (drawn, corrections) = staged.reach(plan, step.node);
        let mut run = Run {
            role: party.role,
            inputs: (node.inputs.iter())
                .map(|w| values[w.index()].as_ref().expect("written before read"))
                .collect(),
            drawn,
            corrections,
            draws: &plan.draws[step.node],
            opened: before.opened,
            kept: before.kept,
            queue: Vec::new(),
            payload,
            outputs: Vec::new(),
            weights: party.weights,
        };
        node.gate.run(step.round, &mut run);
        let Run { queue: sent, outputs, kept, .. } = run;
        if !sent.is_empty() || !kept.is_empty() {
            pending[step.node] = Some(Pending { opened: Vec::new(), kept });
        }
        let done = !outputs.is_empty();
        let last = |w: &Wire| plan.last_use[w.index()] == self.time;
        for (w, v) in node.outputs.iter().zip(outputs) {
            let from = |i: usize| node.inputs[i];
            let value = match v {
                Output::New(value) => Some(value),
                Output::Input(i) if last(&from(i)) => values[from(i).index()].take(),
                Output::Input(i) => values[from(i).index()].clone(),
            };
            if let (Some(observer), Some(value)) = (observer.as_mut(), &value) {
                observer.wrote(*w, value);
            }
            values[w.index()] = value;
        }
        self.queue.extend(sent.into_iter().map(|o| (step.node, o)));
        for w in node.inputs.iter().filter(|w| last(w)) {
            values[w.index()] = None;
        }
        if done {
            let drawn = staged.take(step.node);
            let unused = drawn.iter().any(Drawn::is_fresh);
            assert!(!unused, "{} leaves a mask unused", node.gate.name());
        }
        self.time += 1;
        self.tell(|o| o.ran(step));
    }

    /// Ends the level: joins the peer's message with what this party has queued.
    fn join(&mut self, message: &[u8]) {
        let level = self.level;
        self.tell(|o| o.received(level));
        let peer = self.party.role.peer();
        let mut rest = message;
        for (node, o) in self.queue.drain(..) {
            let theirs = o.exchange.to.sends(peer).then(|| {
                let (head, tail) = rest.split_at(o.exchange.bytes());
                rest = tail;
                head
            });
            self.pending[node].get_or_insert_default().opened.push(joined(o, theirs));
        }
        self.due = 0;
        self.level += 1;
        self.tell(|o| o.opened(level));
    }
}

/// What is open once the peer's packed part has arrived; nothing where it sends none.
fn joined(own: Outgoing, theirs: Option<&[u8]>) -> Content {
    let Outgoing { exchange: Exchange { count, width, .. }, mut content } = own;
    match (&mut content, theirs) {
        (Content::Words(words), Some(theirs)) => {
            let m = mask(width);
            Packed::new(theirs, count, width).zip(words, |words, theirs| {
                lanes::join(words, theirs, m);
            });
        }
        (Content::Bits(bits), Some(theirs)) => {
            bits.bytes.iter_mut().zip(theirs).for_each(|(b, t)| *b ^= t);
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
