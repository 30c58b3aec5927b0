//! Ferret: millions of COTs from a few, at a third of a byte each.
//!
//! An iteration turns COTs with random choices into more of them. [`SECRET`] of them are a vector that the code spreads over [`TREES`]
//! blocks of [`LEAVES`] places; in each block a half-tree (`tree.rs`) adds a COT whose choice is 1 at one place, which the receiver alone
//! knows, and 0 elsewhere. What comes out, `A s + e` in place of choices, looks random to who does not know `s` and `e`:
//! learning parity with noise. The first blocks are the next iteration's beginning, the others are handed out. A choice
//! is then set with one bit from the receiver: `b ^ r`, by which the sender adds `D` or not.
//!
//! Life of an instance, messages in brackets. 1. Base transfers and SoftSpoken for the first COTs: [`Beginning::new`] [[`BEGIN_BYTES`]],
//! [`Receiver::answer`] [[`ANSWER_BYTES`]], [`Beginning::finish`]. 2. The sender announces iterations as long as more COTs are wanted
//! than are left: [`Sender::iterate`] [[`ITERATION_BYTES`]], whenever it likes. 3. [`Receiver::extend`] [[`extension_bytes`]],
//! [`Sender::extend`] as with SoftSpoken. Trees are grown when they are due: there is no stock in memory but one tree's.
//!
//! The choice of a COT is the lowest bit of the receiver's block: `D` is odd, the sender's blocks are even. So one sum of blocks is that of
//! the choices, too, and `D` has 127 random bits.
//!
//! Cost: [`ITERATION_BYTES`] from the sender for [`COTS`] COTs and a bit each from the receiver: 0.45 bytes, where SoftSpoken
//! takes 2; memory of an iteration 1.2 MB and its message.
//! Security: semi-honest as SoftSpoken is here: the paper's check against a sender that deviates, who could learn places of noise, is not there. Correlation
//! robustness of [`crate::hash`] and `tree.rs`, and primal LPN with regular noise and a local code. What attacks cost with the
//! numbers here, in steps, is counted in a test: [`TREES`].
//! Source: Yang, Weng, Lan, Zhang, Wang: Ferret, CCS 2020; the trees and their messages: `tree.rs`.

mod code;
mod stock;
mod tree;

use sotto_crypto::Seed;
use zeroize::Zeroizing;

use self::stock::{Side, Stock};
pub use self::{code::SECRET, stock::COTS};
use crate::{
    Block, Received, Sent, blocks,
    cots::Runs,
    error::{Error, check_length},
    softspoken, spread,
};

/// Levels of a tree: one place of noise in 512.
pub const LEVELS: usize = 9;
/// Leaves of a tree, places of a block.
pub const LEAVES: usize = 1 << LEVELS;
/// Trees of an iteration, places of noise.
///
/// Security of the three numbers and of the ten summands, as binary logarithms of an attacker's steps, each counted low (memory and
/// polynomial factors are free): formulas, sources and the numbers are in `ferret/attacks.rs`, a test that recounts them.
///
/// | attack | steps | emp-ot's 1,170 trees of 2^11, 2^17 |
/// |---|---|---|
/// | pooled Gauss: as many places as unknowns, free of noise; with the sums of the blocks | 231; 227 | 132; 131 |
/// | decoders with regular noise: Stern and Dumer; BJMM | 203; 199 | 113; 111 |
/// | birthday of whole blocks | 565 | 349 |
/// | statistical decoding; 2.0 | 407; 406 | 207; 207 |
/// | algebraic (Briaud, Øygarden); AGB 2.0 | 192; 182 | 110; 103 |
/// | the sparse code: Gauss of equations that lie in a random part of the unknowns; decoders of those | 185; 159 | 105; 86 |
/// | .. in the smallest part that peeling finds; **decoders of those** | 163; **138** | 94; 77 |
/// | a bound, no attack: .. in the densest part that may exist, found and solved for nothing | 136 | 70 |
///
/// So it is the sparse code that decides, and fewer equations for each unknown help more than noise does: 2,400 trees have 125 in the line
/// with 138. emp-ot (tuning.h of 1.0.0-alpha.1, `ferret_b11`) chooses its numbers against attacks on random codes. Nobody else has checked
/// these counts.
pub const TREES: usize = 1200;

const ANSWER: &str = "setup of Ferret, offer, trees and first COTs";
const ITERATION: &str = "iteration of Ferret";
const EXTENSION: &str = "choices of COTs";
/// The number of an iteration or of the first COT.
const HEADER: usize = 8;

/// COTs that an iteration begins with: the secret's, and one for each level of each tree.
const BASE: usize = SECRET + TREES * LEVELS;

/// Bytes of the first message, the sender's.
pub const BEGIN_BYTES: usize = softspoken::BEGIN_BYTES;
/// Bytes of the second message, the receiver's.
pub const ANSWER_BYTES: usize =
    softspoken::ANSWER_BYTES + HEADER + 2 * BASE.next_multiple_of(crate::SECURITY);
/// Bytes of the sender's message for an iteration.
pub const ITERATION_BYTES: usize = HEADER + 16 * TREES * LEVELS;

/// Bytes of the receiver's message with which the choices of `count` COTs are set.
pub const fn extension_bytes(count: usize) -> usize {
    HEADER + count.div_ceil(8)
}

/// Iterations that an instance has had when it has made `count` COTs.
pub const fn iterations(count: usize) -> usize {
    count.div_ceil(COTS)
}

/// The sender before the receiver's answer. No `Debug`: it is secret.
pub struct Beginning {
    softspoken: softspoken::Beginning,
    delta: Zeroizing<Block>,
    roots: Seed,
    session: [u8; 32],
    message: Vec<u8>,
}

/// Who has both pads of each COT. No `Debug`: it is secret.
pub struct Sender {
    delta: Zeroizing<Block>,
    roots: Seed,
    stock: Stock,
}

/// Who chooses. No `Debug`: it is secret.
pub struct Receiver {
    stock: Stock,
}

impl Beginning {
    /// Begins an instance; everything secret follows from `seed`, which is for this alone. `session` is common to both parties,
    /// and another for every instance. Returns the message to the receiver, too.
    pub fn new(session: [u8; 32], seed: &Seed) -> (Self, Vec<u8>) {
        let mut delta = softspoken::delta(seed);
        *delta |= 1;
        let (softspoken, message) =
            softspoken::Beginning::with(session, softspoken::K, delta.clone(), seed);
        let roots = seed.derive("trees", 0);
        (Self { softspoken, delta, roots, session, message: message.clone() }, message)
    }

    /// The sender, from the receiver's answer.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Point`] and [`Error::Order`] when it is none.
    pub fn finish(self, answer: &[u8]) -> Result<Sender, Error> {
        let Self { softspoken, delta, roots, session, message } = self;
        check_length(ANSWER, answer.len(), ANSWER_BYTES)?;
        let (setup, extension) = answer.split_at(softspoken::ANSWER_BYTES);
        let mut first = softspoken.finish(setup)?.extend(&[BASE], extension)?.remove(0);
        let mut base = Zeroizing::new(std::mem::take(&mut first.blocks));
        base.iter_mut().for_each(|q| *q &= !1);
        Ok(Sender { delta, roots, stock: Stock::new(&session, &message, answer, base) })
    }
}

impl Receiver {
    /// Answers the sender's first message; `session` and `seed` as in [`Beginning::new`]; the seed is another. Returns the message to
    /// the sender, too.
    ///
    /// # Errors
    /// [`Error::Length`] and [`Error::Point`] when the message is none.
    pub fn answer(session: [u8; 32], seed: &Seed, begin: &[u8]) -> Result<(Self, Vec<u8>), Error> {
        let (mut softspoken, mut message) =
            softspoken::Receiver::answer(session, softspoken::K, seed, begin)?;
        let bytes =
            Zeroizing::new(seed.derive("first choices", 0).stream(0).bytes(BASE.div_ceil(8)));
        let choices = (0..BASE).map(|i| bytes[i / 8] >> (i % 8) & 1).collect();
        let mut first = softspoken.extend(vec![choices], &mut message).remove(0);
        let mut base = Zeroizing::new(std::mem::take(&mut first.blocks));
        for (t, choice) in base.iter_mut().zip(first.choices()) {
            *t = *t & !1 | Block::from(*choice);
        }
        Ok((Self { stock: Stock::new(&session, begin, &message, base) }, message))
    }
}

impl Sender {
    /// Drops what is left of the iterations that were begun.
    pub fn begin(&mut self) {
        self.stock.drop_rest();
    }

    /// Iterations since then.
    pub fn announced(&self) -> usize {
        self.stock.since()
    }

    /// Begins another iteration, from which COTs come when those of all earlier ones are used up; appends the message to the receiver.
    pub fn iterate(&mut self, message: &mut Vec<u8>) {
        let number = self.stock.begun();
        message.extend_from_slice(&number.to_le_bytes());
        let roots = Zeroizing::new(self.roots.stream(number).bytes(16 * TREES));
        let roots = Zeroizing::new(blocks(&roots));
        self.stock.begin(Side::Sender(&self.delta), roots, Some(message));
    }

    /// The COTs of runs of these `lengths`, for which the receiver sent `message`.
    ///
    /// # Errors
    /// [`Error::Length`] and [`Error::Order`] when it is not the next message.
    ///
    /// # Panics
    /// When more are wanted than the iterations that were begun give.
    pub fn extend(&mut self, lengths: &[usize], message: &[u8]) -> Result<Vec<Sent>, Error> {
        let count = lengths.iter().sum();
        check_length(EXTENSION, message.len(), extension_bytes(count))?;
        let bits = check_order(EXTENSION, message, self.stock.made())?;
        let (delta, mut runs) = (*self.delta, Runs::new(lengths));
        let start = self.stock.made();
        self.stock.take(Side::Sender(&self.delta), count, |at, part| {
            for (i, q) in (at..).zip(&mut *part) {
                *q ^= delta & spread(u64::from(bits[i / 8] >> (i % 8)));
            }
            runs.push(part);
        });
        let parts = runs.finish(self.stock.pads(), start);
        Ok(parts.map(|(run, blocks)| Sent { run, blocks, delta }).collect())
    }
}

impl Receiver {
    /// As [`Sender::begin`].
    pub fn begin(&mut self) {
        self.stock.drop_rest();
    }

    /// Takes the sender's message for the next iteration.
    ///
    /// # Errors
    /// [`Error::Length`] and [`Error::Order`] when it is another.
    pub fn iterate(&mut self, message: &[u8]) -> Result<(), Error> {
        check_length(ITERATION, message.len(), ITERATION_BYTES)?;
        let sums = check_order(ITERATION, message, self.stock.begun())?;
        self.stock.begin(Side::Receiver, Zeroizing::new(blocks(sums)), None);
        Ok(())
    }

    /// Makes COTs for runs of `choices` (0 or 1 each), and appends the message to the sender.
    ///
    /// # Panics
    /// When more are wanted than the iterations that were begun give.
    pub fn extend(&mut self, choices: Vec<Vec<u8>>, message: &mut Vec<u8>) -> Vec<Received> {
        let lengths: Vec<usize> = choices.iter().map(Vec::len).collect();
        let count: usize = lengths.iter().sum();
        let (start, mut runs) = (self.stock.made(), Runs::new(&lengths));
        message.extend_from_slice(&start.to_le_bytes());
        let first = message.len();
        message.resize(first + count.div_ceil(8), 0);
        let bits = &mut message[first..];
        let mut wanted = choices.iter().flatten();
        self.stock.take(Side::Receiver, count, |at, part| {
            for ((i, t), choice) in (at..).zip(&*part).zip(&mut wanted) {
                bits[i / 8] |= ((choice ^ *t as u8) & 1) << (i % 8);
            }
            runs.push(part);
        });
        let parts = runs.finish(self.stock.pads(), start).zip(choices);
        parts.map(|((run, blocks), choices)| Received { run, blocks, choices }).collect()
    }
}

/// What is behind the number with which a message begins, of the right length, when that is the one that is due.
fn check_order<'a>(what: &'static str, message: &'a [u8], due: u64) -> Result<&'a [u8], Error> {
    let (header, rest) = message.split_at(HEADER);
    let found = u64::from_le_bytes(header.try_into().expect("8 bytes"));
    match found == due {
        true => Ok(rest),
        false => Err(Error::Order { what, found, due }),
    }
}

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod tests;
