//! Correlated oblivious transfers (COTs): two parties, millions of them, without anybody's help.
//!
//! A COT gives its sender a block `q`, its receiver the block `q ^ b D` for a bit `b` that the receiver chose and the
//! sender does not learn; `D` is the sender's own, the same in all of an instance, and the receiver does not learn it. From it
//! follow two pads at the sender of which the receiver knows one ([`Sent`], [`Received`]): everything that two parties compute
//! bit by bit.
//!
//! Life of an instance, messages in brackets; nothing here knows a socket, a clock or a thread:
//! 1. [`base`]: 128 transfers by public-key cryptography, in which the sender's `D` is what is chosen [8 KiB, 32 bytes];
//! 2. [`tree`]: from them, seeds of which the receiver knows all and the sender all but a few [4 KiB at `K` = 8];
//! 3. [`softspoken`]: as many COTs as are wanted, by symmetric cryptography alone [16 bits a COT at `K` = 8];
//! 4. or [`ferret`], which begins with some of SoftSpoken's and makes millions of them with learning parity with noise
//!    [3.4 bits a COT].
//!
//! [`extension`] is either, as who uses COTs sees it.
//!
//! Two parties who both send run two instances, with two seeds.
//!
//! Security: semi-honest parties, 128 bits. CDH in Ristretto with BLAKE3 as a random oracle ([`base`]); AES-128 as a
//! pseudorandom function ([`tree`] and the streams of its leaves) and as an ideal cipher ([`hash`]); learning parity with
//! regular noise and a local code ([`ferret`] alone). A party that deviates can learn the other's secrets (a receiver whose corrections differ from tree to tree learns bits of `D`): nothing is
//! checked beyond lengths, points and the order of messages. No branch and no address depends on a secret.

pub mod base;
mod cots;
mod error;
pub mod extension;
pub mod ferret;
pub mod hash;
mod leaves;
pub mod softspoken;
pub mod tree;

pub use cots::{Received, Sent};
pub use error::Error;
pub use extension::Extension;

/// 128 bits: a correlated block, a key, a pad.
pub type Block = u128;

/// Bits of `D`, and base transfers of an instance.
pub const SECURITY: usize = 128;

/// The `count` blocks that `bytes` hold, little-endian.
fn blocks(bytes: &[u8]) -> Vec<Block> {
    bytes.as_chunks::<16>().0.iter().map(|b| Block::from_le_bytes(*b)).collect()
}

/// All ones where `bit` is odd: what selects without a branch.
fn spread(bit: u64) -> Block {
    Block::from(bit & 1).wrapping_neg()
}
