//! Memory that a plan's batches need: one rule for server and client.

use sotto_protocols::{
    make::{Recipe, whole_recipe},
    plan::Plan,
};

use crate::{error::Error, source::Source};

/// Memory of a batch while it waits, is staged and used, for each two bytes of its corrections: measured, rounded up. (At a server of
/// MPCViT's Tiny-ImageNet model with a dealer, 1.09 a byte for one that waits and 1.36 for one in use.)
const STAGED: [u64; 2] = [3, 4];

/// What two parties make takes at least so many times the memory of what is made: measured, rounded up.
const MAKING: usize = 6;

/// Memory of one in the making for each four bytes that its recipe has a party hold: for buffers that grow, and the link's. (Measured on the
/// heap, 0.9 to 1.15 for each of plans whose COTs outweigh all else, some MiB beside for small ones; a server's second batch at once of a ViT of 257 tokens takes 1.05 more of resident memory. Its first takes some 200 MiB
/// beside, once: what the allocator has not given back.)
const HELD: u64 = 5;

/// Memory of a plan's batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Of a batch, in bytes.
    pub batch: u64,
    /// Batches as which one in the making counts; none where a dealer makes them.
    pub making: usize,
}

impl Memory {
    /// Of a plan.
    ///
    /// # Errors
    /// [`Error::Protocol`] where two parties cannot make its batches.
    pub fn of(plan: &Plan, source: Source) -> Result<Self, Error> {
        Ok(match source.extension() {
            None => Self::dealt(plan),
            Some(extension) => Self::made(plan, &whole_recipe(plan, extension)?),
        })
    }

    fn dealt(plan: &Plan) -> Self {
        Self { batch: staged(plan, STAGED[0]), making: 0 }
    }

    /// Of a plan whose batches two parties make by this recipe.
    pub fn made(plan: &Plan, recipe: &Recipe) -> Self {
        let batch = staged(plan, STAGED[1]);
        let held = (recipe.most_held() as u64).saturating_mul(HELD) / 4;
        let making = usize::try_from(held.div_ceil(batch)).unwrap_or(usize::MAX);
        Self { batch, making: making.max(MAKING) }
    }

    /// Fewest batches that there must be memory for: one in use and one that comes, which takes more while it is made.
    pub fn least(&self) -> usize {
        self.making.saturating_add(2)
    }

    /// Least memory, in bytes: the fewest batches.
    pub fn needs(&self) -> u64 {
        (self.least() as u64).saturating_mul(self.batch)
    }

    /// Batches that `memory` MiB have room for, beside `taken` bytes.
    ///
    /// # Errors
    /// [`Error::Config`] when they are fewer than [`Memory::least`].
    pub fn places(&self, memory: u64, taken: u64) -> Result<usize, Error> {
        let bytes = memory.saturating_mul(1 << 20);
        let (places, least) = (bytes.saturating_sub(taken) / self.batch, self.least());
        let few = if least == 2 { "two".to_owned() } else { least.to_string() };
        match places < least as u64 {
            true => Err(Error::Config(format!(
                "`memory = {memory}` (MiB) has no room for {few} batches of this model, of {} MiB each; raise it to {} or more",
                self.batch.div_ceil(1 << 20),
                taken.saturating_add(self.needs()).div_ceil(1 << 20)
            ))),
            false => Ok(usize::try_from(places).unwrap_or(usize::MAX)),
        }
    }
}

/// Memory of a batch, in bytes.
fn staged(plan: &Plan, factor: u64) -> u64 {
    factor * (plan.correction_bytes() as u64).max(1 << 16) / 2
}
