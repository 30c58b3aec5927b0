//! What a party computes for a batch, piece by piece, with sizes: what seconds are measured and predicted by.
//!
//! A piece is what a maker does between two calls of its observer: half of a step, or what a level does for all of its COTs.

use super::recipe::{Op, Recipe, Step};
use crate::spec::Role;

/// A piece of a party's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A step, up to this party's message.
    Begin(usize),
    /// What announces the peer's COTs of the next level.
    Announce(usize),
    /// What the peer announced.
    Announced(usize),
    /// The COTs that this party chooses in a level.
    Extend(usize),
    /// The COTs that the peer has chosen in a level.
    Extended(usize),
    /// A step, from the peer's message on.
    End(usize),
    /// The triples that a level prepares.
    Triples(usize),
}

/// A piece's kind, and its size in whatever the kind's seconds follow from: nominal work, elements, bytes.
pub type Effort = (&'static str, [f64; 3]);

impl Recipe {
    /// The pieces of a party's work in a level: before its message, and after the peer's.
    pub fn pieces(&self, level: usize, role: Role) -> [Vec<Piece>; 2] {
        let steps = &self.levels[level];
        let chooses = |i: &&usize| matches!(self.steps[**i].op, Op::Choose { .. });
        let mut before: Vec<Piece> =
            steps.iter().filter(|i| !chooses(i)).map(|&i| Piece::Begin(i)).collect();
        if self.iterations(level, role.peer()) > 0 {
            before.push(Piece::Announce(level));
        }
        if self.level_cots(level, role) > 0 {
            before.push(Piece::Extend(level));
        }
        let mut after = Vec::new();
        if self.iterations(level, role) > 0 {
            after.push(Piece::Announced(level));
        }
        if self.level_cots(level, role.peer()) > 0 {
            after.push(Piece::Extended(level));
        }
        let flies = |i: &&usize| self.steps[**i].op.flies() && !chooses(i);
        after.extend(steps.iter().filter(flies).map(|&i| Piece::End(i)));
        if self.triples(level + 1) > 0 {
            after.push(Piece::Triples(level));
        }
        [before, after]
    }

    /// The kind of a setup of transfers and keys.
    pub fn setup_kind(&self) -> &'static str {
        if self.extension.announces() { "setup of Ferret" } else { "setup" }
    }

    /// What a piece is to a party; `None` where there is nothing to do.
    pub fn effort(&self, role: Role, piece: Piece) -> Option<Effort> {
        Some(match piece {
            Piece::Announce(level) => ("announce", size(0, self.iterations(level, role.peer()), 0)),
            Piece::Announced(level) => ("announced", size(0, self.iterations(level, role), 0)),
            Piece::Extend(level) => {
                let kind = if self.extension.announces() { "choose" } else { "extend" };
                (kind, size(0, self.level_cots(level, role), 0))
            }
            Piece::Extended(level) => {
                let kind = if self.extension.announces() { "chosen" } else { "extended" };
                (kind, size(0, self.level_cots(level, role.peer()), 0))
            }
            Piece::Triples(level) => ("triples", size(0, self.triples(level + 1), 0)),
            Piece::Begin(i) => self.begun(role, i)?,
            Piece::End(i) => self.ended(role, i)?,
        })
    }

    fn begun(&self, role: Role, i: usize) -> Option<Effort> {
        let step = &self.steps[i];
        let sent = self.step_bytes(i, role);
        Some(match &step.op {
            Op::Mask { draw, .. } => ("mask", size(0, step.count, draw.packed_len())),
            Op::Local(_) => ("local", size(step.count, self.read(step), 0)),
            Op::Give { draw, .. } => ("give", size(0, self.read(step), draw.packed_len())),
            Op::Choose { .. } => return None,
            Op::Times { receiver, .. } if *receiver == role => return None,
            Op::Times { .. } => ("times send", self.over(step, sent)),
            Op::Mux { .. } => ("mux send", self.over(step, sent)),
            Op::Select { .. } => ("select send", self.over(step, sent)),
            Op::And => ("and", size(0, step.count, 0)),
            Op::Upload(products) => ("upload", size(products.work()[0], 0, sent)),
            Op::Answer { products, .. } => (products.name(), size(products.work()[1], 0, sent)),
            Op::Layer { .. } if role == Role::Server => return None,
            Op::Layer { number, .. } => {
                ("layer", size(self.layers[*number].0.work()[0] as usize, 0, sent))
            }
        })
    }

    fn ended(&self, role: Role, i: usize) -> Option<Effort> {
        let step = &self.steps[i];
        let came = self.step_bytes(i, role.peer());
        Some(match &step.op {
            Op::Times { receiver, .. } if *receiver != role => return None,
            Op::Times { .. } => ("times receive", self.over(step, came)),
            Op::Mux { .. } => ("mux receive", self.over(step, came)),
            Op::Select { .. } => ("select receive", self.over(step, came)),
            Op::And => ("and close", size(0, step.count, 0)),
            Op::Upload(_) => ("uploaded", size(0, 0, came)),
            Op::Answer { products, .. } => ("answered", size(products.work()[2], step.count, came)),
            Op::Layer { .. } if role == Role::Client => return None,
            Op::Layer { number, .. } => (
                "layer answered",
                size(self.layers[*number].0.work()[1] as usize, step.count, came),
            ),
            Op::Mask { .. } | Op::Local(_) | Op::Give { .. } | Op::Choose { .. } => return None,
        })
    }

    /// Elements that a step reads.
    fn read(&self, step: &Step) -> usize {
        step.inputs.iter().map(|s| self.count(*s)).sum()
    }

    /// Of a step over COTs: pads, words of messages, bytes of them.
    fn over(&self, step: &Step, bytes: usize) -> [f64; 3] {
        let (cots, planes) = match step.op {
            Op::Times { planes, .. } => (self.count(step.inputs[0]), planes as usize),
            _ => (self.count(step.inputs[0]), 1),
        };
        let words = step.count * planes;
        let per = words.checked_div(cots).unwrap_or(0);
        size(cots * per.div_ceil(2), words, bytes)
    }
}

/// The size of a piece: its work, elements and bytes.
fn size(work: usize, elements: usize, bytes: usize) -> [f64; 3] {
    [work as f64, elements as f64, bytes as f64]
}
