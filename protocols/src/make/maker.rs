//! Making a batch as a state machine: what to send and what to wait for, without a link, a clock or a thread. What becomes of the
//! peer's message is in `join`.

mod join;
mod steps;

use std::sync::Arc;

use sotto_crypto::{Seed, Stream};
use sotto_ot::{Received, Sent};

use super::{
    cot::{Sum, send},
    matrices::Matrices,
    transfers::Transfers,
    triples::{And, Triples},
};
use crate::{
    error::Error,
    making::{
        Encrypted, Piece,
        recipe::{Part, Parts, Recipe, Slot},
    },
    observer::Observer,
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
    observer: Option<&'a mut dyn Observer>,
}

impl<'a> Maker<'a> {
    /// Begins. `seed` is that of this party's batch, of which its masks come, as of a dealer's. After a failure the peer's
    /// `transfers` are elsewhere than this party's, which the next message would show: set up anew.
    ///
    /// # Panics
    /// When the transfers are of another extension than the recipe's.
    pub fn new(recipe: &'a Recipe, role: Role, seed: &Seed, transfers: &'a mut Transfers) -> Self {
        assert_eq!(transfers.extension, recipe.extension, "the recipe's and the transfers'");
        transfers.sender.begin();
        transfers.receiver.begin();
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
            observer: None,
        }
    }

    /// With somebody who watches: who is told when a level goes on, then of each piece of work that is done.
    pub fn observed(mut self, observer: &'a mut dyn Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    fn tell(&mut self, piece: Piece) {
        if let Some(observer) = &mut self.observer {
            observer.made(piece);
        }
    }

    fn goes_on(&mut self) {
        if let Some(observer) = &mut self.observer {
            observer.goes_on();
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
        self.recipe.message_bytes(self.level, from)
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
            self.goes_on();
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
