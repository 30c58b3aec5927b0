//! SoftSpoken: as many COTs as are wanted from a few trees of seeds.
//!
//! The receiver grows `128 / k` trees of `2^k` leaves, each leaf the seed of a stream `r_x`. With `u = sum r_x` and
//! `v_j = sum of the r_x whose number x has bit j` (sums are XORs), who lacks leaf `a` computes
//! `sum over x of bit j of (x ^ a) r_x = v_j ^ a_j u`. The receiver sends `u ^ b` for each tree, `b` its choices, which turns that into
//! `v_j ^ a_j b`: columns of `q = t ^ b D` with the bits of all `a` as `D`.
//!
//! Cost of a COT: `128 / k` bits from the receiver; `16 2^k / k` bytes of a stream at each party. `k` trades bytes for time
//! ([`BITS`]). Choices are the receiver's own, so nothing is sent to set them later.
//! Security: correlation robustness of [`crate::hash`], AES-128 as a pseudorandom function (streams: `leaves`); semi-honest, so without
//! the paper's consistency check. Source: Roy: SoftSpokenOT, CRYPTO 2022, section 5 with the repetition code; the order of leaves as in
//! [`crate::tree`] is our own.

use sotto_crypto::Seed;
use sotto_ring::transpose;
use zeroize::Zeroizing;

use crate::{
    Block, SECURITY, base, blocks,
    cots::{Received, Runs, Sent},
    error::{Error, check_length},
    hash::Hash,
    leaves::Leaves,
    spread, tree,
};

/// The `k` that can be: bits of a COT that cross, bytes of streams that each party computes for it.
pub const BITS: [(usize, usize, usize); 4] = [(1, 128, 32), (2, 64, 32), (4, 32, 64), (8, 16, 512)];
/// The `k` that is taken where nothing else is said.
pub const K: usize = 8;

const EXTENSION: &str = "extension of COTs";
const ANSWER: &str = "setup of COTs, offer and trees";
/// COTs that are made at once: 64 blocks of a leaf's stream, as many as the cipher's widest kernel takes.
const CHUNK: usize = 8192;
/// The number of the first COT of an extension.
const HEADER: usize = 8;

/// Bytes of the message with which `count` COTs are made: a header and, for whole groups of 128, `128 / k` bits each.
pub fn extension_bytes(k: usize, count: usize) -> usize {
    HEADER + SECURITY / k * count.next_multiple_of(SECURITY) / 8
}

/// Bytes of the first message, the sender's.
pub const BEGIN_BYTES: usize = base::choices_bytes(SECURITY);

/// Bytes of the second message, the receiver's.
pub const ANSWER_BYTES: usize = base::OFFER_BYTES + tree::sums_bytes(SECURITY);

fn check(k: usize) {
    assert!(BITS.iter().any(|row| row.0 == k), "k is one of 1, 2, 4 and 8, not {k}");
}

/// What both know of an instance and no other instance has.
fn instance(session: &[u8; 32], k: usize, begin: &[u8], answer: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("sottovoce COT instance 1");
    hasher.update(session).update(&(k as u64).to_le_bytes()).update(begin).update(answer);
    *hasher.finalize().as_bytes()
}

/// The sender before the receiver's answer. No `Debug`: it is secret.
pub struct Beginning {
    session: [u8; 32],
    k: usize,
    delta: Zeroizing<Block>,
    chooser: base::Chooser,
    message: Vec<u8>,
}

/// Who has both pads of each COT. No `Debug`: it is secret.
pub struct Sender {
    k: usize,
    delta: Zeroizing<Block>,
    streams: Streams,
    hash: Hash,
}

/// Who chooses. No `Debug`: it is secret.
pub struct Receiver {
    k: usize,
    streams: Streams,
    hash: Hash,
}

impl Beginning {
    /// Begins an instance with parameter `k`; everything secret follows from `seed`, which is for this alone. `session` is
    /// common to both parties, and another for every instance. Returns the message to the receiver, too.
    ///
    /// # Panics
    /// When `k` is none of [`BITS`].
    pub fn new(session: [u8; 32], k: usize, seed: &Seed) -> (Self, Vec<u8>) {
        Self::with(session, k, delta(seed), seed)
    }

    /// As [`Self::new`], with this `D`.
    pub(crate) fn with(
        session: [u8; 32],
        k: usize,
        delta: Zeroizing<Block>,
        seed: &Seed,
    ) -> (Self, Vec<u8>) {
        check(k);
        // The keys of the sides that a tree's path does not take.
        let sides = Zeroizing::new(
            (0..SECURITY).map(|i| 1 ^ path_bit(*delta, k, i) as u8).collect::<Vec<u8>>(),
        );
        let (chooser, message) = base::Chooser::new(session, &seed.derive("base", 0), &sides);
        (Self { session, k, delta, chooser, message: message.clone() }, message)
    }

    /// The sender, from the receiver's answer.
    ///
    /// # Errors
    /// [`Error::Length`] and [`Error::Point`] when it is none.
    pub fn finish(self, answer: &[u8]) -> Result<Sender, Error> {
        let Self { session, k, delta, chooser, message } = self;
        check_length(ANSWER, answer.len(), ANSWER_BYTES)?;
        let (offer, sums) = answer.split_at(base::OFFER_BYTES);
        let keys = Zeroizing::new(chooser.keys(offer)?);
        // Whole from the start: what grows is moved, and what it leaves is not wiped.
        let mut leaves = Zeroizing::new(Vec::with_capacity(leaves_of(k)));
        for (i, sums) in sums.chunks_exact(tree::sums_bytes(k)).enumerate() {
            let path: Vec<u64> = (i * k..(i + 1) * k).map(|t| path_bit(*delta, k, t)).collect();
            leaves.extend_from_slice(&tree::hold(&path, &keys[i * k..(i + 1) * k], sums)?);
        }
        let hash = Hash::new(&instance(&session, k, &message, answer));
        Ok(Sender { k, delta, streams: Streams::new(k, leaves, 1), hash })
    }
}

/// A sender's `D`.
pub(crate) fn delta(seed: &Seed) -> Zeroizing<Block> {
    let mut bytes = Zeroizing::new([0; 16]);
    seed.derive("delta", 0).stream(0).fill(&mut *bytes);
    Zeroizing::new(Block::from_le_bytes(*bytes))
}

/// Leaves of all trees.
fn leaves_of(k: usize) -> usize {
    (SECURITY / k) << k
}

/// Level `t % k` from the top of tree `t / k` goes by this bit of `D`: columns are ordered by bits, lowest first.
fn path_bit(delta: Block, k: usize, t: usize) -> u64 {
    (delta >> (t / k * k + k - 1 - t % k)) as u64 & 1
}

impl Receiver {
    /// Answers the sender's first message; `session`, `k` and `seed` as in [`Beginning::new`]; the seed is another. Returns
    /// the message to the sender, too.
    ///
    /// # Errors
    /// [`Error::Length`] and [`Error::Point`] when the message is none.
    ///
    /// # Panics
    /// When `k` is none of [`BITS`].
    pub fn answer(
        session: [u8; 32],
        k: usize,
        seed: &Seed,
        begin: &[u8],
    ) -> Result<(Self, Vec<u8>), Error> {
        check(k);
        let (offer, mut message) = base::Offer::new(session, &seed.derive("base", 0), SECURITY);
        let keys = Zeroizing::new(offer.keys(begin)?);
        let roots = Zeroizing::new(seed.derive("roots", 0).stream(0).bytes(16 * SECURITY / k));
        let mut leaves = Zeroizing::new(Vec::with_capacity(leaves_of(k)));
        for (&root, keys) in blocks(&roots).iter().zip(keys.chunks_exact(k)) {
            leaves.extend_from_slice(&tree::grow(root, keys, &mut message));
        }
        let hash = Hash::new(&instance(&session, k, begin, &message));
        Ok((Self { k, streams: Streams::new(k, leaves, 0), hash }, message))
    }

    /// Makes COTs for runs of `choices` (0 or 1 each), and appends the message to the sender.
    pub fn extend(&mut self, choices: Vec<Vec<u8>>, message: &mut Vec<u8>) -> Vec<Received> {
        let (lengths, start) =
            (choices.iter().map(Vec::len).collect::<Vec<_>>(), self.streams.made);
        let bits = pack(&choices);
        let mut runs = Runs::new(&lengths);
        message.extend_from_slice(&start.to_le_bytes());
        self.streams.begin();
        for bits in bits.chunks(CHUNK / 8) {
            for i in 0..SECURITY / self.k {
                let sum = self.streams.fold(i, bits.len());
                message.extend(sum.iter().zip(bits).map(|(u, b)| u ^ b));
            }
            runs.push(self.streams.rows(bits.len()));
        }
        let parts = runs.finish(self.hash, start).zip(choices);
        parts.map(|((run, blocks), choices)| Received { run, blocks, choices }).collect()
    }
}

/// The bits of all runs, eight to a byte, whole groups of 128.
fn pack(choices: &[Vec<u8>]) -> Zeroizing<Vec<u8>> {
    let count: usize = choices.iter().map(Vec::len).sum();
    let mut bits = Zeroizing::new(vec![0; count.next_multiple_of(SECURITY) / 8]);
    for (i, choice) in choices.iter().flat_map(|run| run.iter()).enumerate() {
        bits[i / 8] |= (choice & 1) << (i % 8);
    }
    bits
}

impl Sender {
    /// The COTs of runs of these `lengths`, for which the receiver sent `message`.
    ///
    /// # Errors
    /// [`Error::Length`] and [`Error::Order`] when it is not the next message.
    pub fn extend(&mut self, lengths: &[usize], message: &[u8]) -> Result<Vec<Sent>, Error> {
        let count = lengths.iter().sum();
        check_length(EXTENSION, message.len(), extension_bytes(self.k, count))?;
        let (header, mut rest) = message.split_at(HEADER);
        let found = u64::from_le_bytes(header.try_into().expect("8 bytes"));
        let due = self.streams.made;
        if found != due {
            return Err(Error::Order { what: EXTENSION, found, due });
        }
        let mut runs = Runs::new(lengths);
        self.streams.begin();
        for at in (0..count).step_by(CHUNK) {
            let bytes = (count - at).min(CHUNK).next_multiple_of(SECURITY) / 8;
            for i in 0..SECURITY / self.k {
                let (correction, tail) = rest.split_at(bytes);
                rest = tail;
                self.streams.fold(i, bytes);
                for j in 0..self.k {
                    let bit = spread((*self.delta >> (i * self.k + j)) as u64) as u8;
                    let column = self.streams.column(i * self.k + j, bytes);
                    column.iter_mut().zip(correction).for_each(|(q, c)| *q ^= c & bit);
                }
            }
            runs.push(self.streams.rows(bytes));
        }
        let parts = runs.finish(self.hash, due);
        Ok(parts.map(|(run, blocks)| Sent { run, blocks, delta: *self.delta }).collect())
    }
}

/// The leaves' streams and what is summed of them. No `Debug`: they are secret.
struct Streams {
    k: usize,
    leaves: Leaves,
    /// The next block of all streams.
    block: u64,
    /// COTs that were made: the next one's number.
    made: u64,
    /// 128 columns of bits, and a place behind them.
    columns: Zeroizing<Vec<u8>>,
    rows: Zeroizing<Vec<Block>>,
}

impl Streams {
    /// Of trees of `2^k` leaves, of which the first `missing` of each are not known.
    fn new(k: usize, leaves: Zeroizing<Vec<Block>>, missing: usize) -> Self {
        Self {
            k,
            leaves: Leaves::new(k, leaves, missing),
            block: 0,
            made: 0,
            columns: Zeroizing::new(vec![0; (SECURITY + 1) * CHUNK / 8]),
            rows: Zeroizing::new(vec![0; CHUNK]),
        }
    }

    /// Begins an extension.
    fn begin(&mut self) {
        self.leaves.begin();
        self.block = 0;
    }

    fn column(&mut self, number: usize, bytes: usize) -> &mut [u8] {
        &mut self.columns[number * bytes..(number + 1) * bytes]
    }

    /// Sums the next `bytes` of tree `i`, trees in order: into its columns those of the leaves that have a bit; returns that of
    /// all leaves, which lies where the next tree's begin.
    fn fold(&mut self, i: usize, bytes: usize) -> &[u8] {
        let k = self.k;
        let columns = &mut self.columns[i * k * bytes..(i * k + k + 1) * bytes];
        self.leaves.sums(i, self.block, columns);
        &columns[k * bytes..]
    }

    /// The next `8 bytes` rows, of the columns that are summed.
    fn rows(&mut self, bytes: usize) -> &[Block] {
        let rows = &mut self.rows[..8 * bytes];
        transpose::rows(&self.columns[..SECURITY * bytes], rows);
        self.block += bytes as u64 / 16;
        self.made += 8 * bytes as u64;
        rows
    }
}

#[cfg(test)]
mod tests;
