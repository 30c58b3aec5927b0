//! A party: walks the plan's levels with its share of everything.

use std::sync::Arc;

use sotto_net::Link;
use sotto_ring::{mask, pack};

use crate::{
    batch::Staged,
    drawn::{Drawn, Draws, Map, Packed, View},
    error::Error,
    gate::{Draw, Exchange, To},
    plan::{Plan, Step, Traffic},
    spec::{Role, Spec, Wire},
    weights::Weights,
};

/// What a party holds of a wire. No `Debug`: shares are secret.
#[derive(Clone)]
pub enum Value {
    /// Its additive part.
    Share(Vec<u64>),
    /// The opened words `c`, and this party's part of the mask, packed (empty for a derived opening).
    Opened(Vec<u64>, Vec<u8>),
    /// The public factors of a form; `None` is the constant 1.
    Form(Vec<Option<Factor>>),
}

/// A public factor: words that several factors of a form may share, and how it follows from them.
#[derive(Clone)]
pub struct Factor {
    words: Arc<Vec<u64>>,
    map: Map,
}

impl Factor {
    pub(crate) fn new(words: &Arc<Vec<u64>>, map: Map) -> Self {
        Self { words: Arc::clone(words), map }
    }

    pub(crate) fn view(&self) -> View<'_> {
        View { words: &self.words, map: self.map }
    }

    /// The factor of every element.
    pub fn to_words(&self) -> Vec<u64> {
        self.view().to_words()
    }
}

/// A party's view of a gate before the input is known.
pub struct Prepare<'a> {
    /// Which party.
    pub role: Role,
    /// Its weights.
    pub weights: &'a Weights,
    pub(crate) draws: Draws<'a>,
    pub(crate) prepared: Vec<(usize, Vec<u64>)>,
}

impl Prepare<'_> {
    /// This party's words of draw `draw`.
    pub fn words(&self, draw: usize) -> Vec<u64> {
        self.draws.words(draw)
    }

    /// Puts `words` in the place of draw `draw`.
    pub fn replace(&mut self, draw: usize, words: Vec<u64>) {
        self.prepared.push((draw, words));
    }
}

struct Outgoing {
    exchange: Exchange,
    words: Vec<u64>,
}

enum Output {
    New(Value),
    /// The words of an input, which stay as they are.
    Input(usize),
}

/// A party's view of one call of a gate.
pub struct Run<'a> {
    role: Role,
    inputs: Vec<&'a Value>,
    drawn: &'a mut [Drawn],
    corrections: &'a [u8],
    draws: &'a [Draw],
    opened: Vec<Vec<u64>>,
    kept: Vec<Vec<u64>>,
    queue: Vec<Outgoing>,
    payload: &'a mut Vec<u8>,
    outputs: Vec<Output>,
    weights: &'a Weights,
}

impl<'a> Run<'a> {
    /// Which party this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// True at the party that adds public constants to shares.
    pub fn is_server(&self) -> bool {
        self.role == Role::Server
    }

    /// This party's part of the shared input `i`.
    pub fn share(&self, i: usize) -> &'a [u64] {
        match self.inputs[i] {
            Value::Share(w) => w,
            _ => panic!("input {i} is not a share"),
        }
    }

    /// The opened words of input `i`.
    pub fn public(&self, i: usize) -> &'a [u64] {
        match self.inputs[i] {
            Value::Opened(w, _) => w,
            _ => panic!("input {i} is not opened"),
        }
    }

    /// This party's part of the mask of the opened input `i`, which has `width` bits.
    pub fn own_mask(&self, i: usize, width: u32) -> Packed<'a> {
        match self.inputs[i] {
            Value::Opened(c, r) => Packed::new(r, c.len(), width),
            _ => panic!("input {i} is not opened"),
        }
    }

    /// What this party holds of input `i`.
    pub fn value(&self, i: usize) -> &'a Value {
        self.inputs[i]
    }

    fn all_draws(&self) -> Draws<'_> {
        Draws { drawn: self.drawn, corrections: self.corrections, draws: self.draws }
    }

    /// This party's words of draw `draw`, still packed.
    pub fn packed(&self, draw: usize) -> Packed<'_> {
        self.all_draws().packed(draw)
    }

    /// This party's words of draw `draw`.
    pub fn words(&self, draw: usize) -> Vec<u64> {
        self.all_draws().words(draw)
    }

    /// This party's one-hot bits of draw `draw`.
    pub fn bits(&self, draw: usize) -> &[u8] {
        self.all_draws().bits(draw)
    }

    /// Takes this party's words of draw `draw`, which is not needed again.
    pub fn take_words(&mut self, draw: usize) -> Vec<u64> {
        match std::mem::replace(&mut self.drawn[draw], Drawn::Absent) {
            Drawn::Words(words) => words,
            packed => {
                self.drawn[draw] = packed;
                self.words(draw)
            }
        }
    }

    /// Takes the packed words of a mask that this party drew, which is not opened under again.
    pub fn take_mask(&mut self, draw: usize) -> Vec<u8> {
        match std::mem::replace(&mut self.drawn[draw], Drawn::Absent) {
            Drawn::Seeded(bytes) => bytes,
            _ => panic!("draw {draw} is not a mask"),
        }
    }

    /// The party's weights.
    pub fn weights(&self) -> &'a Weights {
        self.weights
    }

    /// Opens `words` to both under the mask `draw`: adds this party's part of the mask and
    /// reduces to the opened width. The only way in which words derived from a share leave a party.
    pub fn open(&mut self, mut words: Vec<u64>, draw: usize) {
        let Draw::Mask { count, width } = self.draws[draw] else {
            panic!("draw {draw} is not a mask of both parties")
        };
        assert_eq!(words.len(), count, "opening {} of {count}", words.len());
        let m = mask(width);
        let all = Draws { drawn: self.drawn, corrections: self.corrections, draws: self.draws };
        all.packed(draw).zip(&mut words, |words, masks| {
            for (w, r) in words.iter_mut().zip(masks) {
                *w = w.wrapping_add(*r) & m;
            }
            pack::pack(words, width, self.payload);
        });
        let exchange = Exchange { count, width, to: To::Both };
        self.queue.push(Outgoing { exchange, words });
    }

    /// Opens `words` to the server alone, under the client's mask `draw`: the server receives
    /// `x - A`.
    pub fn open_to_server(&mut self, mut words: Vec<u64>, draw: usize) {
        let Draw::ClientMask { count, width } = self.draws[draw] else {
            panic!("draw {draw} is not a mask of the client")
        };
        assert_eq!(words.len(), count, "opening {} of {count}", words.len());
        let m = mask(width);
        if self.role == Role::Client {
            let all = Draws { drawn: self.drawn, corrections: self.corrections, draws: self.draws };
            all.packed(draw).zip(&mut words, |words, masks| {
                for (w, r) in words.iter_mut().zip(masks) {
                    *w = w.wrapping_sub(*r) & m;
                }
                pack::pack(words, width, self.payload);
            });
        }
        let exchange = Exchange { count, width, to: To::Server };
        self.queue.push(Outgoing { exchange, words });
    }

    /// Reveals a shared value to the client: the promised result, nothing else.
    pub fn reveal_to_client(&mut self, words: Vec<u64>, width: u32) {
        if self.role == Role::Server {
            pack::pack(&words, width, self.payload);
        }
        let exchange = Exchange { count: words.len(), width, to: To::Client };
        self.queue.push(Outgoing { exchange, words });
    }

    /// What the previous round opened, in the order in which it was queued; empty at a party that
    /// does not learn it.
    pub fn opened(&mut self, i: usize) -> Vec<u64> {
        std::mem::take(&mut self.opened[i])
    }

    /// Keeps words for the gate's next call.
    pub fn keep(&mut self, words: Vec<u64>) {
        self.kept.push(words);
    }

    /// Words kept by the previous call.
    pub fn kept(&mut self, i: usize) -> Vec<u64> {
        std::mem::take(&mut self.kept[i])
    }

    /// Writes the next output.
    pub fn output(&mut self, value: Value) {
        self.outputs.push(Output::New(value));
    }

    /// Writes input `i`, as it is, as the next output: moved where nobody reads the input again.
    pub fn output_input(&mut self, i: usize) {
        self.outputs.push(Output::Input(i));
    }
}

/// How far an evaluation is, for an observer with a clock; says nothing that the plan does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A call of a gate has ended.
    Ran(Step),
    /// This party's message of the level, if it has one, is queued.
    Sent(usize),
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
            Role::Client => self.evaluate_observed(link, staged, inputs, &mut |_| {}),
            Role::Server => {
                let specs = self.plan.inputs.iter().map(|w| &self.plan.wires[w.index()]);
                let zeros: Vec<Vec<i64>> = specs.map(|s| vec![0; s.count()]).collect();
                self.evaluate_observed(link, staged, &zeros, &mut |_| {})
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
                    staged.drawn[step.node].clear();
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
        observe(Event::Sent(level));
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
        for (node, mut o) in queue {
            if sends(self.role.peer(), o.exchange.to) {
                let (head, tail) = rest.split_at(o.exchange.bytes());
                rest = tail;
                let Exchange { count, width, .. } = o.exchange;
                let m = mask(width);
                Packed::new(head, count, width).zip(&mut o.words, |words, theirs| {
                    for (w, t) in words.iter_mut().zip(theirs) {
                        *w = w.wrapping_add(*t) & m;
                    }
                });
            } else {
                o.words = Vec::new();
            }
            pending[node].get_or_insert_default().opened.push(o.words);
        }
        observe(Event::Opened(level));
        Ok(())
    }
}

#[derive(Default)]
struct Pending {
    opened: Vec<Vec<u64>>,
    kept: Vec<Vec<u64>>,
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
