//! A gate's view of the recipe: what is known of its inputs' masks, and the steps that make its draws.
//!
//! The counterpart of [`crate::deal`]'s `Dealing` where there is no dealer. There a gate computes with the dealer's numbers;
//! here it writes the steps by which two parties compute the same on their parts.

use std::{collections::HashMap, sync::Arc};

use crate::{draw::Draw, spec::Role};

mod bits;
mod blocks;
mod cut;
mod encrypted;
mod matrices;
mod memory;
pub mod recipe;
mod work;

pub use cut::Cut;
pub(crate) use cut::top_one_hot;
pub(crate) use encrypted::Encrypted;
use recipe::{Op, Supplied};
pub(crate) use recipe::{Part, Parts};
pub use recipe::{Recipe, Slot};
pub use work::{Effort, Piece};

/// What the parties hold of a wire's mask.
#[derive(Clone)]
pub enum Held {
    /// Nothing: a share.
    Nothing,
    /// The mask of an opened value of so many bits: each party its part, whose sum mod `2^width` is the mask.
    Mask(Slot, u32),
    /// The factors of a form.
    Form(Arc<dyn Factors>),
}

/// What the dealer would know of a form: its factors, as shares that are made when they are asked for.
pub trait Factors {
    /// For each term of the form its factor, divided by `2^shift` where it is a multiple of that: additive shares mod
    /// `2^(width - shift)`. None of the constant 1, nor where the shift reaches the width.
    fn shares(&self, making: &mut Making<'_>, width: u32) -> Vec<Option<Slot>>;

    /// What is special about the factor of term `term`.
    fn kind(&self, _term: usize) -> Special {
        Special::Other
    }
}

/// What makes products with a factor cheaper than with any shares.
#[derive(Clone, Copy)]
pub enum Special {
    /// Nothing.
    Other,
    /// It is a bit, of which these are XOR shares.
    Bit(Slot),
    /// It is the sign of a lookup.
    Sign(Cut),
    /// It is that sign times the low part of the lookup's mask, negated.
    MinusLow(Cut),
}

/// What a wire's mask was already cut into.
#[derive(Default)]
pub(crate) struct Made {
    /// Carries into each bit of the sum of a mask's parts.
    carries: HashMap<Slot, Vec<Slot>>,
    /// COTs by what is chosen, by whom, and how many bits of it.
    choices: HashMap<(Slot, usize, u32), Slot>,
    /// Whether shares are below half: as bits, as words.
    below: HashMap<(Slot, u32), (Slot, Slot)>,
    /// Bits as additive shares.
    arithmetic: HashMap<(Slot, u32), Slot>,
}

/// A gate's view of the recipe.
pub struct Making<'a> {
    recipe: &'a mut Recipe,
    made: &'a mut Made,
    node: usize,
    draws: &'a [Draw],
    /// The first byte of each draw among the corrections.
    places: Vec<usize>,
    given: Vec<bool>,
    inputs: Vec<&'a Held>,
    outputs: Vec<Held>,
    refused: bool,
}

impl<'a> Making<'a> {
    /// Of the node of this number, whose corrections start at byte `at`.
    pub(crate) fn new(
        recipe: &'a mut Recipe,
        made: &'a mut Made,
        (node, draws, at): (usize, &'a [Draw], usize),
        inputs: Vec<&'a Held>,
    ) -> Self {
        let mut end = at;
        let places = draws.iter().map(|d| {
            end += d.correction_bytes();
            end - d.correction_bytes()
        });
        let places = places.collect();
        let given = vec![false; draws.len()];
        Self {
            recipe,
            made,
            node,
            draws,
            places,
            given,
            inputs,
            outputs: Vec::new(),
            refused: false,
        }
    }

    /// What is held of the outputs; none where the gate refused.
    ///
    /// # Panics
    /// When a draw is neither given nor supplied.
    pub(crate) fn finish(self) -> Option<Vec<Held>> {
        if self.refused {
            return None;
        }
        for (i, (draw, given)) in self.draws.iter().zip(&self.given).enumerate() {
            assert!(
                *given || draw.correction_bytes() == 0,
                "draw {i} of node {} is not made",
                self.node
            );
        }
        Some(self.outputs)
    }

    /// States that two parties cannot make these correlations.
    pub fn refuse(&mut self) {
        self.refused = true;
    }

    /// What is held of input `i`.
    pub fn input(&self, i: usize) -> &'a Held {
        self.inputs[i]
    }

    /// The mask of the opened input `i`, and its bits.
    pub fn input_mask(&self, i: usize) -> (Slot, u32) {
        match self.inputs[i] {
            Held::Mask(r, width) => (*r, *width),
            _ => panic!("input {i} of node {} is not an opening", self.node),
        }
    }

    /// Both parts of the mask of a [`Draw::Mask`]: numbers of the parties' own.
    pub fn mask(&mut self, draw: usize) -> Slot {
        let Draw::Mask { count, .. } = self.draws[draw] else {
            panic!("draw {draw} of node {} is not a mask of both parties", self.node)
        };
        let stream = crate::dealing::stream_id(self.node, draw);
        self.recipe.add(Op::Mask { stream, draw: self.draws[draw] }, Vec::new(), count)
    }

    /// [`Making::mask`] of bits: XOR shares.
    pub fn mask_bits(&mut self, draw: usize) -> Slot {
        let words = self.mask(draw);
        self.own_bit(words, 0)
    }

    /// `value` is this draw: additive shares of a [`Draw::Value`]; rows of XOR-shared bits, 64 to a word, of a [`Draw::OneHot`].
    pub fn give(&mut self, draw: usize, value: Slot) {
        let due = match self.draws[draw] {
            Draw::Value { count, .. } => count,
            Draw::OneHot { count, k } => count * (1usize << k).div_ceil(64),
            _ => panic!("draw {draw} of node {} is a mask", self.node),
        };
        assert_eq!(self.count(value), due, "node {}: wrong count given to draw {draw}", self.node);
        self.done(draw);
        self.recipe.add(Op::Give { at: self.places[draw], draw: self.draws[draw] }, vec![value], 0);
    }

    /// The draw is made elsewhere.
    pub fn supplied(&mut self, draw: usize) {
        self.done(draw);
        let supplied = Supplied {
            node: self.node,
            draw,
            at: self.places[draw],
            bytes: self.draws[draw].correction_bytes(),
        };
        self.recipe.supplied.push(supplied);
    }

    fn done(&mut self, draw: usize) {
        let before = std::mem::replace(&mut self.given[draw], true);
        assert!(!before, "draw {draw} of node {} is given twice", self.node);
    }

    /// Additive shares mod `2^width` of what the parties rounded on their own, which a dealer would have rounded another way.
    pub(crate) fn rounded(&mut self, value: Slot, width: u32) {
        self.recipe.rounded.push((self.node, value, width));
    }

    /// States what is held of the output.
    pub fn output(&mut self, held: Held) {
        self.outputs.push(held);
    }

    /// Elements of a value.
    pub fn count(&self, slot: Slot) -> usize {
        self.recipe.count(slot)
    }

    /// Something that each party does alone, which gives `count` words.
    pub(crate) fn local(
        &mut self,
        inputs: &[Slot],
        count: usize,
        work: impl Fn(Role, &Parts<'_>) -> Part + Send + Sync + 'static,
    ) -> Slot {
        self.recipe.add(Op::Local(Box::new(work)), inputs.to_vec(), count)
    }

    /// The same of bits: XOR shares, or bits of the party's own.
    pub(crate) fn local_bits(
        &mut self,
        inputs: &[Slot],
        count: usize,
        work: impl Fn(Role, &Parts<'_>) -> Vec<u8> + Send + Sync + 'static,
    ) -> Slot {
        let slot = self.local(inputs, count, move |role, x| Part::Bits(work(role, x)));
        self.recipe.steps[slot.0].bits = true;
        slot
    }

    /// The party's own words or shares, word by word.
    pub(crate) fn map(
        &mut self,
        x: Slot,
        f: impl Fn(Role, u64) -> u64 + Send + Sync + 'static,
    ) -> Slot {
        let count = self.count(x);
        self.local(&[x], count, move |role, x| {
            Part::Words(x.words(0).iter().map(|&x| f(role, x)).collect())
        })
    }

    /// The same of two values.
    pub(crate) fn zip(
        &mut self,
        x: Slot,
        y: Slot,
        f: impl Fn(Role, u64, u64) -> u64 + Send + Sync + 'static,
    ) -> Slot {
        let count = self.count(x);
        assert_eq!(count, self.count(y), "node {}: elements of two values", self.node);
        self.local(&[x, y], count, move |role, both| {
            let pairs = both.words(0).iter().zip(both.words(1));
            Part::Words(pairs.map(|(&x, &y)| f(role, x, y)).collect())
        })
    }

    /// Every element `times` times.
    pub(crate) fn repeat(&mut self, x: Slot, times: usize) -> Slot {
        if times == 1 {
            return x;
        }
        let count = self.count(x) * times;
        self.local(&[x], count, move |_, x| {
            Part::Words(x.words(0).iter().flat_map(|&x| std::iter::repeat_n(x, times)).collect())
        })
    }

    /// The entries `places` of each row.
    pub(crate) fn pick(&mut self, x: Slot, row: usize, places: Vec<usize>) -> Slot {
        let count = self.count(x) / row * places.len();
        self.local(&[x], count, move |_, x| {
            let rows = x.words(0).chunks_exact(row);
            Part::Words(rows.flat_map(|row| places.iter().map(|&i| row[i])).collect())
        })
    }

    fn op(&mut self, op: Op, inputs: Vec<Slot>, count: usize) -> Slot {
        self.recipe.add(op, inputs, count)
    }
}
