//! A party: walks the plan's levels with its share of everything.

use sotto_net::Link;
use sotto_ring::{mask, pack};

use crate::{
    batch::Staged,
    error::Error,
    gate::{Draw, Exchange, To},
    plan::{Plan, Traffic},
    spec::{Role, Spec},
    weights::Weights,
};

/// What a party holds of a wire. No `Debug`: shares are secret.
#[derive(Clone)]
pub enum Value {
    /// Its additive part.
    Share(Vec<u64>),
    /// The opened words `c`, and this party's part of the mask (empty for a derived opening).
    Opened(Vec<u64>, Vec<u64>),
    /// The public factors of a form; `None` is the constant 1.
    Form(Vec<Option<Vec<u64>>>),
}

/// A party's part of one draw.
#[derive(Clone)]
pub enum Drawn {
    /// Words of a mask or value.
    Words(Vec<u64>),
    /// Bits of one-hot vectors.
    Bits(Vec<u8>),
    /// Nothing: the other party's mask.
    Absent,
}

/// A party's view of a gate before the input is known.
pub struct Prepare<'a> {
    /// Which party.
    pub role: Role,
    /// Its weights.
    pub weights: &'a Weights,
    pub(crate) drawn: &'a mut Vec<Drawn>,
}

impl Prepare<'_> {
    /// This party's words of draw `draw`.
    pub fn words(&mut self, draw: usize) -> &mut Vec<u64> {
        match &mut self.drawn[draw] {
            Drawn::Words(w) => w,
            _ => panic!("draw {draw} has no words here"),
        }
    }
}

struct Outgoing {
    exchange: Exchange,
    words: Vec<u64>,
}

/// A party's view of one call of a gate.
pub struct Run<'a> {
    role: Role,
    inputs: Vec<&'a Value>,
    drawn: &'a mut [Drawn],
    draws: &'a [Draw],
    opened: Vec<Vec<u64>>,
    kept: Vec<Vec<u64>>,
    queue: Vec<Outgoing>,
    outputs: Vec<Value>,
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

    /// This party's part of the mask of the opened input `i`.
    pub fn own_mask(&self, i: usize) -> &'a [u64] {
        match self.inputs[i] {
            Value::Opened(_, r) => r,
            _ => panic!("input {i} is not opened"),
        }
    }

    /// What this party holds of input `i`.
    pub fn value(&self, i: usize) -> &'a Value {
        self.inputs[i]
    }

    /// The public factors of the form that is input `i`.
    pub fn form(&self, i: usize) -> &'a [Option<Vec<u64>>] {
        match self.inputs[i] {
            Value::Form(f) => f,
            _ => panic!("input {i} is not a form"),
        }
    }

    /// This party's words of draw `draw`.
    pub fn words(&self, draw: usize) -> &[u64] {
        match &self.drawn[draw] {
            Drawn::Words(w) => w,
            _ => panic!("draw {draw} has no words here"),
        }
    }

    /// This party's one-hot bits of draw `draw`.
    pub fn bits(&self, draw: usize) -> &[u8] {
        match &self.drawn[draw] {
            Drawn::Bits(b) => b,
            _ => panic!("draw {draw} is not a one-hot"),
        }
    }

    /// Takes this party's words of draw `draw`, which is not needed again.
    pub fn take_words(&mut self, draw: usize) -> Vec<u64> {
        match &mut self.drawn[draw] {
            Drawn::Words(w) => std::mem::take(w),
            _ => panic!("draw {draw} has no words here"),
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
        for (w, r) in words.iter_mut().zip(self.words(draw)) {
            *w = w.wrapping_add(*r) & m;
        }
        let to = To::Both;
        self.send(Exchange { count, width, to }, words);
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
            for (w, r) in words.iter_mut().zip(self.words(draw)) {
                *w = w.wrapping_sub(*r) & m;
            }
        }
        let to = To::Server;
        self.send(Exchange { count, width, to }, words);
    }

    /// Reveals a shared value to the client: the promised result, nothing else.
    pub fn reveal_to_client(&mut self, words: Vec<u64>, width: u32) {
        let to = To::Client;
        let count = words.len();
        self.send(Exchange { count, width, to }, words);
    }

    fn send(&mut self, exchange: Exchange, words: Vec<u64>) {
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
        self.outputs.push(value);
    }
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
        mut staged: Staged,
        shares: &[Vec<i64>],
    ) -> Result<Evaluation, Error> {
        let plan = self.plan;
        let mut values: Vec<Option<Value>> = vec![None; plan.wires.len()];
        self.place_inputs(&mut values, shares)?;
        let mut traffic = Traffic::default();
        let mut pending: Vec<Option<Pending>> = (0..plan.nodes.len()).map(|_| None).collect();
        let mut time = 0;
        for (level, steps) in plan.levels.iter().enumerate() {
            let mut queue: Vec<(usize, Outgoing)> = Vec::new();
            for step in steps {
                let node = &plan.nodes[step.node];
                let before = pending[step.node].take().unwrap_or_default();
                let draws = node.gate.draws();
                let mut run = Run {
                    role: self.role,
                    inputs: (node.inputs.iter())
                        .map(|w| values[w.index()].as_ref().expect("written before read"))
                        .collect(),
                    drawn: &mut staged.drawn[step.node],
                    draws: &draws,
                    opened: before.opened,
                    kept: before.kept,
                    queue: Vec::new(),
                    outputs: Vec::new(),
                    weights: self.weights,
                };
                node.gate.run(step.round, &mut run);
                let Run { queue: sent, outputs, kept, .. } = run;
                if !sent.is_empty() || !kept.is_empty() {
                    pending[step.node] = Some(Pending { opened: Vec::new(), kept });
                }
                let done = !outputs.is_empty();
                for (w, v) in node.outputs.iter().zip(outputs) {
                    values[w.index()] = Some(v);
                }
                queue.extend(sent.into_iter().map(|o| (step.node, o)));
                if !self.watch {
                    for w in &node.inputs {
                        if plan.last_use[w.index()] == time {
                            values[w.index()] = None;
                        }
                    }
                }
                if done {
                    staged.drawn[step.node].clear();
                }
                time += 1;
            }
            self.exchange(link, level, queue, &mut pending, &mut traffic)?;
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
        queue: Vec<(usize, Outgoing)>,
        pending: &mut [Option<Pending>],
        traffic: &mut Traffic,
    ) -> Result<(), Error> {
        let sends = |role: Role, to: To| match to {
            To::Both => true,
            To::Server => role == Role::Client,
            To::Client => role == Role::Server,
        };
        let mut payload = Vec::new();
        let mut expected = 0;
        for (_, o) in &queue {
            if sends(self.role, o.exchange.to) {
                pack::pack(&o.words, o.exchange.width, &mut payload);
            }
            if sends(self.role.peer(), o.exchange.to) {
                expected += o.exchange.bytes();
            }
        }
        let sent = payload.len();
        if sent > 0 {
            link.send(level as u32, payload)?;
        }
        let received = if expected > 0 {
            link.recv(level as u32, expected)?
        } else {
            Vec::new()
        };
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
                let mut theirs = vec![0; o.exchange.count];
                pack::unpack(head, o.exchange.width, &mut theirs);
                let m = mask(o.exchange.width);
                for (w, t) in o.words.iter_mut().zip(&theirs) {
                    *w = w.wrapping_add(*t) & m;
                }
            } else {
                o.words = Vec::new();
            }
            pending[node].get_or_insert_default().opened.push(o.words);
        }
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
