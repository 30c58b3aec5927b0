//! What a party drew for one evaluation, kept packed until a gate reads it.
//!
//! Unpacked words would be half as much memory again, all of it freshly mapped. Seed-derived draws keep the
//! stream's bytes, corrected draws are ranges of the one buffer that the dealer sent.

pub(crate) use sotto_ring::pack::CHUNK;
pub use sotto_ring::pack::Packed;

use sotto_ring::lanes::{Line, line};

use crate::draw::Draw;

/// A party's part of one draw. No `Debug`: it is secret.
///
/// Masks are accounted for exactly: one is fresh until something is opened under it, once, and until then no
/// gate can read it, to take it off again or to use it elsewhere.
pub(crate) enum Drawn {
    /// A mask, from the party's own stream, that nothing is opened under yet.
    Fresh(Vec<u8>),
    /// The other party's mask, that nothing is opened under yet.
    Theirs,
    /// The bytes of the party's own stream.
    Seeded(Vec<u8>),
    /// The corrections from this byte on.
    Corrected(usize),
    /// Words that the gate prepared.
    Words(Vec<u64>),
    /// Nothing: the other party's mask, or used up.
    Absent,
}

impl Drawn {
    /// Whether it is a mask that nothing is opened under yet.
    pub fn is_fresh(&self) -> bool {
        matches!(self, Drawn::Fresh(_) | Drawn::Theirs)
    }

    /// Spends a fresh mask, which may be read from now on.
    ///
    /// # Panics
    /// When it is spent: two openings under one mask give away the difference of two secrets.
    pub fn spend(&mut self) {
        *self = match std::mem::replace(self, Drawn::Absent) {
            Drawn::Fresh(bytes) => Drawn::Seeded(bytes),
            Drawn::Theirs => Drawn::Absent,
            _ => panic!("a second opening under one mask"),
        }
    }
}

/// All draws of one node at one party.
#[derive(Clone, Copy)]
pub(crate) struct Draws<'a> {
    pub drawn: &'a [Drawn],
    pub corrections: &'a [u8],
    pub draws: &'a [Draw],
}

impl<'a> Draws<'a> {
    fn bytes(self, draw: usize) -> &'a [u8] {
        match &self.drawn[draw] {
            Drawn::Seeded(bytes) => bytes,
            Drawn::Corrected(start) => &self.corrections[*start..],
            Drawn::Fresh(_) | Drawn::Theirs => {
                panic!("mask {draw} is read before it is opened under")
            }
            Drawn::Words(_) | Drawn::Absent => panic!("draw {draw} has no packed words here"),
        }
    }

    /// The packed words of a draw.
    pub fn packed(self, draw: usize) -> Packed<'a> {
        let (count, width) = match self.draws[draw] {
            Draw::Mask { count, width }
            | Draw::ClientMask { count, width }
            | Draw::Value { count, width } => (count, width),
            Draw::OneHot { .. } => panic!("draw {draw} is a one-hot"),
        };
        Packed::new(self.bytes(draw), count, width)
    }

    /// The words of a draw. Prepared ones may depend on any mask.
    pub fn words(self, draw: usize) -> Vec<u64> {
        match &self.drawn[draw] {
            Drawn::Words(words) => {
                let spent = !self.drawn.iter().any(Drawn::is_fresh);
                assert!(spent, "prepared draw {draw} is read before all masks are opened under");
                words.clone()
            }
            _ => self.packed(draw).to_words(),
        }
    }

    /// The bits of a one-hot.
    pub fn bits(self, draw: usize) -> &'a [u8] {
        let Draw::OneHot { count, k } = self.draws[draw] else {
            panic!("draw {draw} is not a one-hot")
        };
        &self.bytes(draw)[..count * (1 << k) / 8]
    }
}

/// How a factor follows from words that are kept once.
#[derive(Clone, Copy)]
pub(crate) enum Map {
    /// The word.
    Same,
    /// The word less an offset.
    Minus(u64),
    /// `1 - msb` of an opened word of so many bits, which is below two to their number: the public part of a wrap.
    Wrap(u32),
    /// `1 - 2 b` of a bit `b`.
    Sign,
    /// The word's negative.
    Negated,
    /// The top bit of a mask of so many bits, moved up to that width: the dealer's part of a wrap.
    Top(u32),
}

/// What a factor is read from.
#[derive(Clone, Copy)]
pub(crate) enum Stored<'a> {
    Words(&'a [u64]),
    /// Bits, of which words would be 64 times as much memory.
    Bits(Packed<'a>),
}

/// A factor seen through its map. No `Debug`: the dealer's are secret.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub from: Stored<'a>,
    pub map: Map,
}

impl<'a> View<'a> {
    /// Of words.
    pub fn new(words: &'a [u64], map: Map) -> Self {
        Self { from: Stored::Words(words), map }
    }

    /// All factors.
    pub fn to_words(self) -> Vec<u64> {
        let count = match self.from {
            Stored::Words(words) => words.len(),
            Stored::Bits(bits) => bits.count(),
        };
        let mut out = vec![0; count];
        self.load(0, &mut out);
        out
    }

    /// The factors from `at` on.
    pub fn load(&self, at: usize, out: &mut [u64]) {
        match self.from {
            Stored::Words(words) => out.copy_from_slice(&words[at..at + out.len()]),
            Stored::Bits(bits) => bits.unpack(at, out),
        }
        let map = match self.map {
            Map::Same => return,
            Map::Minus(offset) => Line { plus: offset.wrapping_neg(), ..Line::default() },
            Map::Wrap(n) => Line { down: n - 1, up: 0, negative: true, plus: 1 },
            Map::Sign => Line { down: 0, up: 1, negative: true, plus: 1 },
            Map::Negated => Line { negative: true, ..Line::default() },
            Map::Top(64) => return out.fill(0),
            Map::Top(n) => Line { down: n - 1, up: n, ..Line::default() },
        };
        line(out, map);
    }
}
