//! What peers may make one endpoint hold unasked, over all its links.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is counted as one.
const UNIT: u64 = 64;

/// Bytes to hold, handed out in the order in which links asked for them.
#[derive(Clone)]
pub(crate) struct Budget(Arc<Semaphore>);

/// Bytes held; they go to whoever waits when it is dropped.
pub(crate) type Held = OwnedSemaphorePermit;

impl Budget {
    pub fn new(bytes: u64) -> Self {
        let units = usize::try_from(bytes / UNIT).unwrap_or(usize::MAX);
        Budget(Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))))
    }

    /// So many bytes, if they are free now.
    pub fn try_hold(&self, bytes: u64) -> Option<Held> {
        Arc::clone(&self.0).try_acquire_many_owned(units(bytes)).ok()
    }

    /// So many bytes, as soon as they are free.
    pub async fn hold(&self, bytes: u64) -> Held {
        let held = Arc::clone(&self.0).acquire_many_owned(units(bytes)).await;
        held.expect("nobody closes the budget")
    }
}

/// More than fits the type is more than anybody has.
fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}
