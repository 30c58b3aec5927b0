//! What a party holds while it makes a batch: the most bytes at a time, from the recipe alone.
//!
//! A walk over the steps in the order in which a maker takes them ([`crate::make::Maker`]): values live from when they are written to
//! their last use, COTs take a block each and the receiver's choices a byte, messages lie beside what they are made of.

use super::recipe::{Op, Recipe};
use crate::spec::Role;

/// Bytes of a word, and of a COT.
const WORD: usize = 8;
const COT: usize = 16;

/// Bytes that a triple takes, and what a masked AND keeps beside.
const TRIPLE: usize = 3;
const MASKED: usize = 2;

/// What is held now, and the most that was.
struct Held {
    now: usize,
    most: usize,
    /// Of each value.
    values: Vec<usize>,
}

impl Held {
    fn add(&mut self, bytes: usize) {
        self.now += bytes;
        self.most = self.most.max(self.now);
    }

    /// For a moment, beside the rest.
    fn beside(&mut self, bytes: usize) {
        self.most = self.most.max(self.now + bytes);
    }

    /// A value takes the place of what waited for it.
    fn write(&mut self, recipe: &Recipe, i: usize, bytes: usize) {
        self.keep(i, bytes);
        self.free(recipe, i);
    }

    /// So many bytes wait in a value's place.
    fn keep(&mut self, i: usize, bytes: usize) {
        self.now -= std::mem::replace(&mut self.values[i], bytes);
        self.add(bytes);
    }

    fn free(&mut self, recipe: &Recipe, i: usize) {
        let inputs = recipe.steps[i].inputs.iter().map(|s| s.0);
        for slot in inputs.chain([i]) {
            if recipe.last_use[slot] == i {
                self.now -= std::mem::take(&mut self.values[slot]);
            }
        }
    }
}

impl Recipe {
    /// The most bytes that a party holds at a time for one batch: values, COTs, messages and corrections; without what its setup keeps.
    pub fn most_held(&self) -> usize {
        [Role::Server, Role::Client].map(|role| self.held_by(role)).into_iter().max().unwrap_or(0)
    }

    fn held_by(&self, role: Role) -> usize {
        let mut held = Held { now: 0, most: 0, values: vec![0; self.steps.len()] };
        held.add(self.bytes);
        // What the level before left for this one.
        let mut triples = 0;
        for level in 0..self.depth() {
            let next = self.triples(level + 1);
            self.before(level, role, &mut held);
            let ours = self.message_bytes(level, role);
            let choices = self.choices(level, role) + next;
            // Of all choices there are the bits, too, and the payload is behind what makes them.
            held.add(choices + ours);
            held.beside(choices.div_ceil(8) + self.level_bytes(level, role));
            self.chosen_by(level, role, &mut held);
            held.add(COT * next);
            for &i in self.choosing(level) {
                held.free(self, i);
            }
            // Ours waits for its way while the peer's comes in.
            held.add(self.message_bytes(level, role.peer()));
            held.now -= ours;
            self.after(level, role, &mut held);
            held.now -= triples + self.message_bytes(level, role.peer());
            triples = TRIPLE * next;
            held.add(triples);
            // The COTs that triples were made of, with their choices.
            held.now -= (2 * COT + 1) * next;
        }
        held.most
    }

    /// The steps of a level that choose.
    fn choosing(&self, level: usize) -> impl Iterator<Item = &usize> {
        self.levels[level].iter().filter(|&&i| matches!(self.steps[i].op, Op::Choose { .. }))
    }

    /// The steps of a level up to the message: what waits for the peer's lies in its value's place.
    fn before(&self, level: usize, role: Role, held: &mut Held) {
        let mut payload = 0;
        for &i in &self.levels[level] {
            let step = &self.steps[i];
            let words = WORD * step.count;
            let share = match step.op {
                Op::Choose { .. } => continue,
                Op::Mask { .. } => {
                    held.write(self, i, words);
                    continue;
                }
                Op::Local(_) => {
                    held.write(self, i, if step.bits { step.count } else { words });
                    continue;
                }
                Op::Give { draw, .. } => {
                    held.beside(draw.packed_len());
                    held.free(self, i);
                    continue;
                }
                Op::Times { receiver, .. } if receiver == role => words,
                Op::Times { planes, .. } => {
                    held.beside(payload + words * (2 + planes as usize));
                    words
                }
                Op::Mux { .. } | Op::Select { .. } => {
                    held.beside(payload + 4 * words);
                    words
                }
                Op::And => MASKED * step.count,
                Op::Upload(_) => 0,
                Op::Answer { .. } | Op::Layer { .. } => words,
            };
            held.keep(i, share);
            payload += self.step_bytes(i, role);
            held.beside(payload);
        }
    }

    /// This party's COTs of a level, with their choices counted before.
    fn chosen_by(&self, level: usize, role: Role, held: &mut Held) {
        for &i in self.choosing(level) {
            let step = &self.steps[i];
            if matches!(step.op, Op::Choose { receiver, .. } if receiver == role) {
                // Its choices were counted.
                held.values[i] = step.count;
                held.keep(i, (COT + 1) * step.count);
            }
        }
    }

    /// The steps of a level from the peer's message on.
    fn after(&self, level: usize, role: Role, held: &mut Held) {
        for &i in self.choosing(level) {
            let step = &self.steps[i];
            if !matches!(step.op, Op::Choose { receiver, .. } if receiver == role) {
                held.keep(i, COT * step.count);
            }
        }
        held.add(COT * self.triples(level + 1));
        for &i in &self.levels[level] {
            let step = &self.steps[i];
            let words = WORD * step.count;
            match step.op {
                Op::Choose { .. } | Op::Mask { .. } | Op::Local(_) | Op::Give { .. } => continue,
                Op::Times { receiver, planes, .. } if receiver == role => {
                    held.beside(words * (1 + planes as usize) + self.count(step.inputs[0]));
                }
                Op::Mux { .. } | Op::Select { .. } => {
                    held.beside(2 * words + self.count(step.inputs[0]));
                }
                Op::Answer { .. } | Op::Layer { .. } => held.beside(2 * words),
                Op::Times { .. } | Op::And | Op::Upload(_) => {}
            }
            let bytes = match &step.op {
                Op::Upload(products) => products.upload_len(),
                _ if step.bits => step.count,
                _ => words,
            };
            held.write(self, i, bytes);
        }
    }
}
