//! How many batches of a plan there is memory for, and how many of them are kept ready. Both change with what else is served.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::Memory;

/// A lane's part of the server's memory.
#[derive(Debug)]
pub struct Room {
    places: AtomicUsize,
    share: AtomicUsize,
    pool: AtomicUsize,
    memory: Memory,
}

impl Room {
    /// Places for batches of so much memory, of which one client may hold a share, and some are kept ready for whoever comes.
    pub fn new([places, share, pool]: [usize; 3], memory: Memory) -> Self {
        let [places, share, pool] = [places, share, pool].map(AtomicUsize::new);
        Self { places, share, pool, memory }
    }

    /// Batches that there is memory for.
    pub fn places(&self) -> usize {
        self.places.load(Ordering::Relaxed)
    }

    /// Of these, how many one client may hold, what it evaluates with included.
    pub fn share(&self) -> usize {
        self.share.load(Ordering::Relaxed)
    }

    /// Batches that are kept ready for whoever comes; 0 fetches on demand.
    pub fn pool(&self) -> usize {
        self.pool.load(Ordering::Relaxed)
    }

    /// As how many batches one in the making counts.
    pub fn making(&self) -> usize {
        self.memory.making
    }

    /// The fewest places that are of use.
    pub fn least(&self) -> usize {
        self.memory.least()
    }

    /// All of it, in bytes.
    pub fn bytes(&self) -> u64 {
        (self.places() as u64).saturating_mul(self.memory.batch)
    }

    /// Places that so many bytes are.
    pub fn places_in(&self, bytes: u64) -> usize {
        usize::try_from(bytes / self.memory.batch.max(1)).unwrap_or(usize::MAX)
    }

    /// From now on there are so many places, and one client may hold so many.
    pub fn resize(&self, [places, share]: [usize; 2]) {
        self.places.store(places, Ordering::Relaxed);
        self.share.store(share, Ordering::Relaxed);
    }

    /// From now on so many are kept ready.
    pub fn keep(&self, pool: usize) {
        self.pool.store(pool, Ordering::Relaxed);
    }
}
