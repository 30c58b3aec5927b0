//! What a party does in a level of a recipe before the peer's message is here.

use std::sync::Arc;

use sotto_ring::pack;

use super::{Maker, Value, Waiting, add};
use crate::{
    dealing::expand,
    draw::Draw,
    make::cot::Sum,
    making::{
        Piece,
        recipe::{Op, Part, Parts, Slot},
    },
    spec::Role,
};

impl Maker<'_> {
    /// Runs the level's steps; gives this party's message.
    pub(super) fn run_level(&mut self) -> Vec<u8> {
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
                self.tell(Piece::Begin(i));
            }
        }
        let triples = recipe.triples(level + 1);
        let random = self.random.bytes(triples.div_ceil(8));
        choices.push((0..triples).map(|i| random[i / 8] >> (i % 8) & 1).collect());
        let mut message = Vec::new();
        if recipe.iterations(level, role.peer()) > 0 {
            let to = recipe.announced(level, role.peer());
            self.transfers.sender.announce(to, &mut message);
            self.tell(Piece::Announce(level));
        }
        if recipe.level_cots(level, role) > 0 {
            let mut received = self.transfers.receiver.extend(choices, &mut message);
            self.triples.0 = received.pop();
            for (i, received) in chosen.into_iter().zip(received) {
                self.values[i] = Some(Value::Received(received));
            }
            self.tell(Piece::Extend(level));
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
                assert_eq!(matches!(part, Part::Bits(_)), step.bits, "step {i}: bits or words");
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
