//! Memory that a plan's batches need: one rule for server and client.

use sotto_protocols::plan::Plan;

use crate::{error::Error, source::Source};

/// Memory of a batch while it waits, is staged and used, for each two bytes of its corrections: measured, rounded up. (At a server of
/// MPCViT's Tiny-ImageNet model with a dealer, 1.09 a byte for one that waits and 1.36 for one in use.)
const STAGED: [u64; 2] = [3, 4];

/// What two parties make takes so many times the memory of what is made: measured, rounded up.
pub const MAKING: usize = 6;

/// Memory of a batch, in bytes.
pub fn batch_memory(plan: &Plan, source: Source) -> u64 {
    let staged = match source {
        Source::Dealer => STAGED[0],
        Source::Peer => STAGED[1],
    };
    staged * (plan.correction_bytes() as u64).max(1 << 16) / 2
}

/// Fewest batches that there must be memory for: one in use and one that comes, which takes more while it is made.
pub fn least(source: Source) -> usize {
    match source {
        Source::Dealer => 2,
        Source::Peer => 2 + MAKING,
    }
}

/// Least memory for a plan, in bytes: the fewest batches.
pub fn needs(plan: &Plan, source: Source) -> u64 {
    least(source) as u64 * batch_memory(plan, source)
}

/// Batches that `memory` MiB have room for, beside `taken` bytes.
///
/// # Errors
/// [`Error::Config`] when they are fewer than [`least`].
pub fn places(memory: u64, taken: u64, plan: &Plan, source: Source) -> Result<usize, Error> {
    let (bytes, batch) = (memory.saturating_mul(1 << 20), batch_memory(plan, source));
    let (places, least) = (bytes.saturating_sub(taken) / batch, least(source) as u64);
    let few = if least == 2 { "two".to_owned() } else { least.to_string() };
    match places < least {
        true => Err(Error::Config(format!(
            "`memory = {memory}` (MiB) has no room for {few} batches of this model, of {} MiB each; raise it to {} or more",
            batch.div_ceil(1 << 20),
            (taken + least * batch).div_ceil(1 << 20)
        ))),
        false => Ok(usize::try_from(places).unwrap_or(usize::MAX)),
    }
}
