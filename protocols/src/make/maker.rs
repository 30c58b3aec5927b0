//! Making a batch as a state machine: what to send and what to wait for, without a link, a clock or a thread. What becomes of the
//! peer's message is in `join`.

mod join;

use std::sync::Arc;

use sotto_crypto::{Seed, Stream};
use sotto_ot::{Received, Sent};
use sotto_ring::pack;

use super::{
    cot::{Sum, send},
    matrices::Matrices,
    transfers::Transfers,
    triples::{And, Triples},
};
use crate::{
    dealing::expand,
    draw::Draw,
    error::Error,
    making::{
        Encrypted,
        recipe::{Op, Part, Parts, Recipe, Slot},
    },
    plan::Traffic,
    spec::Role,
};

/// What making a batch wants next.
pub enum MakeTurn {
    /// Messages cross in this level: both parties' at once.
    Exchange {
        /// The level, which names the messages of both parties.
        level: u32,
        /// What to send, unless it is empty.
        send: Vec<u8>,
        /// Bytes of the peer's message; where it is not 0, [`Maker::receive`] is due before the next turn.
        expect: usize,
    },
    /// It is over.
    Done(Made),
}

/// What a party made. No `Debug`: it is secret.
pub struct Made {
    /// Its own part of every draw that a dealer would correct; those that are supplied are still 0.
    pub corrections: Vec<u8>,
    /// Its shares of what both rounded, with the node and the ring's width: for a check alone.
    pub rounded: Vec<(usize, u32, Vec<u64>)>,
    /// What crossed.
    pub traffic: Traffic,
}

/// What is held of a value: a part, or COTs.
enum Value {
    Part(Part),
    Sent(Sent),
    Received(Received),
}

/// What a step keeps until the peer's message is here.
enum Waiting {
    /// Chosen by the peer: so many COTs come.
    Choice(usize),
    /// This party's share so far; it receives over the COTs of this slot, in so many planes.
    Words {
        share: Vec<u64>,
        from: Option<(Slot, u32)>,
        sum: Sum,
        width: u32,
    },
    And(And),
    /// The peer's left operands.
    Upload(Arc<Encrypted>),
    /// This party's share of the half that it evaluated.
    Answer(Arc<Encrypted>, Vec<u64>),
    /// The client's answer to the encrypted matrix of this layer.
    Layer(usize),
    /// This party's words of an opening, and their bits.
    Open(Vec<u64>, u32),
}

/// One batch in the making at one party, which uses COTs up. No `Debug`: it is secret.
pub struct Maker<'a> {
    recipe: &'a Recipe,
    role: Role,
    seed: Seed,
    /// Where the random choices of triples come from.
    random: Stream,
    transfers: &'a mut Transfers,
    matrices: Option<&'a Matrices>,
    values: Vec<Option<Value>>,
    level: usize,
    queue: Vec<(usize, Waiting)>,
    /// This party's choices of the level for triples of the next, and those triples.
    triples: (Option<Received>, Triples),
    due: Option<usize>,
    corrections: Vec<u8>,
    traffic: Traffic,
}

impl<'a> Maker<'a> {
    /// Begins. `seed` is that of this party's batch, of which its masks come, as of a dealer's. After a failure the peer's
    /// `transfers` are elsewhere than this party's, which the next message would show: set up anew.
    pub fn new(recipe: &'a Recipe, role: Role, seed: &Seed, transfers: &'a mut Transfers) -> Self {
        Self {
            recipe,
            role,
            seed: seed.clone(),
            random: seed.derive("choices", 0).stream(0),
            transfers,
            matrices: None,
            values: (0..recipe.steps.len()).map(|_| None).collect(),
            level: 0,
            queue: Vec::new(),
            triples: (None, Triples::default()),
            due: None,
            corrections: vec![0; recipe.bytes],
            traffic: Traffic::default(),
        }
    }

    /// With what the recipe's correlations of matrices need.
    pub fn with_matrices(mut self, matrices: &'a Matrices) -> Self {
        self.matrices = Some(matrices);
        self
    }

    /// What the recipe's correlations of matrices need.
    fn matrices(&self) -> &'a Matrices {
        self.matrices.expect("a recipe with matrices is walked with their keys")
    }

    /// A seed for this step of this batch alone.
    fn step_seed(&self, i: usize) -> Seed {
        self.seed.derive("encryption", i as u64)
    }

    /// Bytes that `from` sends in the level.
    fn level_bytes(&self, from: Role) -> usize {
        self.recipe.message_bytes(self.transfers.k, self.level, from)
    }

    /// Works until there is something to send or to wait for.
    ///
    /// # Panics
    /// When the peer's message of the last turn is still due: the driver is wrong.
    pub fn turn(&mut self) -> MakeTurn {
        assert!(self.due.is_none(), "the peer's message of level {} is due", self.level);
        while self.level < self.recipe.levels.len() {
            let level = self.level;
            let bytes = [Role::Server, Role::Client].map(|role| self.level_bytes(role));
            let message = self.run_level();
            assert_eq!(message.len(), bytes[self.role.index()], "level {level}: sent, planned");
            let expect = bytes[self.role.peer().index()];
            self.traffic.from_server += bytes[0] as u64;
            self.traffic.from_client += bytes[1] as u64;
            self.traffic.flights += u64::from(bytes[0] + bytes[1] > 0);
            if expect == 0 {
                self.join(&[]).expect("nothing was received");
            } else {
                self.due = Some(expect);
            }
            if bytes[0] + bytes[1] > 0 {
                return MakeTurn::Exchange { level: level as u32, send: message, expect };
            }
        }
        let rounded = self.recipe.rounded.iter();
        let rounded =
            rounded.map(|&(node, slot, w)| (node, w, self.words(slot).to_vec())).collect();
        let corrections = std::mem::take(&mut self.corrections);
        MakeTurn::Done(Made { corrections, rounded, traffic: self.traffic })
    }

    /// Takes the peer's message of this level in.
    ///
    /// # Errors
    /// [`Error::Desync`] when none is due, or one of another length or place.
    pub fn receive(&mut self, message: &[u8]) -> Result<(), Error> {
        if self.due != Some(message.len()) {
            let (due, level) = (self.due.unwrap_or(0), self.level);
            return Err(Error::Desync {
                peer: self.role.peer().name().to_owned(),
                what: format!(
                    "it sent {} bytes where {due} are due, in level {level} of making",
                    message.len()
                ),
                remedy: "compare the plans of both sides, and burn this batch".into(),
            });
        }
        self.join(message)
    }

    fn part(&self, slot: Slot) -> &Part {
        match &self.values[slot.0] {
            Some(Value::Part(part)) => part,
            _ => panic!("step {} has written no words or bits", slot.0),
        }
    }

    fn words(&self, slot: Slot) -> &[u64] {
        Parts(vec![self.part(slot)]).words(0)
    }

    /// Takes the COTs of a slot for a use; they are put back.
    fn sent(&mut self, slot: Slot) -> Sent {
        match self.values[slot.0].take() {
            Some(Value::Sent(sent)) => sent,
            _ => panic!("step {} has no COTs to send over", slot.0),
        }
    }

    fn received(&mut self, slot: Slot) -> Received {
        match self.values[slot.0].take() {
            Some(Value::Received(received)) => received,
            _ => panic!("step {} has no COTs to receive over", slot.0),
        }
    }

    /// Sends `d` over the COTs of `slot`; this party's shares.
    fn send(
        &mut self,
        slot: Slot,
        sum: Sum,
        d: &[u64],
        (planes, width): (u32, u32),
        payload: &mut Vec<u8>,
    ) -> Vec<u64> {
        let mut sent = self.sent(slot);
        let share = send(sum, &mut sent, d, planes, width, payload);
        self.values[slot.0] = Some(Value::Sent(sent));
        share
    }

    /// Runs the level's steps; gives this party's message.
    fn run_level(&mut self) -> Vec<u8> {
        let (level, role, recipe) = (self.level, self.role, self.recipe);
        let mut payload = Vec::new();
        let (mut choices, mut chosen) = (Vec::new(), Vec::new());
        for &i in &recipe.levels[level] {
            let step = &recipe.steps[i];
            if let Op::Choose { receiver, planes } = step.op {
                match receiver == role {
                    true => {
                        choices.push(self.choose(step.inputs[0], planes));
                        chosen.push(i);
                    }
                    false => self.queue.push((i, Waiting::Choice(step.count))),
                }
            } else {
                self.run_step(i, &mut payload);
            }
        }
        let triples = recipe.triples(level + 1);
        let random = self.random.bytes(triples.div_ceil(8));
        choices.push((0..triples).map(|i| random[i / 8] >> (i % 8) & 1).collect());
        let mut message = Vec::new();
        if recipe.level_cots(level, role) > 0 {
            let mut received = self.transfers.receiver.extend(choices, &mut message);
            self.triples.0 = received.pop();
            for (i, received) in chosen.into_iter().zip(received) {
                self.values[i] = Some(Value::Received(received));
            }
        }
        message.append(&mut payload);
        for &i in &recipe.levels[level] {
            if matches!(recipe.steps[i].op, Op::Choose { .. }) {
                self.free(i);
            }
        }
        message
    }

    fn choose(&self, from: Slot, planes: u32) -> Vec<u8> {
        match self.part(from) {
            Part::Bits(bits) => bits.clone(),
            Part::Words(words) => {
                let mut choices = Vec::with_capacity(planes as usize * words.len());
                (0..planes).for_each(|i| choices.extend(words.iter().map(|w| (w >> i) as u8 & 1)));
                choices
            }
            Part::Message(_) => panic!("a message is no choice"),
        }
    }

    fn run_step(&mut self, i: usize, payload: &mut Vec<u8>) {
        let (role, step) = (self.role, &self.recipe.steps[i]);
        let input = |i: usize| step.inputs[i];
        let waiting = match &step.op {
            Op::Mask { stream, draw } => {
                let (Draw::Mask { count, width } | Draw::ClientMask { count, width }) = *draw
                else {
                    panic!("step {i} draws no mask")
                };
                let words = expand(&self.seed, *stream, count, width);
                return self.write(i, Part::Words(words));
            }
            Op::Local(work) => {
                let part = work(role, &Parts(step.inputs.iter().map(|s| self.part(*s)).collect()));
                return self.write(i, part);
            }
            Op::Give { at, draw } => {
                let bytes = give(*draw, self.words(input(0)));
                self.corrections[*at..*at + bytes.len()].copy_from_slice(&bytes);
                return self.free(i);
            }
            Op::Choose { .. } => unreachable!("choices are made together"),
            Op::Times { receiver, planes, width } if *receiver == role => {
                let from = Some((input(0), *planes));
                Waiting::Words { share: vec![0; step.count], from, sum: Sum::Add, width: *width }
            }
            Op::Times { planes, width, .. } => {
                let d = self.words(input(1)).to_vec();
                let share = self.send(input(0), Sum::Add, &d, (*planes, *width), payload);
                Waiting::Words { share, from: None, sum: Sum::Add, width: *width }
            }
            Op::Mux { width } => self.both(i, Sum::Add, *width, payload),
            Op::Select { size } => self.both(i, Sum::Xor, (*size).min(64), payload),
            Op::Open { width } => {
                let words = self.words(input(0)).to_vec();
                pack::pack(&words, *width, payload);
                Waiting::Open(words, *width)
            }
            Op::Upload(products) => {
                let (key, left) = (&self.matrices().key, self.words(input(0)));
                payload.extend(products.upload(key, &self.step_seed(i), left));
                Waiting::Upload(Arc::clone(products))
            }
            Op::Answer { products, .. } => {
                let parts = Parts(step.inputs.iter().map(|s| self.part(*s)).collect());
                let (seed, peer) = (self.step_seed(i), &self.matrices().peer);
                let answer = products.evaluate(parts.message(0), peer, &seed, parts.words(2));
                payload.extend(answer.message);
                Waiting::Answer(Arc::clone(products), answer.share)
            }
            Op::Layer { number, .. } if role == Role::Server => Waiting::Layer(*number),
            Op::Layer { number, .. } => {
                let (matrices, (layer, _)) = (self.matrices(), &self.recipe.layers[*number]);
                let weights = matrices.weights(self.recipe, *number);
                let a = self.words(input(0));
                let answer = layer.evaluate(&weights, &matrices.peer, &self.step_seed(i), a);
                payload.extend(answer.message);
                Waiting::Words { share: answer.share, from: None, sum: Sum::Add, width: 64 }
            }
            Op::And => {
                let triples = self.triples.1.take(step.count);
                let parts = Parts(step.inputs.iter().map(|s| self.part(*s)).collect());
                Waiting::And(triples.open(parts.bits(0), parts.bits(1), payload))
            }
        };
        self.queue.push((i, waiting));
    }

    /// A product with an XOR-shared bit: what this party adds by itself, and its message over the COTs that the peer chose.
    ///
    /// `b t = b0 t0 + b1 t1 + b1 (1 - 2 b0) t0 + b0 (1 - 2 b1) t1`; bit by bit without the sign.
    fn both(&mut self, i: usize, sum: Sum, width: u32, payload: &mut Vec<u8>) -> Waiting {
        let step = &self.recipe.steps[i];
        let (own, theirs) = (step.inputs[self.role.index()], step.inputs[self.role.peer().index()]);
        let received = self.received(own);
        let t = self.words(step.inputs[2]);
        let per = t.len().checked_div(received.len()).unwrap_or(0).max(1);
        let rows = t.chunks(per).zip(received.choices());
        let words =
            rows.flat_map(|(t, &b)| t.iter().map(move |&t| (t, u64::from(b).wrapping_neg())));
        let (local, d): (Vec<u64>, Vec<u64>) = match sum {
            // With all ones for a bit, `x ^ b - b` is `(1 - 2 b) x`.
            Sum::Add => words.map(|(t, b)| (t & b, (t ^ b).wrapping_sub(b))).unzip(),
            Sum::Xor => words.map(|(t, b)| (t & b, t)).unzip(),
        };
        self.values[own.0] = Some(Value::Received(received));
        let mut share = self.send(theirs, sum, &d, (1, width), payload);
        add(sum, &mut share, &local);
        Waiting::Words { share, from: Some((own, 1)), sum, width }
    }

    /// Writes what a step gives, and frees what it was the last to read.
    fn write(&mut self, i: usize, part: Part) {
        self.values[i] = Some(Value::Part(part));
        self.free(i);
    }

    fn free(&mut self, i: usize) {
        let inputs = self.recipe.steps[i].inputs.iter().map(|s| s.0);
        for slot in inputs.chain([i]) {
            if self.recipe.last_use[slot] == i {
                self.values[slot] = None;
            }
        }
    }
}

fn add(sum: Sum, to: &mut [u64], from: &[u64]) {
    for (t, f) in to.iter_mut().zip(from) {
        *t = match sum {
            Sum::Add => t.wrapping_add(*f),
            Sum::Xor => *t ^ f,
        };
    }
}

/// A party's part of a draw, packed as a dealer's correction is.
fn give(draw: Draw, words: &[u64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(draw.packed_len());
    match draw {
        Draw::Value { width, .. } => pack::pack(words, width, &mut out),
        Draw::OneHot { k, .. } => pack::pack(words, (1 << k.min(6)) as u32, &mut out),
        Draw::Mask { .. } | Draw::ClientMask { .. } => panic!("a mask is not given"),
    }
    out
}
